// The median of durations, exact, at 4 bytes each: of all that there are, at O(n) for each time it is asked for; or of
// those that come one by one, known at any moment, at O(log n) each.
#pragma once

#include <algorithm>
#include <cstddef>
#include <functional>
#include <optional>
#include <queue>
#include <vector>

#include "util/clock.hpp"

namespace runner::core {

/// With fewer a median says little.
inline constexpr std::size_t kEnoughForMedian = 5;

/// The middle one, or the mean of the two in the middle; nullopt of fewer than kEnoughForMedian.
inline std::optional<util::Duration> median_of(std::vector<float> seconds) {
  if (seconds.size() < kEnoughForMedian) return std::nullopt;
  const auto middle = seconds.begin() + static_cast<std::ptrdiff_t>(seconds.size() / 2);
  std::nth_element(seconds.begin(), middle, seconds.end());
  const double high = *middle;
  const bool is_odd = seconds.size() % 2 == 1;
  return util::from_seconds(is_odd ? high : (*std::max_element(seconds.begin(), middle) + high) / 2);
}

class Median {
 public:
  void add(util::Duration duration) {
    const auto seconds = static_cast<float>(util::seconds(duration));
    if (lower_.empty() || seconds <= lower_.top()) {
      lower_.push(seconds);
    } else {
      upper_.push(seconds);
    }
    if (lower_.size() > upper_.size() + 1) {
      upper_.push(lower_.top());
      lower_.pop();
    } else if (upper_.size() > lower_.size()) {
      lower_.push(upper_.top());
      upper_.pop();
    }
  }

  /// As median_of().
  [[nodiscard]] std::optional<util::Duration> value() const {
    if (lower_.size() + upper_.size() < kEnoughForMedian) return std::nullopt;
    const double low = lower_.top();
    return util::from_seconds(lower_.size() > upper_.size() ? low : (low + upper_.top()) / 2);
  }

 private:
  std::priority_queue<float> lower_;                                           ///< the lesser half, the greatest on top
  std::priority_queue<float, std::vector<float>, std::greater<float>> upper_;  ///< the other, the least on top
};

}  // namespace runner::core
