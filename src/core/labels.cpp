#include "core/labels.hpp"

#include <algorithm>
#include <bit>
#include <functional>
#include <numeric>
#include <stdexcept>
#include <unordered_map>

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
  if (column.size() >= kNone) throw std::length_error("a list of 2^32 strings");
  slots_.assign(std::bit_ceil(column.size() + column.size() / 2 + 1), kNone);
  const auto size = static_cast<Index>(column.size());
  for (Index i = 0; i < size; ++i) {
    Index& slot = slots_[slot_of(column, column[i])];
    if (slot == kNone) {
      slot = i;
    } else {
      repeats_.push_back({i, slot, 0});
    }
  }
  number_repeats(column);

  bool all_are_numbers = repeats_.empty() && size > 0;
  bool some_could_be = false;
  for (Index i = 0; i < size && (all_are_numbers || !some_could_be); ++i) {
    all_are_numbers = all_are_numbers && util::parse_int(column[i]);
    some_could_be = some_could_be || column[i].starts_with('@') || looks_like_range(column[i]);
  }
  style_ = all_are_numbers ? KeyStyle::numbers : some_could_be ? KeyStyle::ambiguous : KeyStyle::words;
}

/// Where the label's first occurrence is, or belongs.
std::size_t Labels::slot_of(const Column& column, std::string_view label) const {
  const std::size_t mask = slots_.size() - 1;  // a power of two, of which at most 2/3 are taken
  std::size_t slot = std::hash<std::string_view>()(label) & mask;
  while (slots_[slot] != kNone && column[slots_[slot]] != label) slot = (slot + 1) & mask;
  return slot;
}

Labels::Index Labels::first_of(const Column& column, std::string_view label) const {
  return slots_[slot_of(column, label)];
}

/// "x#2" may only stand for the second x where no label is "x#2" as such. Two different labels never get the same key
/// otherwise: what stands before the last '#' tells them apart.
void Labels::number_repeats(const Column& column) {
  std::unordered_map<Index, std::uint32_t> last_number;  // by first occurrence
  for (Repeat& repeat : repeats_) {
    std::uint32_t& number = last_number.try_emplace(repeat.first, 1).first->second;
    const std::string prefix = std::string(column[repeat.first]) + "#";
    do {
      ++number;
    } while (first_of(column, prefix + std::to_string(number)) != kNone);
    repeat.number = number;
  }
  repeats_by_first_.resize(repeats_.size());
  std::iota(repeats_by_first_.begin(), repeats_by_first_.end(), Index{0});
  std::stable_sort(repeats_by_first_.begin(), repeats_by_first_.end(),
                   [&](Index a, Index b) { return repeats_[a].first < repeats_[b].first; });
}

const Labels::Repeat* Labels::repeat_at(Index index) const {
  const auto found =
      std::partition_point(repeats_.begin(), repeats_.end(), [&](const Repeat& r) { return r.index < index; });
  return found != repeats_.end() && found->index == index ? &*found : nullptr;
}

std::string Labels::key(const Column& column, std::uint64_t index) const {
  std::string key(column[index]);
  if (const Repeat* repeat = repeat_at(static_cast<Index>(index))) key += "#" + std::to_string(repeat->number);
  return key;
}

std::optional<std::uint64_t> Labels::find(const Column& column, std::string_view key) const {
  if (slots_.empty()) return std::nullopt;
  if (const Index first = first_of(column, key); first != kNone) return first;
  const auto mark = key.rfind('#');
  const auto number = mark == std::string_view::npos ? std::nullopt : util::parse_int(key.substr(mark + 1));
  if (!number) return std::nullopt;
  const Index first = first_of(column, key.substr(0, mark));
  if (first == kNone) return std::nullopt;
  const auto found = std::partition_point(repeats_by_first_.begin(), repeats_by_first_.end(), [&](Index i) {
    const Repeat& repeat = repeats_[i];
    return repeat.first < first || (repeat.first == first && repeat.number < *number);
  });
  if (found == repeats_by_first_.end()) return std::nullopt;
  const Repeat& repeat = repeats_[*found];
  if (repeat.first != first || repeat.number != *number) return std::nullopt;
  return repeat.index;
}

}  // namespace runner::core
