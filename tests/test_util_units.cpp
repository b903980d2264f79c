#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <string>

#include "util/units.hpp"

using namespace runner::util;
using namespace std::chrono_literals;

namespace {

Duration duration(std::string_view text) {
  const auto parsed = parse_duration(text);
  REQUIRE_MESSAGE(parsed.ok(), text);
  return *parsed;
}

std::uint64_t size_of(std::string_view text) {
  const auto parsed = parse_size(text);
  REQUIRE_MESSAGE(parsed.ok(), text);
  return *parsed;
}

}  // namespace

TEST_CASE("durations are read in every unit, alone and combined") {
  CHECK(duration("90") == 90s);
  CHECK(duration("0") == 0s);
  CHECK(duration("90s") == 90s);
  CHECK(duration("15m") == 15min);
  CHECK(duration("2h") == 2h);
  CHECK(duration("1d") == 24h);
  CHECK(duration("1h30m") == 90min);
  CHECK(duration("1d2h3m4s5ms") == 24h + 2h + 3min + 4s + 5ms);
  CHECK(duration("250ms") == 250ms);
  CHECK(duration("0.5s") == 500ms);
  CHECK(duration("0.5") == 500ms);
  CHECK(duration("1.5h") == 90min);
  CHECK(duration("1m0.25s") == 60'250ms);
  CHECK(duration("0.000001ms") == 1ns);
}

TEST_CASE("what is no duration is refused, and the message shows it and what to write") {
  for (const char* text :
       {"",      " ",       "s",     "soon", "2 hours", "2hours", "1h 30m", "1h30", "1:30", "5min", "1.h",  ".5s",
        "1..5s", "1.5h30m", "30m1h", "1h1h", "1ms5s",   "0x10",   "1e3",    "+5s",  "5S",   "1w",   "1h-5m"}) {
    const auto parsed = parse_duration(text);
    REQUIRE_MESSAGE(!parsed.ok(), text);
    CHECK(parsed.error().message.find('"' + std::string(text) + '"') == 0);
    CHECK(parsed.error().message.find("1h30m") != std::string::npos);
  }
  CHECK(parse_duration("-5s").error().message.find("negative") != std::string::npos);
  CHECK(parse_duration("1h30").error().message.find("no unit") != std::string::npos);
  CHECK(parse_duration("5min").error().message.find("\"min\"") != std::string::npos);
}

TEST_CASE("a duration beyond 64 bits of nanoseconds is refused instead of wrapping") {
  CHECK(duration("9223372036") == 9'223'372'036s);
  CHECK_FALSE(parse_duration("9223372037").ok());
  CHECK_FALSE(parse_duration("106752d").ok());
  CHECK(duration("106751d") == 106'751 * 24h);
  CHECK_FALSE(parse_duration("999999999999999999d").ok());
  CHECK_FALSE(parse_duration("1000000000000000000").ok());
  CHECK_FALSE(parse_duration("99999999999999999999999999999999").ok());
}

TEST_CASE("durations are written in their shortest exact form") {
  CHECK(format_duration(0s) == "0s");
  CHECK(format_duration(5s) == "5s");
  CHECK(format_duration(90min) == "1h30m");
  CHECK(format_duration(24h) == "1d");
  CHECK(format_duration(25h + 1s) == "1d1h1s");
  CHECK(format_duration(250ms) == "250ms");
  CHECK(format_duration(1500ms) == "1.5s");
  CHECK(format_duration(60'500ms) == "1m0.5s");
  CHECK(format_duration(1h + 5ms) == "1h0.005s");
  CHECK(format_duration(1ns) == "0.000001ms");
  CHECK(format_duration(-90s) == "-1m30s");
  CHECK(format_duration(Duration::min()).starts_with("-106751d"));
}

TEST_CASE("every duration that is written is read back the same") {
  std::mt19937_64 random(1);
  for (int i = 0; i < 20'000; ++i) {
    const auto bits = random() % 63 + 1;
    const Duration d(static_cast<std::int64_t>(random() >> (64 - bits)));
    REQUIRE(duration(format_duration(d)) == d);
  }
  CHECK(duration(format_duration(Duration::max())) == Duration::max());
}

TEST_CASE("short durations have two units at most and round before they choose them") {
  CHECK(format_duration_short(0s) == "0s");
  CHECK(format_duration_short(10us) == "<1ms");
  CHECK(format_duration_short(250ms) == "250ms");
  CHECK(format_duration_short(999'600us) == "1.0s");
  CHECK(format_duration_short(3'240ms) == "3.2s");
  CHECK(format_duration_short(59'960ms) == "1m00s");
  CHECK(format_duration_short(65s) == "1m05s");
  CHECK(format_duration_short(3'599'600ms) == "1h00m");
  CHECK(format_duration_short(2h + 3min + 10s) == "2h03m");
  CHECK(format_duration_short(23h + 59min + 40s) == "1d00h");
  CHECK(format_duration_short(76h + 20min) == "3d04h");
  CHECK(format_duration_short(-65s) == "-1m05s");
  CHECK(format_duration_short(Duration::max()) == "106752d00h");
}

TEST_CASE("sizes are read with units of 1024 in every spelling") {
  CHECK(size_of("1048576") == 1048576);
  CHECK(size_of("0") == 0);
  CHECK(size_of("512B") == 512);
  for (const char* text : {"2G", "2g", "2GB", "2GiB", "2gb", "2 GiB", "2048M", "2.0G"}) {
    CHECK_MESSAGE(size_of(text) == 2ULL << 30U, text);
  }
  CHECK(size_of("100K") == 102400);
  CHECK(size_of("1.5GiB") == 1610612736);
  CHECK(size_of("1T") == 1ULL << 40U);
  CHECK(size_of("1P") == 1ULL << 50U);
  CHECK(size_of("0.3K") == 307);
  CHECK(size_of("18446744073709551615") == std::numeric_limits<std::uint64_t>::max());
}

TEST_CASE("what is no size is refused") {
  for (const char* text : {"", " ", "K", "-1", "-1K", "1.5", "1.5B", "2 gigs", "2  G", "2G ", "2GX", "G2", "1,000",
                           "1e6", "0x10", "2Gi", "2KKB", ".5G", "5.G"}) {
    CHECK_MESSAGE(!parse_size(text).ok(), text);
  }
  CHECK_FALSE(parse_size("18446744073709551616").ok());
  CHECK_FALSE(parse_size("16384P").ok());
  CHECK(size_of("16383P") == 16383ULL << 50U);
  CHECK(parse_size("-1").error().message.find("negative") != std::string::npos);
  CHECK(parse_size("1.5").error().message.find("half bytes") != std::string::npos);
}

TEST_CASE("sizes are written to one decimal in the largest unit that fits") {
  CHECK(format_size(0) == "0 B");
  CHECK(format_size(1023) == "1023 B");
  CHECK(format_size(1024) == "1 KiB");
  CHECK(format_size(1536) == "1.5 KiB");
  CHECK(format_size(1610612736) == "1.5 GiB");
  CHECK(format_size((1ULL << 20U) - 1) == "1 MiB");
  CHECK(format_size(100ULL << 20U) == "100 MiB");
  CHECK(format_size(std::numeric_limits<std::uint64_t>::max()) == "16 EiB");
}

TEST_CASE("a size that is written is read back to within its rounding") {
  for (std::uint64_t bytes = 1; bytes < 1ULL << 50U; bytes = bytes * 3 + 1) {
    const double ratio = static_cast<double>(size_of(format_size(bytes))) / static_cast<double>(bytes);
    REQUIRE(ratio == doctest::Approx(1).epsilon(0.05));
  }
}

TEST_CASE("counts have a comma at every third digit") {
  CHECK(format_count(0) == "0");
  CHECK(format_count(999) == "999");
  CHECK(format_count(1000) == "1,000");
  CHECK(format_count(123456) == "123,456");
  CHECK(format_count(1234567) == "1,234,567");
  CHECK(format_count(std::numeric_limits<std::uint64_t>::max()) == "18,446,744,073,709,551,615");
}

TEST_CASE("times that no clock shows become the nearest that one does") {
  CHECK(from_unix_seconds(1e300) == from_unix_seconds(9e9));
  CHECK(from_unix_seconds(-5) == WallTime{});
  CHECK(from_unix_seconds(std::nan("")) == WallTime{});
  CHECK(from_seconds(1e300) == from_seconds(9e9));
  CHECK(from_seconds(-1e300) == from_seconds(-9e9));
  CHECK(from_seconds(std::nan("")) == Duration::zero());
  CHECK((from_unix_seconds(9e9) - WallTime{}) < Duration::max());
}
