#include "core/interval_set.hpp"

#include <algorithm>

namespace runner::core {
namespace {

using Intervals = std::vector<IntervalSet::Interval>;

/// The first interval that ends at or after `index`.
Intervals::const_iterator ending_at_or_after(const Intervals& intervals, std::uint64_t index) {
  return std::partition_point(intervals.begin(), intervals.end(), [&](const auto& i) { return i.last < index; });
}

std::uint64_t width(const IntervalSet::Interval& i) {
  return i.last - i.first + 1;
}

}  // namespace

IntervalSet IntervalSet::range(std::uint64_t first, std::uint64_t last) {
  IntervalSet set;
  set.insert_range(first, last);
  return set;
}

IntervalSet IntervalSet::first_n(std::uint64_t n) {
  return n == 0 ? IntervalSet() : range(0, n - 1);
}

void IntervalSet::insert(std::uint64_t index) {
  insert_range(index, index);
}

void IntervalSet::insert_range(std::uint64_t first, std::uint64_t last) {
  if (first > last) return;
  const bool is_beyond_end = intervals_.empty() || (first > intervals_.back().last);
  if (is_beyond_end) {
    if (!intervals_.empty() && first == intervals_.back().last + 1) {
      intervals_.back().last = last;
    } else {
      intervals_.push_back({first, last});
    }
    count_ += last - first + 1;
    return;
  }
  // [begin, end): the intervals that overlap or touch the new one; they become one interval.
  const auto begin = ending_at_or_after(intervals_, first == 0 ? 0 : first - 1);
  auto end = begin;
  Interval merged{first, last};
  for (; end != intervals_.end() && (last == UINT64_MAX || end->first <= last + 1); ++end) {
    merged = {std::min(merged.first, end->first), std::max(merged.last, end->last)};
    count_ -= width(*end);
  }
  count_ += width(merged);
  if (begin == end) {
    intervals_.insert(begin, merged);
  } else {
    const auto position = begin - intervals_.begin();
    intervals_[static_cast<std::size_t>(position)] = merged;
    intervals_.erase(begin + 1, end);
  }
}

void IntervalSet::insert(const IntervalSet& other) {
  for (const Interval& interval : other.intervals_) insert_range(interval.first, interval.last);
}

void IntervalSet::erase(std::uint64_t index) {
  const auto found = ending_at_or_after(intervals_, index);
  if (found == intervals_.end() || found->first > index) return;
  --count_;
  const auto at = intervals_.begin() + (found - intervals_.begin());
  if (at->first == at->last) {
    intervals_.erase(at);
  } else if (at->first == index) {
    ++at->first;
  } else if (at->last == index) {
    --at->last;
  } else {
    const Interval upper{index + 1, at->last};
    at->last = index - 1;
    intervals_.insert(at + 1, upper);
  }
}

bool IntervalSet::contains(std::uint64_t index) const {
  const auto found = ending_at_or_after(intervals_, index);
  return found != intervals_.end() && found->first <= index;
}

IntervalSet IntervalSet::without(const IntervalSet& other) const {
  IntervalSet result;
  auto hole = other.intervals_.begin();
  for (const Interval& mine : intervals_) {
    std::uint64_t from = mine.first;
    bool is_used_up = false;
    while (hole != other.intervals_.end() && hole->last < from) ++hole;
    for (; hole != other.intervals_.end() && hole->first <= mine.last; ++hole) {
      if (hole->first > from) result.insert_range(from, hole->first - 1);
      is_used_up = hole->last >= mine.last;
      if (is_used_up) break;  // the same hole may reach into the next interval
      from = hole->last + 1;
    }
    if (!is_used_up) result.insert_range(from, mine.last);
  }
  return result;
}

IntervalSet IntervalSet::intersect(const IntervalSet& other) const {
  IntervalSet result;
  auto a = intervals_.begin();
  auto b = other.intervals_.begin();
  while (a != intervals_.end() && b != other.intervals_.end()) {
    result.insert_range(std::max(a->first, b->first), std::min(a->last, b->last));
    if (a->last < b->last) {
      ++a;
    } else {
      ++b;
    }
  }
  return result;
}

std::string IntervalSet::to_string(std::size_t max_intervals) const {
  std::string text;
  std::uint64_t shown = 0;
  for (std::size_t i = 0; i < intervals_.size(); ++i) {
    const Interval& interval = intervals_[i];
    if (i > 0) text += ',';
    if (i >= max_intervals) return text + "... (" + std::to_string(count_ - shown) + " more)";
    text += std::to_string(interval.first);
    if (interval.last != interval.first) text += '-' + std::to_string(interval.last);
    shown += width(interval);
  }
  return text;
}

}  // namespace runner::core
