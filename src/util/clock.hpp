// The two clocks: wall time for what people read (events, the record), the steady clock for every deadline.
// core/ only uses the types; run/ and exec/ read the clocks.
#pragma once

#include <algorithm>
#include <chrono>
#include <string>

namespace runner::util {

using Duration = std::chrono::nanoseconds;
using TimePoint = std::chrono::steady_clock::time_point;  ///< deadlines; tests invent them
using WallTime = std::chrono::sys_time<std::chrono::microseconds>;

inline TimePoint steady_now() {
  return std::chrono::steady_clock::now();
}
inline WallTime wall_now() {
  return std::chrono::time_point_cast<std::chrono::microseconds>(std::chrono::system_clock::now());
}

/// Now, but never earlier than `elapsed` (by the steady clock) after `begin`: somebody may have set the clock back.
inline WallTime wall_now_after(WallTime begin, Duration elapsed) {
  return std::max(wall_now(), begin + std::chrono::floor<std::chrono::microseconds>(elapsed));
}

/// Seconds since the epoch, to the microsecond (a double holds that until the year 2242).
inline double unix_seconds(WallTime t) {
  return static_cast<double>(t.time_since_epoch().count()) / 1e6;
}
/// From 1970 to 2255: what is beyond becomes the nearer of the two, what is no number 1970. A record may say anything.
WallTime from_unix_seconds(double seconds);
inline double seconds(Duration d) {
  return std::chrono::duration<double>(d).count();
}
/// At most 285 years, either way; of what is no number 0.
Duration from_seconds(double seconds);

/// Local time, "2026-11-21 16:43:28"; with_micros adds ".843830".
std::string format_local(WallTime t, bool with_micros = false);

}  // namespace runner::util
