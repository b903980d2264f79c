// Slices and selections. The first line of an input is a list of slices, each other line a selection of them:
//   0-9,20-29:3         numbers
//   [a|b|c              items
//   =seed=0-9;model=a|b a matrix of axes
//   #1000 64            rows in blocks
// Held: keys and indices lead to each other; what is selected is there; a selection that is printed selects the same.
#include <algorithm>
#include <stdexcept>

#include "core/slices.hpp"
#include "target.hpp"
#include "util/text.hpp"

namespace runner::fuzz {
namespace {

void check_message(const std::string& message) {
  require(!message.empty() && message.size() < 4096, "a message is there, and short");
  require(util::escape_for_display(message, SIZE_MAX) == message, "a message can be shown");
}

std::optional<core::SliceSource> source_of(std::string_view text) {
  if (text.starts_with('[') || text.find('|') != std::string_view::npos) {
    core::Items items;
    for (const auto item : util::split(text.substr(text.starts_with('[') ? 1 : 0), '|')) items.items.push_back(item);
    return items;
  }
  if (text.starts_with('#')) {
    const auto numbers = util::split(text.substr(1), ' ');
    if (numbers.size() != 2) return std::nullopt;
    const auto rows = util::parse_int(numbers[0]);
    const auto block = util::parse_int(numbers[1]);
    if (!rows || !block || *rows < 0 || *block < 1) return std::nullopt;
    return core::Blocks{static_cast<std::uint64_t>(*rows), static_cast<std::uint64_t>(*block)};
  }
  const auto ranges = core::parse_ranges(text);
  if (!ranges) {
    check_message(ranges.error().message);
    return std::nullopt;
  }
  for (const core::IntRange& range : *ranges) {
    require(core::parse_range(core::to_string(range)).ok(), "a range is read as it is written");
  }
  return core::Numbers{*ranges};
}

std::optional<core::SliceList> list_of(std::string_view text) {
  if (!text.starts_with('=')) {
    auto source = source_of(text);
    if (!source) return std::nullopt;
    return core::SliceList(std::move(*source));
  }
  std::vector<std::pair<std::string, core::SliceSource>> axes;
  std::vector<std::uint64_t> sizes;
  for (const auto axis : util::split(text.substr(1), ';')) {
    const auto equals = axis.find('=');
    if (equals == std::string_view::npos || !util::is_identifier(axis.substr(0, equals))) return std::nullopt;
    const std::string name(axis.substr(0, equals));
    if (std::any_of(axes.begin(), axes.end(), [&](const auto& other) { return other.first == name; })) {
      return std::nullopt;
    }
    auto source = source_of(axis.substr(equals + 1));
    if (!source) return std::nullopt;
    sizes.push_back(core::SliceList(*source).size());
    axes.emplace_back(name, std::move(*source));
  }
  if (!core::SliceList::matrix_size(sizes)) return std::nullopt;
  return core::SliceList::matrix(std::move(axes));
}

void check_keys(const core::SliceList& slices) {
  const std::uint64_t size = slices.size();
  require(size <= core::kMaxSlices, "there are no more slices than can be counted");
  std::string before;
  for (const std::uint64_t index : {std::uint64_t{0}, std::uint64_t{1}, size / 3, size / 2, size - 2, size - 1}) {
    if (index >= size) continue;
    const std::string key = slices.key(index);
    require(slices.find(key) == index, "a key leads back to its slice");
    core::Variables variables;
    slices.set_variables(index, variables);
    require(*variables.find("slice") == key, "{slice} is the key");
  }
}

void check_selection(const core::SliceList& slices, std::string_view text) {
  const auto selected = slices.select(text);
  if (!selected) {
    check_message(selected.error().message);
    return;
  }
  require(!selected->empty(), "a selection selects something");
  require(selected->intervals().back().last < slices.size(), "what is selected is there");
  if (selected->intervals().size() > 1000) return;
  const std::string printed = slices.format_selection(*selected, 1'000'000);
  if (printed.find("...") != std::string::npos) return;
  const auto again = slices.select(printed);
  require(again.ok() && *again == *selected, "a selection is read as it is printed");
}

}  // namespace

std::string input_of_seed(const std::string& text) {
  return text;
}

void try_input(std::string_view input) {
  const auto lines = util::split(input, '\n');
  const auto slices = list_of(lines[0]);
  if (!slices) return;
  check_keys(*slices);
  for (std::size_t i = 1; i < std::min<std::size_t>(lines.size(), 9); ++i) check_selection(*slices, lines[i]);
}

}  // namespace runner::fuzz
