// ChunkedSet: a set of slice indices that is cheap to change anywhere, even with 500,000 gaps in it, where one vector
// of intervals would be moved at every change. For sets that live through a run; an IntervalSet is made of it to be
// shown.
#pragma once

#include <cstdint>
#include <map>

#include "core/interval_set.hpp"

namespace runner::core {

class ChunkedSet {
 public:
  void insert(std::uint64_t index) {
    IntervalSet& chunk = chunks_[index >> kShift];
    count_ -= chunk.count();
    chunk.insert(index);
    count_ += chunk.count();
  }
  /// Whether it was there.
  bool erase(std::uint64_t index) {
    const auto it = chunks_.find(index >> kShift);
    if (it == chunks_.end() || !it->second.contains(index)) return false;
    it->second.erase(index);
    if (it->second.empty()) chunks_.erase(it);
    --count_;
    return true;
  }
  [[nodiscard]] bool contains(std::uint64_t index) const {
    const auto it = chunks_.find(index >> kShift);
    return it != chunks_.end() && it->second.contains(index);
  }
  /// The lowest; of a set that is not empty.
  [[nodiscard]] std::uint64_t first() const { return chunks_.begin()->second.intervals().front().first; }
  [[nodiscard]] std::uint64_t count() const { return count_; }
  [[nodiscard]] bool empty() const { return count_ == 0; }
  [[nodiscard]] IntervalSet intervals() const {
    IntervalSet all;
    for (const auto& [number, chunk] : chunks_) all.insert(chunk);
    return all;
  }

 private:
  static constexpr unsigned kShift = 12;  // 4096 slices: at most 32 KiB to move
  std::map<std::uint64_t, IntervalSet> chunks_;
  std::uint64_t count_ = 0;
};

}  // namespace runner::core
