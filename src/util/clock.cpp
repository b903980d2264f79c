#include "util/clock.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <ctime>

namespace runner::util {

namespace {

/// 285 years: what Duration can count, and the difference of two times too.
constexpr double kMaxSeconds = 9e9;

}  // namespace

WallTime from_unix_seconds(double seconds) {
  if (!(seconds > 0)) return {};
  return WallTime(std::chrono::microseconds(std::llround(std::min(seconds, kMaxSeconds) * 1e6)));
}

Duration from_seconds(double seconds) {
  if (std::isnan(seconds)) return {};
  return Duration(std::llround(std::clamp(seconds, -kMaxSeconds, kMaxSeconds) * 1e9));
}

std::string format_local(WallTime t, bool with_micros) {
  const auto whole = std::chrono::floor<std::chrono::seconds>(t);
  const std::time_t time = whole.time_since_epoch().count();
  std::tm tm{};
  ::localtime_r(&time, &tm);
  std::array<char, 64> text{};
  std::size_t n = std::strftime(text.data(), text.size(), "%Y-%m-%d %H:%M:%S", &tm);
  if (with_micros) {
    n += static_cast<std::size_t>(
        std::snprintf(text.data() + n, text.size() - n, ".%06d", static_cast<int>((t - whole).count())));
  }
  return {text.data(), n};
}

}  // namespace runner::util
