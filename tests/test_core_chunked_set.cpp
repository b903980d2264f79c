#include "core/chunked_set.hpp"

#include <doctest/doctest.h>

#include <random>
#include <set>

using runner::core::ChunkedSet;
using runner::core::IntervalSet;

TEST_CASE("a chunked set holds what a plain set holds, across the borders of its chunks") {
  std::mt19937 random(7);
  ChunkedSet chunked;
  std::set<std::uint64_t> plain;
  for (int i = 0; i < 50'000; ++i) {
    const std::uint64_t index = 4090 + random() % 4110;  // 4096 and 8192 are borders
    if (random() % 3 != 0) {
      chunked.insert(index);
      plain.insert(index);
    } else {
      CHECK(chunked.erase(index) == (plain.erase(index) == 1));
    }
    REQUIRE(chunked.count() == plain.size());
  }
  IntervalSet expected;
  for (const std::uint64_t index : plain) expected.insert(index);
  CHECK(chunked.intervals() == expected);
  for (std::uint64_t index = 4000; index < 8300; ++index) CHECK(chunked.contains(index) == plain.contains(index));
}

TEST_CASE("neighbours in different chunks are one interval, and the largest index has a place") {
  ChunkedSet set;
  for (const std::uint64_t index : {4095UL, 4096UL, UINT64_MAX}) set.insert(index);
  REQUIRE(set.intervals().intervals().size() == 2);
  CHECK(set.intervals().intervals()[0] == IntervalSet::Interval{4095, 4096});
  CHECK(set.erase(UINT64_MAX));
  CHECK_FALSE(set.erase(UINT64_MAX));
  CHECK(set.count() == 2);
}
