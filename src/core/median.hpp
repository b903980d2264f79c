// Median: of durations that come one by one, exact at any moment, at 4 bytes and O(log n) each.
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <queue>
#include <vector>

#include "util/clock.hpp"

namespace runner::core {

class Median {
 public:
  /// With fewer a median says little.
  static constexpr std::size_t kEnough = 5;

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

  /// The middle one, or the mean of the two in the middle; nullopt of fewer than kEnough.
  [[nodiscard]] std::optional<util::Duration> value() const {
    if (lower_.size() + upper_.size() < kEnough) return std::nullopt;
    const double low = lower_.top();
    return util::from_seconds(lower_.size() > upper_.size() ? low : (low + upper_.top()) / 2);
  }

 private:
  std::priority_queue<float> lower_;                                           ///< the lesser half, the greatest on top
  std::priority_queue<float, std::vector<float>, std::greater<float>> upper_;  ///< the other, the least on top
};

}  // namespace runner::core
