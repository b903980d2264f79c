#include <doctest/doctest.h>

#include <cstdint>
#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "core/ranges.hpp"

using namespace runner::core;

namespace {

std::vector<IntRange> ranges(std::string_view text) {
  const auto parsed = parse_ranges(text);
  REQUIRE_MESSAGE(parsed.ok(), text);
  return *parsed;
}

std::string error_of(std::string_view text) {
  const auto parsed = parse_ranges(text);
  REQUIRE_MESSAGE(!parsed.ok(), text);
  return parsed.error().message;
}

std::vector<std::int64_t> numbers_in(const std::vector<IntRange>& list) {
  std::vector<std::int64_t> numbers;
  for (const IntRange& range : list) {
    for (std::int64_t n = range.first; n <= range.last; n += range.step) numbers.push_back(n);
  }
  return numbers;
}

IntRange random_range(std::mt19937& random) {
  const auto first = static_cast<std::int64_t>(random() % 40) - 20;
  return {first, first + static_cast<std::int64_t>(random() % 40), static_cast<std::int64_t>(random() % 7) + 1};
}

/// Ranges that share no number, interleaved as they come.
std::vector<IntRange> random_disjoint(std::mt19937& random) {
  std::vector<IntRange> list;
  std::set<std::int64_t> used;
  for (int i = 0; i < 12; ++i) {
    const IntRange range = random_range(random);
    const auto numbers = numbers_in({range});
    bool is_new = true;
    for (const auto n : numbers) is_new = is_new && used.count(n) == 0;
    if (!is_new) continue;
    used.insert(numbers.begin(), numbers.end());
    list.push_back(range);
  }
  return list;
}

}  // namespace

TEST_CASE("single numbers, ranges and steps are read, negative ones too") {
  using List = std::vector<IntRange>;
  CHECK(ranges("0-99") == List{{0, 99, 1}});
  CHECK(ranges("0-99:5") == List{{0, 99, 5}});
  CHECK(ranges("1,4,7-9") == List{{1, 1, 1}, {4, 4, 1}, {7, 9, 1}});
  CHECK(ranges("5") == List{{5, 5, 1}});
  CHECK(ranges("-5") == List{{-5, -5, 1}});
  CHECK(ranges("-5-5") == List{{-5, 5, 1}});
  CHECK(ranges("-9--3") == List{{-9, -3, 1}});
  CHECK(ranges("-9--3:2") == List{{-9, -3, 2}});
  CHECK(ranges("7-7") == List{{7, 7, 1}});
  CHECK(ranges(" 1, 4 ,7-9 ") == ranges("1,4,7-9"));
}

TEST_CASE("what is no list of ranges is refused, with the part that is wrong") {
  CHECK(error_of("").find("\"\" is not a number or a range") == 0);
  for (const char* text : {"x", "1-", "-", "--1", "1--", "1-2-3", "0..9", "0 - 9", "1:", "0-9:", "0-9:x", "0x10", "1.5",
                           "+1", "1-+2", "0-9:2:3", "0-9 10", "1;2"}) {
    CAPTURE(text);
    CHECK(error_of(text) ==
          "\"" + std::string(text) + "\" is not a number or a range: write 7, 0-99 or 0-99:5, with commas between");
    CHECK(error_of("1," + std::string(text)).find("\"" + std::string(text) + "\"") == 0);
  }
  CHECK(error_of("1,,2") == "\"1,,2\" has nothing between two commas");
  CHECK(error_of("1,2,") == "\"1,2,\" has nothing between two commas");
}

TEST_CASE("a range that runs backwards is refused, with the right way round") {
  CHECK(error_of("9-0") == "\"9-0\" runs backwards: write 0-9");
  CHECK(error_of("9-0:3") == "\"9-0:3\" runs backwards: write 0-9:3");
  CHECK(error_of("-3--9") == "\"-3--9\" runs backwards: write -9--3");
}

TEST_CASE("steps of zero and less, or without a range, are refused") {
  CHECK(error_of("0-9:0") == "\"0-9:0\" has a step below 1");
  CHECK(error_of("0-9:-2") == "\"0-9:-2\" has a step below 1");
  CHECK(error_of("5:2") == "\"5:2\" has a step but no end: write 0-99:5");
}

