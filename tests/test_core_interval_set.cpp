#include <doctest/doctest.h>

#include <cstdint>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "core/interval_set.hpp"

using runner::core::IntervalSet;

namespace {

/// What an IntervalSet must be at any time: the same members as `model`, in the fewest intervals.
void check_same(const IntervalSet& set, const std::set<std::uint64_t>& model) {
  REQUIRE(set.count() == model.size());
  REQUIRE(set.empty() == model.empty());
  std::set<std::uint64_t> members;
  std::uint64_t previous_last = 0;
  for (const auto& interval : set.intervals()) {
    REQUIRE(interval.first <= interval.last);
    if (!members.empty()) REQUIRE(interval.first > previous_last + 1);
    for (std::uint64_t i = interval.first; i <= interval.last; ++i) members.insert(i);
    previous_last = interval.last;
  }
  REQUIRE(members == model);
}

IntervalSet random_set(std::mt19937& random, std::set<std::uint64_t>& model) {
  IntervalSet set;
  for (int i = 0; i < 10; ++i) {
    const std::uint64_t first = random() % 60;
    const std::uint64_t last = first + random() % 6;
    set.insert_range(first, last);
    for (std::uint64_t n = first; n <= last; ++n) model.insert(n);
  }
  return set;
}

}  // namespace

TEST_CASE("an empty set has nothing") {
  const IntervalSet set;
  CHECK(set.empty());
  CHECK(set.count() == 0);
  CHECK_FALSE(set.contains(0));
  CHECK(set.to_string().empty());
  CHECK(IntervalSet::first_n(0) == set);
  CHECK(IntervalSet::range(5, 4) == set);
}

TEST_CASE("ranges are inclusive at both ends") {
  const auto set = IntervalSet::range(3, 5);
  CHECK(set.count() == 3);
  CHECK_FALSE(set.contains(2));
  CHECK(set.contains(3));
  CHECK(set.contains(5));
  CHECK_FALSE(set.contains(6));
  CHECK(IntervalSet::first_n(3) == IntervalSet::range(0, 2));
}

TEST_CASE("neighbours become one interval") {
  IntervalSet set;
  set.insert(7);
  set.insert(9);
  CHECK(set.intervals().size() == 2);
  set.insert(8);
  CHECK(set.intervals() == IntervalSet::range(7, 9).intervals());
  set.insert(6);
  set.insert(10);
  set.insert(8);
  CHECK(set == IntervalSet::range(6, 10));
}

TEST_CASE("a range swallows what it covers and touches") {
  IntervalSet set;
  for (const std::uint64_t i : {1U, 3U, 5U, 7U, 20U}) set.insert(i);
  set.insert_range(2, 8);
  CHECK(set.to_string() == "1-8,20");
  CHECK(set.count() == 9);
}

TEST_CASE("erasing shortens, splits and removes intervals") {
  IntervalSet set = IntervalSet::range(0, 9);
  set.erase(0);
  set.erase(9);
  set.erase(5);
  set.erase(5);
  set.erase(100);
  CHECK(set.to_string() == "1-4,6-8");
  set.erase(6);
  set.erase(7);
  set.erase(8);
  CHECK(set.to_string() == "1-4");
  CHECK(set.count() == 4);
}

TEST_CASE("the ends of 64 bits do not wrap") {
  IntervalSet set;
  set.insert(UINT64_MAX);
  set.insert(0);
  CHECK(set.count() == 2);
  CHECK(set.contains(UINT64_MAX));
  CHECK_FALSE(set.contains(1));
  std::vector<std::uint64_t> visited;
  set.for_each([&](std::uint64_t i) { visited.push_back(i); });
  CHECK(visited == std::vector<std::uint64_t>{0, UINT64_MAX});
  set.insert_range(UINT64_MAX - 2, UINT64_MAX);
  CHECK(set.count() == 4);
  set.insert_range(10, UINT64_MAX);
  CHECK(set.count() == UINT64_MAX - 8);
  set.erase(UINT64_MAX);
  CHECK_FALSE(set.contains(UINT64_MAX));
  CHECK(IntervalSet::range(1, UINT64_MAX).without(IntervalSet::range(5, UINT64_MAX)).to_string() == "1-4");
}

TEST_CASE("random insertions and erasures give the members that a plain set has") {
  std::mt19937 random(5);
  for (int round = 0; round < 50; ++round) {
    IntervalSet set;
    std::set<std::uint64_t> model;
    for (int i = 0; i < 100; ++i) {
      const std::uint64_t n = random() % 40;
      switch (random() % 3) {
        case 0:
          set.insert(n);
          model.insert(n);
          break;
        case 1:
          set.erase(n);
          model.erase(n);
          break;
        case 2: {
          const std::uint64_t last = n + random() % 4;
          set.insert_range(n, last);
          for (std::uint64_t k = n; k <= last; ++k) model.insert(k);
          break;
        }
      }
      for (std::uint64_t k = 0; k < 45; ++k) REQUIRE(set.contains(k) == (model.count(k) == 1));
    }
    check_same(set, model);
  }
}

TEST_CASE("unions, differences and intersections are those of plain sets") {
  std::mt19937 random(6);
  for (int round = 0; round < 500; ++round) {
    std::set<std::uint64_t> a_model;
    std::set<std::uint64_t> b_model;
    const IntervalSet a = random_set(random, a_model);
    const IntervalSet b = random_set(random, b_model);
    std::set<std::uint64_t> difference;
    std::set<std::uint64_t> both;
    for (const std::uint64_t n : a_model) (b_model.count(n) == 1 ? both : difference).insert(n);
    IntervalSet all = a;
    all.insert(b);
    std::set<std::uint64_t> all_model = a_model;
    all_model.insert(b_model.begin(), b_model.end());
    check_same(all, all_model);
    check_same(a.without(b), difference);
    check_same(a.intersect(b), both);
    REQUIRE(a.intersect(b) == b.intersect(a));
    REQUIRE(a.without(IntervalSet()) == a);
    REQUIRE(a.without(a).empty());
  }
}

TEST_CASE("a long list is cut after some intervals, and tells how many members are left out") {
  IntervalSet set;
  set.insert(3);
  set.insert_range(7, 9);
  set.insert_range(20, 29);
  CHECK(set.to_string() == "3,7-9,20-29");
  CHECK(set.to_string(3) == "3,7-9,20-29");
  CHECK(set.to_string(2) == "3,7-9,... (10 more)");
  CHECK(set.to_string(0) == "... (14 more)");
}

TEST_CASE("999,990 of 1,000,000 in order cost a few intervals") {
  IntervalSet set;
  for (std::uint64_t i = 0; i < 1'000'000; ++i) {
    if (i % 100'000 != 50'000) set.insert(i);
  }
  CHECK(set.count() == 999'990);
  CHECK(set.intervals().size() == 11);
}
