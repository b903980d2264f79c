// SliceList's selections, as --slices takes them and as reports print them.
#include <algorithm>

#include "core/slice_text.hpp"
#include "core/slices.hpp"
#include "util/text.hpp"

namespace runner::core {
namespace {

std::string shown(std::string_view text) {
  return util::escape_for_display(text, 100);
}

/// "0-99", "0-4,7-9,12-99:3,..."
std::string summary(const RangeList& list) {
  constexpr std::size_t kMaxRanges = 5;
  std::string text;
  for (std::size_t i = 0; i < list.ranges().size(); ++i) {
    if (i > 0) text += ",";
    if (i >= kMaxRanges) return text + "...";
    text += to_string(list.ranges()[i]);
  }
  return text;
}

std::string joined(const std::vector<IntRange>& ranges) {
  std::string text;
  for (const IntRange& range : ranges) {
    if (!text.empty()) text += ",";
    // 3,8 rather than 3-8:5
    const bool is_pair = range.size() == 2 && range.step != 1;
    text += is_pair ? std::to_string(range.first) + "," + std::to_string(range.last) : to_string(range);
  }
  return text;
}

}  // namespace

KeyStyle SliceList::key_style() const {
  if (axes_.empty() || is_matrix()) return KeyStyle::words;
  return axes_[0].is_text ? axes_[0].labels.style() : KeyStyle::numbers;
}

bool SliceList::has_number_keys() const {
  return key_style() == KeyStyle::numbers;
}

RangeList SliceList::number_keys() const {
  if (!axes_[0].is_text) return axes_[0].numbers;
  return RangeList(number_keys(IntervalSet::first_n(size_), SIZE_MAX));
}

std::vector<IntRange> SliceList::number_keys(const IntervalSet& indices, std::size_t max_ranges) const {
  if (!axes_[0].is_text) return axes_[0].numbers.at(indices, max_ranges);
  std::vector<IntRange> ranges;
  for (const auto& interval : indices.intervals()) {
    for (std::uint64_t i = interval.first; i <= interval.last; ++i) {
      const std::int64_t number = util::parse_int(axes_[0].key(i)).value_or(0);  // KeyStyle::numbers: it is one
      const bool follows = !ranges.empty() && ranges.back().last != INT64_MAX && ranges.back().last + 1 == number;
      if (follows) {
        ranges.back().last = number;
      } else if (ranges.size() < max_ranges) {
        ranges.push_back({number, number, 1});
      } else {
        return ranges;
      }
    }
  }
  return ranges;
}

/// Reads the items of one selection.
class SliceList::Selector {
 public:
  explicit Selector(const SliceList& list) : list_(list), style_(list.key_style()) {}

