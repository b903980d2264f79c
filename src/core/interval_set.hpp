// IntervalSet: a set of slice indices as sorted, disjoint, inclusive intervals, so that "999,990 of 1,000,000"
// costs a few bytes. Used for what is left to do, for --slices, and to print lists such as "3,7-9".
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace runner::core {

class IntervalSet {
 public:
  /// What is made from text has no more, so that `--slices 0-99999999999:2` is refused and not all of the memory used.
  static constexpr std::size_t kMaxIntervals = 2'000'000;

  struct Interval {
    std::uint64_t first;
    std::uint64_t last;  ///< inclusive
    bool operator==(const Interval&) const = default;
  };

  IntervalSet() = default;
  /// {first..last}, both inclusive.
  static IntervalSet range(std::uint64_t first, std::uint64_t last);
  /// {0..n-1}
  static IntervalSet first_n(std::uint64_t n);

  /// O(1) when `index` is beyond or adjacent to the end, else O(log n) search plus an insertion.
  void insert(std::uint64_t index);
  void insert_range(std::uint64_t first, std::uint64_t last);
  void insert(const IntervalSet& other);
  void erase(std::uint64_t index);

  [[nodiscard]] bool contains(std::uint64_t index) const;
  [[nodiscard]] std::uint64_t count() const { return count_; }
  [[nodiscard]] bool empty() const { return count_ == 0; }
  [[nodiscard]] const std::vector<Interval>& intervals() const { return intervals_; }
  /// Every index, the lowest first.
  template <class Visit>
  void for_each(Visit&& visit) const {
    for (const Interval& interval : intervals_) {
      for (std::uint64_t i = interval.first; i != interval.last + 1; ++i) visit(i);
    }
  }

  [[nodiscard]] IntervalSet without(const IntervalSet& other) const;
  [[nodiscard]] IntervalSet intersect(const IntervalSet& other) const;

  /// "3,7-9"; after `max_intervals` intervals ",... (n more)". Empty set: "".
  [[nodiscard]] std::string to_string(std::size_t max_intervals = SIZE_MAX) const;

  bool operator==(const IntervalSet&) const = default;

 private:
  std::vector<Interval> intervals_;
  std::uint64_t count_ = 0;
};

}  // namespace runner::core