TEST_CASE("leading zeros are refused with the format that gives them") {
  CHECK(error_of("000-099") == "\"000\" has leading zeros: write 0 here, and {slice:03d} where zeros are wanted");
  CHECK(error_of("1,007") == "\"007\" has leading zeros: write 7 here, and {slice:03d} where zeros are wanted");
}

TEST_CASE("numbers beyond 64 bits are refused, the last ones within are not") {
  CHECK(error_of("9223372036854775808") == "\"9223372036854775808\" is beyond the 64-bit integers");
  CHECK(error_of("0-99999999999999999999").find("\"99999999999999999999\"") == 0);
  CHECK(ranges("9223372036854775806-9223372036854775807")[0].size() == 2);
  CHECK(ranges("-9223372036854775808--9223372036854775807")[0].size() == 2);
  CHECK(ranges("-9223372036854775808-9223372036854775807:9223372036854775807")[0].size() == 3);
}

TEST_CASE("more slices than the record can count are refused") {
  CHECK(ranges("1-9223372036854775807")[0].size() == kMaxSlices);
  CHECK(error_of("0-9223372036854775807") == "more than 9,223,372,036,854,775,807 slices");
  CHECK(error_of("-9223372036854775808-9223372036854775807") == "more than 9,223,372,036,854,775,807 slices");
  CHECK(error_of("1-9223372036854775807,-3") == "more than 9,223,372,036,854,775,807 slices");
}

TEST_CASE("the size of a range is exact at the ends of 64 bits") {
  CHECK(IntRange{0, 99, 1}.size() == 100);
  CHECK(IntRange{0, 99, 5}.size() == 20);
  CHECK(IntRange{0, 100, 5}.size() == 21);
  CHECK(IntRange{5, 4, 1}.size() == 0);
  CHECK(IntRange{INT64_MAX, INT64_MAX, INT64_MAX}.size() == 1);
  CHECK(IntRange{INT64_MIN, INT64_MAX, 2}.size() == 1ULL << 63U);
  CHECK(IntRange{INT64_MIN, INT64_MAX, 1}.size() == UINT64_MAX);
}

TEST_CASE("a number that occurs twice is refused, with the numbers and both places") {
  CHECK(error_of("1,4,4") == "4 occurs twice, in 4 and in 4");
  CHECK(error_of("0-9,5-12") == "5-9 occurs twice, in 0-9 and in 5-12");
  CHECK(error_of("5-12,0-9") == "5-9 occurs twice, in 5-12 and in 0-9");
  CHECK(error_of("0-99:6,0-99:4") == "0-96:12 occurs twice, in 0-99:6 and in 0-99:4");
  CHECK(error_of("0-20:3,10-12") == "12 occurs twice, in 0-20:3 and in 10-12");
  CHECK(error_of("-9223372036854775808-9223372036854775807:9223372036854775807,"
                 "-9223372036854775808-9223372036854775807:9223372036854775806")
            .find("-9223372036854775808 occurs twice") == 0);
}

TEST_CASE("ranges that interleave without sharing a number are fine") {
  CHECK(ranges("0-98:2,1-99:2").size() == 2);
  CHECK(ranges("2-9223372036854775806:2,1-9223372036854775807:2").size() == 2);
  CHECK(ranges("0-10:5,1-11:5,2-12:5,3-13:5,4-14:5").size() == 5);
  CHECK(ranges("0-20:3,10-11").size() == 2);
}

TEST_CASE("numbers in two ranges are found exactly when there are any") {
  std::mt19937 random(7);
  for (int i = 0; i < 20'000; ++i) {
    const IntRange a = random_range(random);
    const IntRange b = random_range(random);
    std::set<std::int64_t> all;
    std::size_t count = 0;
    for (const auto n : numbers_in({a, b})) {
      all.insert(n);
      ++count;
    }
    CAPTURE(to_string(a) + " " + to_string(b));
    REQUIRE(check_ranges({a, b}).ok() == (all.size() == count));
  }
}

