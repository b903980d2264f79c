#include "core/labels.hpp"

#include <algorithm>
#include <numeric>
#include <stdexcept>

#include "core/ranges.hpp"
#include "util/text.hpp"

namespace runner::core {

void StringTable::push_back(std::string_view text) {
  text_ += text;
  ends_.push_back(text_.size());
}

std::string_view StringTable::operator[](std::uint64_t i) const {
  const std::uint64_t begin = i == 0 ? 0 : ends_[i - 1];
  return std::string_view(text_).substr(begin, ends_[i] - begin);
}

Labels::Labels(const Column& column) {
  if (column.size() > UINT32_MAX) throw std::length_error("a list of more than 2^32 strings");
  by_label_.resize(column.size());
  std::iota(by_label_.begin(), by_label_.end(), Index{0});
  const auto is_before = [&](Index a, Index b) {
    const int order = column[a].compare(column[b]);
    return order != 0 ? order < 0 : a < b;
  };
  std::sort(by_label_.begin(), by_label_.end(), is_before);
  number_repeats(column);

  bool all_are_numbers = repeats_.empty() && !by_label_.empty();
  bool some_could_be = false;
  for (Index i = 0; i < column.size() && (all_are_numbers || !some_could_be); ++i) {
    all_are_numbers = all_are_numbers && util::parse_int(column[i]);
    some_could_be = some_could_be || column[i].starts_with('@') || looks_like_range(column[i]);
  }
  style_ = all_are_numbers ? KeyStyle::numbers : some_could_be ? KeyStyle::ambiguous : KeyStyle::words;
}

/// "x#2" may only stand for the second x where no label is "x#2" as such. Two different labels never get the same key
/// otherwise: what stands before the last '#' tells them apart.
void Labels::number_repeats(const Column& column) {
  for (auto first = by_label_.begin(); first != by_label_.end();) {
    const std::string_view label = column[*first];
    std::uint32_t number = 1;
    auto next = first + 1;
    for (; next != by_label_.end() && column[*next] == label; ++next) {
      const auto is_taken = [&] {
        const auto [begin, end] = equal_range(column, std::string(label) + "#" + std::to_string(number));
        return begin != end;
      };
      do {
        ++number;
      } while (is_taken());
      repeats_.push_back({*next, number});
    }
    first = next;
  }
  std::sort(repeats_.begin(), repeats_.end(), [](const Repeat& a, const Repeat& b) { return a.index < b.index; });
}

std::pair<Labels::Iterator, Labels::Iterator> Labels::equal_range(const Column& column, std::string_view label) const {
  const auto begin =
      std::partition_point(by_label_.begin(), by_label_.end(), [&](Index i) { return column[i].compare(label) < 0; });
  const auto end = std::partition_point(begin, by_label_.end(), [&](Index i) { return column[i] == label; });
  return {begin, end};
}

std::uint32_t Labels::number_of(Index index) const {
  const auto found =
      std::partition_point(repeats_.begin(), repeats_.end(), [&](const Repeat& r) { return r.index < index; });
  return found != repeats_.end() && found->index == index ? found->number : 1;
}

std::string Labels::key(const Column& column, std::uint64_t index) const {
  std::string key(column[index]);
  if (const std::uint32_t number = number_of(static_cast<Index>(index)); number > 1) {
    key += "#" + std::to_string(number);
  }
  return key;
}

std::optional<std::uint64_t> Labels::find(const Column& column, std::string_view key) const {
  if (const auto [begin, end] = equal_range(column, key); begin != end) return *begin;
  const auto mark = key.rfind('#');
  if (mark == std::string_view::npos) return std::nullopt;
  const auto number = util::parse_int(key.substr(mark + 1));
  if (!number || *number < 2) return std::nullopt;
  const auto [begin, end] = equal_range(column, key.substr(0, mark));
  const auto found = std::partition_point(begin, end, [&](Index i) { return number_of(i) < *number; });
  if (found == end || number_of(*found) != *number) return std::nullopt;
  return *found;
}

}  // namespace runner::core
