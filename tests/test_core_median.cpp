// The running median against a sorted list.
#include <doctest/doctest.h>

#include <algorithm>
#include <random>
#include <vector>

#include "core/median.hpp"

using namespace runner;
using namespace runner::core;
using namespace std::chrono_literals;

TEST_CASE("the median is the numeric one at any moment, from five on") {
  std::mt19937 random(7);
  for (int round = 0; round < 50; ++round) {
    Median median;
    std::vector<double> all;
    std::vector<float> at_once;
    for (int i = 0; i < 200; ++i) {
      const double seconds = static_cast<double>(random() % 1000) / 8;  // exact in a float
      all.push_back(seconds);
      median.add(util::from_seconds(seconds));
      at_once.push_back(static_cast<float>(seconds));
      std::ranges::sort(all);
      const std::size_t n = all.size();
      const double expected = n % 2 == 1 ? all[n / 2] : (all[n / 2 - 1] + all[n / 2]) / 2;
      REQUIRE(median.value().has_value() == (n >= kEnoughForMedian));
      REQUIRE(median_of(at_once) == median.value());
      if (median.value()) REQUIRE(*median.value() == util::from_seconds(expected));
    }
  }
}