TEST_CASE("a hundred thousand single numbers are checked and found at once") {
  std::string text;
  for (int i = 0; i < 100'000; ++i) text += std::to_string((i * 7) % 700'000) + ",";
  text.pop_back();
  const RangeList list(ranges(text));
  CHECK(list.size() == 100'000);
  CHECK(list.find(7 * 99'999) == 99'999);
  CHECK_FALSE(list.find(8));
  CHECK(error_of(text + ",69993") == "69993 occurs twice, in 69993 and in 69993");
}

TEST_CASE("a list counts through its ranges in the order given") {
  const RangeList list(ranges("5-9,0-4,20-30:5,-3"));
  const std::vector<std::int64_t> expected = {5, 6, 7, 8, 9, 0, 1, 2, 3, 4, 20, 25, 30, -3};
  REQUIRE(list.size() == expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i) {
    CHECK(list[i] == expected[i]);
    CHECK(list.find(expected[i]) == i);
  }
  for (const std::int64_t n : {-4, -2, 10, 19, 21, 31}) CHECK_FALSE(list.find(n));
}

TEST_CASE("equal lists have equal ranges, however they are written") {
  CHECK(RangeList(ranges("1,2,3,4-9")).ranges() == RangeList(ranges("1-9")).ranges());
  CHECK(RangeList(ranges("0-99:5")).ranges() == RangeList(ranges("0-95:5")).ranges());
  CHECK(RangeList(ranges("5-7:9")).ranges() == RangeList(ranges("5")).ranges());
  CHECK(RangeList(ranges("5-9,0-4")).ranges() != RangeList(ranges("0-9")).ranges());
  CHECK(RangeList(ranges("9223372036854775806,9223372036854775807")).ranges().size() == 1);
}

TEST_CASE("find and find_all agree with a list written out") {
  std::mt19937 random(8);
  for (int round = 0; round < 1000; ++round) {
    const auto parts = random_disjoint(random);
    const RangeList list(parts);
    const auto expected = numbers_in(parts);
    REQUIRE(list.size() == expected.size());
    std::map<std::int64_t, std::uint64_t> position;
    for (std::size_t i = 0; i < expected.size(); ++i) {
      REQUIRE(list[i] == expected[i]);
      position[expected[i]] = i;
    }
    for (std::int64_t n = -25; n < 65; ++n) {
      const auto found = list.find(n);
      REQUIRE(found.has_value() == (position.count(n) == 1));
      if (found) REQUIRE(*found == position[n]);
    }
    const IntRange wanted = random_range(random);
    IntervalSet matching;
    for (const auto n : numbers_in({wanted})) {
      if (position.count(n) == 1) matching.insert(position[n]);
    }
    REQUIRE(*list.find_all(wanted) == matching);
  }
}

TEST_CASE("the numbers at some positions come back as ranges") {
  const RangeList list(ranges("5-9,0-4,20-40:5"));
  const auto text = [&](const IntervalSet& positions, std::size_t max = SIZE_MAX) {
    std::string out;
    for (const IntRange& range : list.at(positions, max)) out += to_string(range) + " ";
    return out;
  };
  CHECK(text(IntervalSet::first_n(15)) == "5-9 0-4 20-40:5 ");
  CHECK(text(IntervalSet::range(3, 6)) == "8-9 0-1 ");
  CHECK(text(IntervalSet::range(11, 11)) == "25 ");
  CHECK(text(IntervalSet::first_n(15), 2) == "5-9 0-4 ");
  CHECK(text(IntervalSet()).empty());
}

TEST_CASE("a list up to the last 64-bit number is as quick as a short one") {
  const RangeList list(ranges("1-9223372036854775807"));
  CHECK(list[0] == 1);
  CHECK(list[kMaxSlices - 1] == INT64_MAX);
  CHECK(list.find(INT64_MAX) == kMaxSlices - 1);
  CHECK_FALSE(list.find(0));
  CHECK(list.find_all({0, INT64_MAX, INT64_MAX})->to_string() == "9223372036854775806");
  CHECK(list.find_all({INT64_MIN, INT64_MAX, 1})->count() == kMaxSlices);
  const RangeList wide(ranges("-9223372036854775808-9223372036854775807:3"));
  CHECK(wide[wide.size() - 1] == INT64_MAX);
  CHECK(wide.find(INT64_MAX) == wide.size() - 1);
  CHECK_FALSE(wide.find(INT64_MAX - 1));
}

TEST_CASE("the shape of a range is told from a name") {
  for (const char* text : {"3", "-3", "0-9", "0-9:2", "-9--3", "007", "9-0", "99999999999999999999"}) {
    CHECK_MESSAGE(looks_like_range(text), text);
  }
  for (const char* text : {"", "a", "3a", "a3", "1.5", "2024-01-01", "3-", "1:", "-", "3 ", "@3"}) {
    CHECK_MESSAGE(!looks_like_range(text), text);
  }
}
