// Units as people write and read them: durations (1h30m), sizes (2G) and counts (1,234,567). Pure; no locale.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "util/clock.hpp"
#include "util/result.hpp"

namespace runner::util {

/// "90" (seconds), "90s", "15m", "2h", "1d", "1h30m", "0.5s", "250ms": each unit at most once, largest first; only the
/// last number may have a fraction. Never negative; exact to the nanosecond, at most 292 years.
Result<Duration> parse_duration(std::string_view text);
/// Exact, and parse_duration() reads it back (a negative one has a '-' before it): "1h30m", "250ms", "1m0.5s".
std::string format_duration(Duration d);
/// For progress and tables, at most two units, rounded: "250ms", "3.2s", "1m05s", "2h03m", "3d04h".
std::string format_duration_short(Duration d);

/// Bytes: "1048576", "100K", "2G", "1.5GiB", "512MB" (K, M, G, T, P are powers of 1024, in either case).
/// A fraction needs a unit and is rounded to the nearest byte.
Result<std::uint64_t> parse_size(std::string_view text);
/// "512 B", "1.5 GiB"; to one decimal.
std::string format_size(std::uint64_t bytes);
/// 1234567 -> "1,234,567"
std::string format_count(std::uint64_t n);
/// Thousandths, not negative: 2500 -> "2.5", 2000 -> "2".
std::string format_milli(std::int64_t milli);

}  // namespace runner::util