  util::Result<IntervalSet> select(std::string_view text) {
    if (util::trim(text).empty()) return util::Error{"the selection is empty: name slices, such as 3,7-9"};
    std::vector<IntervalSet::Interval> found_all;
    for (const std::string& item : items_of(text)) {
      if (item.empty()) return util::Error{"\"" + shown(text) + "\" has nothing between two commas"};
      const auto found = select_item(item);
      if (!found) return found.error();
      found_all.insert(found_all.end(), found->intervals().begin(), found->intervals().end());
      if (found_all.size() > IntervalSet::kMaxIntervals) return util::Error{too_many_intervals()};
    }
    // In order, each goes to the end of the set; in the middle of a large one it would push the rest along.
    std::sort(found_all.begin(), found_all.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
    IntervalSet selected;
    for (const auto& interval : found_all) selected.insert_range(interval.first, interval.last);
    return selected;
  }

 private:
  /// Still escaped. In a matrix, a key with its commas is one item.
  [[nodiscard]] std::vector<std::string> items_of(std::string_view text) const {
    const std::string key_begin = list_.is_matrix() ? list_.axes_[0].name + "=" : "";
    std::vector<std::string> items;
    std::size_t missing_parts = 0;
    for (const std::string_view part : split_at_commas(text)) {
      const std::string_view item = util::trim(part);
      if (missing_parts > 0) {
        items.back() += "," + std::string(item);
        --missing_parts;
        continue;
      }
      items.emplace_back(item);
      if (list_.is_matrix() && item.starts_with(key_begin)) missing_parts = list_.axes_.size() - 1;
    }
    return items;
  }

  util::Result<IntervalSet> select_item(const std::string& item) {
    if (item[0] == '@') return select_indices(item.substr(1));
    switch (style_) {
      case KeyStyle::numbers:
        if (looks_like_range(item)) return select_numbers(item);
        break;
      case KeyStyle::words:
        if (looks_like_range(item)) return select_indices(item);
        break;
      case KeyStyle::ambiguous:
        break;
    }
    return select_key(item);
  }

  util::Result<IntervalSet> select_numbers(const std::string& item) {
    const auto range = parse_range(item);
    if (!range) return range.error();
    if (range->size() == 1) {
      if (const auto index = list_.find(std::to_string(range->first))) return IntervalSet::range(*index, *index);
    } else {
      if (!numbers_) numbers_ = list_.number_keys();
      auto found = numbers_->find_all(*range);
      if (!found || !found->empty()) return found;
    }
    return nothing(item);
  }

  util::Result<IntervalSet> select_indices(const std::string& item) {
    const auto range = parse_range(item);
    if (!range) return range.error();
    auto found = RangeList::first_n(list_.size()).find_all(*range);
    if (!found || !found->empty()) return found;
    if (list_.size() == 0) return nothing(item);
    return util::Error{"no slice with index " + item + " (indices are " + summary(RangeList::first_n(list_.size())) +
                       ")"};
  }

  util::Result<IntervalSet> select_key(const std::string& item) {
    const std::string key = list_.is_matrix() ? item : unescape(item);
    if (const auto index = list_.find(key)) return IntervalSet::range(*index, *index);
    return nothing(key);
  }

  [[nodiscard]] util::Error nothing(const std::string& item) {
    const std::string text = "no slice " + shown(item);
    if (list_.size() == 0) return {text + " (there are no slices)"};
    if (style_ == KeyStyle::numbers) {
      if (!numbers_) numbers_ = list_.number_keys();
      return {text + " (slices are " + summary(*numbers_) + ")"};
    }
    if (style_ == KeyStyle::ambiguous && looks_like_range(item)) {
      return {text + " (keys are such as " + shown(list_.key(0)) + "; write @" + item + " for the index)"};
    }
    if (const auto near = nearest_key(item)) return {text + "; did you mean " + shown(*near) + "?"};
    return {text + " (keys are such as " + shown(list_.key(0)) + ")"};
  }

  [[nodiscard]] std::optional<std::string> nearest_key(const std::string& word) const {
    constexpr std::uint64_t kMaxCompared = 10'000;
    std::vector<std::string> keys;
    for (std::uint64_t i = 0; i < std::min(list_.size(), kMaxCompared); ++i) keys.push_back(list_.key(i));
    return util::closest(word, keys);
  }

  const SliceList& list_;
  const KeyStyle style_;
  std::optional<RangeList> numbers_;  ///< made when the first range needs it
};

util::Result<IntervalSet> SliceList::select(std::string_view text) const {
  return Selector(*this).select(text);
}

std::string SliceList::format_selection(const IntervalSet& indices, std::size_t max_intervals) const {
  const KeyStyle style = key_style();
  if (style == KeyStyle::words) return indices.to_string(max_intervals);
  if (style == KeyStyle::ambiguous) {
    std::string text = indices.to_string(max_intervals);
    for (std::size_t i = 0; i < text.size(); ++i) {
      const bool begins_item = text[i] >= '0' && text[i] <= '9' && (i == 0 || text[i - 1] == ',');
      if (begins_item) text.insert(i++, "@");
    }
    return text;
  }
  const auto ranges = number_keys(indices, max_intervals);
  std::uint64_t left = indices.count();
  for (const IntRange& range : ranges) left -= range.size();
  if (left == 0) return joined(ranges);
  return joined(ranges) + (ranges.empty() ? "" : ",") + "... (" + std::to_string(left) + " more)";
}

}  // namespace runner::core
