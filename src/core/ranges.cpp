#include "core/ranges.hpp"

#include <algorithm>
#include <cassert>
#include <numeric>
#include <utility>

#include "util/text.hpp"

namespace runner::core {
namespace {

__extension__ using Wide = __int128;  // holds every sum and product of two 64-bit numbers

/// Every `stride`-th position of a range, from `first` to `last`.
struct Positions {
  std::uint64_t first = 0;
  std::uint64_t last = 0;
  std::uint64_t stride = 1;
};

std::int64_t number_at(const IntRange& range, std::uint64_t position) {
  return static_cast<std::int64_t>(range.first + Wide{range.step} * position);
}

/// x with a*x = 1 modulo m (a and m have no common divisor), by the extended Euclidean algorithm.
Wide inverse(Wide a, Wide m) {
  Wide x = 0;
  Wide next_x = 1;
  Wide r = m;
  Wide next_r = a % m;
  while (next_r != 0) {
    const Wide quotient = r / next_r;
    x = std::exchange(next_x, x - quotient * next_x);
    r = std::exchange(next_r, r - quotient * next_r);
  }
  return x < 0 ? x + m : x;
}

/// The positions in `range` whose numbers are in `wanted` too: the i with first + i*step = wanted.first modulo
/// wanted.step, within the bounds of both.
std::optional<Positions> common(const IntRange& range, const IntRange& wanted) {
  assert(range.step > 0 && wanted.step > 0);
  const Wide low = std::max(range.first, wanted.first);
  const Wide high = std::min(range.last, wanted.last);
  if (low > high) return std::nullopt;
  const Wide divisor = std::gcd(range.step, wanted.step);
  const Wide distance = Wide{wanted.first} - range.first;
  if (distance % divisor != 0) return std::nullopt;
  const Wide stride = wanted.step / divisor;
  Wide i = 0;
  if (stride > 1) {
    const Wide remainder = (distance / divisor % stride + stride) % stride;
    i = remainder * inverse(range.step / divisor, stride) % stride;
  }
  const Wide from = (low - range.first + range.step - 1) / range.step;
  if (i < from) i += (from - i + stride - 1) / stride * stride;
  const Wide to = (high - range.first) / range.step;
  if (i > to) return std::nullopt;
  const Wide last = i + (to - i) / stride * stride;
  return Positions{static_cast<std::uint64_t>(i), static_cast<std::uint64_t>(last), static_cast<std::uint64_t>(stride)};
}

/// The numbers at `positions`; of those too far apart for a step, the first one.
IntRange numbers_at(const IntRange& range, const Positions& positions) {
  const std::int64_t first = number_at(range, positions.first);
  const Wide step = Wide{range.step} * positions.stride;
  if (positions.first == positions.last || step > INT64_MAX) return {first, first, 1};
  return {first, number_at(range, positions.last), static_cast<std::int64_t>(step)};
}

/// Indices of `ranges` in order of `first`.
std::vector<std::size_t> order_by_first(const std::vector<IntRange>& ranges) {
  std::vector<std::size_t> order(ranges.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  const auto is_before = [&](std::size_t a, std::size_t b) { return ranges[a].first < ranges[b].first; };
  if (!std::is_sorted(order.begin(), order.end(), is_before)) std::stable_sort(order.begin(), order.end(), is_before);
  return order;
}

util::Error error_in(std::string_view item, std::string_view why) {
  return {"\"" + util::escape_for_display(item, 60) + "\" " + std::string(why)};
}

/// The length of an integer at the front of `text`, sign included; 0 where there is none.
std::size_t integer_length(std::string_view text) {
  const std::size_t sign = text.starts_with('-') ? 1 : 0;
  const std::size_t end = std::min(text.find_first_not_of("0123456789", sign), text.size());
  return end == sign ? 0 : end;
}

/// The texts of "first-last:step"; the latter two are empty where they are left out.
struct RangeText {
  std::string_view first, last, step;
};

std::optional<RangeText> take_apart(std::string_view text) {
  const auto take = [&text] {
    const std::string_view number = text.substr(0, integer_length(text));
    text.remove_prefix(number.size());
    return number;
  };
  RangeText parts;
  parts.first = take();
  if (parts.first.empty()) return std::nullopt;
  if (text.starts_with('-')) {
    text.remove_prefix(1);
    parts.last = take();
    if (parts.last.empty()) return std::nullopt;
  }
  if (text.starts_with(':')) {
    text.remove_prefix(1);
    parts.step = take();
    if (parts.step.empty()) return std::nullopt;
  }
  if (!text.empty()) return std::nullopt;
  return parts;
}

util::Result<std::int64_t> parse_number(std::string_view text) {
  if (const auto value = util::parse_int(text)) return *value;
  const std::string_view digits = text.substr(text.starts_with('-') ? 1 : 0);
  if (!digits.starts_with('0')) return error_in(text, "is beyond the 64-bit integers");
  const auto significant = std::min(digits.find_first_not_of('0'), digits.size() - 1);
  return error_in(text, "has leading zeros: write " + util::escape_for_display(digits.substr(significant), 60) +
                            " here, and {slice:0" + std::to_string(digits.size()) + "d} where zeros are wanted");
}

}  // namespace

std::uint64_t IntRange::size() const {
  if (last < first) return 0;
  const std::uint64_t width = static_cast<std::uint64_t>(last) - static_cast<std::uint64_t>(first);
  const std::uint64_t steps = width / static_cast<std::uint64_t>(step);
  return steps == UINT64_MAX ? steps : steps + 1;
}

std::string to_string(const IntRange& range) {
  std::string text = std::to_string(range.first);
  if (range.size() > 1) {
    text += "-" + std::to_string(range.last);
    if (range.step != 1) text += ":" + std::to_string(range.step);
  }
  return text;
}

bool looks_like_range(std::string_view text) {
  return take_apart(text).has_value();
}

util::Result<IntRange> parse_range(std::string_view text) {
  const auto parts = take_apart(text);
  if (!parts) return error_in(text, "is not a number or a range: write 7, 0-99 or 0-99:5, with commas between");
  const auto first = parse_number(parts->first);
  if (!first) return first.error();
  if (parts->last.empty()) {
    if (!parts->step.empty()) return error_in(text, "has a step but no end: write 0-99:5");
    return IntRange{*first, *first, 1};
  }
  const auto last = parse_number(parts->last);
  if (!last) return last.error();
  if (*last < *first) {
    return error_in(text, "runs backwards: write " + to_string({*last, *first, 1}) +
                              (parts->step.empty() ? "" : ":" + util::escape_for_display(parts->step, 60)));
  }
  if (parts->step.empty()) return IntRange{*first, *last, 1};
  const auto step = parse_number(parts->step);
  if (!step) return step.error();
  if (*step < 1) return error_in(text, "has a step below 1");
  return IntRange{*first, *last, *step};
}

util::Result<std::vector<IntRange>> parse_ranges(std::string_view text) {
  std::vector<IntRange> ranges;
  for (const std::string_view item : util::split(text, ',')) {
    const std::string_view trimmed = util::trim(item);
    if (trimmed.empty() && !util::trim(text).empty()) return error_in(text, "has nothing between two commas");
    auto range = parse_range(trimmed);
    if (!range) return range.error();
    ranges.push_back(*range);
  }
  if (auto checked = check_ranges(ranges); !checked) return checked.error();
  return ranges;
}

util::Result<void> check_ranges(const std::vector<IntRange>& ranges) {
  if (ranges.size() > kMaxRanges) {
    return util::Error{util::format_count(ranges.size()) + " ranges, " + util::format_count(kMaxRanges) +
                       " at most are possible: put the numbers into a file, one a line (lines: list.txt)"};
  }
  std::uint64_t total = 0;
  for (const IntRange& range : ranges) {
    if (range.step < 1 || range.last < range.first) {
      return error_in(std::to_string(range.first) + "-" + std::to_string(range.last), "is empty");
    }
    if (range.size() > kMaxSlices - total)
      return util::Error{"more than " + util::format_count(kMaxSlices) + " slices"};
    total += range.size();
  }
  // A sweep over the ranges in order of `first`: only those still open where another begins can share numbers with it.
  std::vector<std::size_t> open;
  std::uint64_t pairs = 0;
  for (const std::size_t i : order_by_first(ranges)) {
    std::erase_if(open, [&](std::size_t j) { return ranges[j].last < ranges[i].first; });
    pairs += open.size();
    if (pairs > kMaxRangePairs) {
      return util::Error{"too many ranges that interleave: put the numbers into a file, one a line (lines: list.txt)"};
    }
    for (const std::size_t j : open) {
      if (const auto shared = common(ranges[i], ranges[j])) {
        const std::string numbers = to_string(numbers_at(ranges[i], *shared));
        return util::Error{numbers + " occurs twice, in " + to_string(ranges[std::min(i, j)]) + " and in " +
                           to_string(ranges[std::max(i, j)])};
      }
    }
    open.push_back(i);
  }
  return {};
}

RangeList::RangeList(const std::vector<IntRange>& ranges) {
  std::uint64_t start = 0;
  for (const IntRange& range : ranges) {
    const std::uint64_t size = range.size();
    const IntRange trimmed{range.first, number_at(range, size - 1), size == 1 ? 1 : range.step};
    const bool continues_last = !ranges_.empty() && ranges_.back().step == 1 && trimmed.step == 1 &&
                                ranges_.back().last != INT64_MAX && ranges_.back().last + 1 == trimmed.first;
    if (continues_last) {
      ranges_.back().last = trimmed.last;
    } else {
      ranges_.push_back(trimmed);
      starts_.push_back(start);
    }
    start += size;
  }
  by_first_ = order_by_first(ranges_);
  largest_last_.reserve(ranges_.size());
  std::int64_t largest = INT64_MIN;
  for (const std::size_t i : by_first_) largest_last_.push_back(largest = std::max(largest, ranges_[i].last));
}

RangeList RangeList::first_n(std::uint64_t n) {
  return n == 0 ? RangeList() : RangeList({{0, static_cast<std::int64_t>(n - 1), 1}});
}

std::size_t RangeList::range_of(std::uint64_t position) const {
  const auto after = std::upper_bound(starts_.begin(), starts_.end(), position);
  return static_cast<std::size_t>(after - starts_.begin()) - 1;
}

std::int64_t RangeList::operator[](std::uint64_t position) const {
  const std::size_t i = range_of(position);
  return number_at(ranges_[i], position - starts_[i]);
}

/// Calls visit(index of a range, Positions in it) for every range with numbers in `wanted`.
template <class Visit>
void RangeList::visit_overlapping(const IntRange& wanted, Visit visit) const {
  const auto after = std::partition_point(by_first_.begin(), by_first_.end(),
                                          [&](std::size_t i) { return ranges_[i].first <= wanted.last; });
  for (auto n = static_cast<std::size_t>(after - by_first_.begin()); n > 0 && largest_last_[n - 1] >= wanted.first;
       --n) {
    const std::size_t i = by_first_[n - 1];
    if (const auto positions = common(ranges_[i], wanted)) visit(i, *positions);
  }
}

std::string too_many_intervals() {
  return "more than " + util::format_count(IntervalSet::kMaxIntervals) +
         " stretches of neighbouring slices: select them in several runs";
}

std::optional<std::uint64_t> RangeList::find(std::int64_t number) const {
  std::optional<std::uint64_t> found;
  visit_overlapping({number, number, 1},
                    [&](std::size_t i, const Positions& positions) { found = starts_[i] + positions.first; });
  return found;
}

util::Result<IntervalSet> RangeList::find_all(const IntRange& wanted) const {
  std::vector<std::pair<std::size_t, Positions>> found;
  visit_overlapping(wanted, [&](std::size_t i, const Positions& positions) { found.emplace_back(i, positions); });
  std::sort(found.begin(), found.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  IntervalSet result;  // positions ascend, so that each insertion is at the end
  for (const auto& [i, positions] : found) {
    if (positions.stride == 1) {
      result.insert_range(starts_[i] + positions.first, starts_[i] + positions.last);
      continue;
    }
    const std::uint64_t count = (positions.last - positions.first) / positions.stride + 1;
    if (count + result.intervals().size() > IntervalSet::kMaxIntervals) return util::Error{too_many_intervals()};
    for (std::uint64_t n = 0; n < count; ++n) result.insert(starts_[i] + positions.first + n * positions.stride);
  }
  return result;
}

std::vector<IntRange> RangeList::at(const IntervalSet& positions, std::size_t max_ranges) const {
  std::vector<IntRange> numbers;
  for (const auto& interval : positions.intervals()) {
    std::uint64_t first = interval.first;
    for (std::size_t i = range_of(first); i < ranges_.size() && first <= interval.last; ++i) {
      if (numbers.size() >= max_ranges) return numbers;
      const std::uint64_t last = std::min(interval.last, starts_[i] + ranges_[i].size() - 1);
      const IntRange& range = ranges_[i];
      numbers.push_back({number_at(range, first - starts_[i]), number_at(range, last - starts_[i]), range.step});
      first = last + 1;
    }
  }
  return numbers;
}

}  // namespace runner::core
