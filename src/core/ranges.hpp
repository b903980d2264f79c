// Ranges of whole numbers: how `0-99:5` and `1,4,7-9` are read, checked and written, and RangeList, which counts
// through a list of them without ever listing the numbers. Values; immutable; exact over all of 64 bits.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/interval_set.hpp"
#include "util/result.hpp"

namespace runner::core {

/// A job never has more slices than this: the record counts them in 64-bit signed integers.
inline constexpr std::uint64_t kMaxSlices = INT64_MAX;

/// Ranges in one list; and pairs of them that interleave, as each is compared with the other.
inline constexpr std::size_t kMaxRanges = 1'000'000;
inline constexpr std::uint64_t kMaxRangePairs = 10'000'000;

/// first, first+step, ... up to last (inclusive); step > 0.
struct IntRange {
  std::int64_t first = 0;
  std::int64_t last = 0;
  std::int64_t step = 1;
  /// 0 where last < first; UINT64_MAX also for the one range that has 2^64 numbers.
  [[nodiscard]] std::uint64_t size() const;
  bool operator==(const IntRange&) const = default;
};

/// "7", "0-99", "0-95:5", "-9--3"; parse_ranges() reads it back.
std::string to_string(const IntRange& range);

/// One item: "7", "-3", "0-99", "0-99:5", "-9--3". The error says what is wrong and shows the item.
util::Result<IntRange> parse_range(std::string_view text);
/// Whether `text` has the shape of one item ("007-9" too), so that it cannot be meant as a name.
bool looks_like_range(std::string_view text);

/// "0-99", "0-99:5", "1,4,7-9", "-5-5"; blanks around an item do not matter. The ranges pass check_ranges().
util::Result<std::vector<IntRange>> parse_ranges(std::string_view text);
/// No range is empty, no number occurs twice, and there are at most kMaxSlices of them. Does not count through them.
util::Result<void> check_ranges(const std::vector<IntRange>& ranges);

/// What is said of a selection that has more than IntervalSet::kMaxIntervals.
std::string too_many_intervals();

/// The numbers of several ranges, one after the other in the order given; a position is a number's place in it.
class RangeList {
 public:
  RangeList() = default;
  /// `ranges` must pass check_ranges().
  explicit RangeList(const std::vector<IntRange>& ranges);
  /// 0, 1, ... n-1
  static RangeList first_n(std::uint64_t n);

  [[nodiscard]] std::uint64_t size() const { return starts_.empty() ? 0 : starts_.back() + ranges_.back().size(); }
  /// In their shortest form: neighbours such as 0-4,5-9 are one, and `last` is a number that occurs.
  [[nodiscard]] const std::vector<IntRange>& ranges() const { return ranges_; }

  /// O(log ranges). `position` < size().
  [[nodiscard]] std::int64_t operator[](std::uint64_t position) const;
  /// The position of `number`. O(log ranges), and the ranges that interleave there (0-98:2,1-99:2).
  [[nodiscard]] std::optional<std::uint64_t> find(std::int64_t number) const;
  /// The positions of all numbers that are in `wanted` too. An error where they make too many intervals
  /// (IntervalSet::kMaxIntervals).
  [[nodiscard]] util::Result<IntervalSet> find_all(const IntRange& wanted) const;
  /// The numbers at these positions, as ranges in order of position; stops after `max_ranges`.
  [[nodiscard]] std::vector<IntRange> at(const IntervalSet& positions, std::size_t max_ranges = SIZE_MAX) const;

 private:
  [[nodiscard]] std::size_t range_of(std::uint64_t position) const;
  template <class Visit>
  void visit_overlapping(const IntRange& wanted, Visit visit) const;

  std::vector<IntRange> ranges_;
  std::vector<std::uint64_t> starts_;       ///< position of each range's first number
  std::vector<std::size_t> by_first_;       ///< ranges in order of `first`
  std::vector<std::int64_t> largest_last_;  ///< of by_first_[0..i]: how far to look back from i
};

}  // namespace runner::core
