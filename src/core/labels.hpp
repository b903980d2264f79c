// Labels: turns the strings of a list into keys that are unique - where a label occurs again it becomes "x#2", "x#3",
// ... and never the same as another label - and finds them. Holds indices only, not the strings; immutable.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace runner::core {

/// Many strings in one block.
class StringTable {
 public:
  void push_back(std::string_view text);
  [[nodiscard]] std::string_view operator[](std::uint64_t i) const;
  [[nodiscard]] std::uint64_t size() const { return ends_.size(); }

 private:
  std::string text_;
  std::vector<std::uint64_t> ends_;
};

/// Every `stride`-th string of a table, from the first: a column. Borrows the table.
class Column {
 public:
  explicit Column(const StringTable& table, std::uint64_t stride = 1) : table_(&table), stride_(stride) {}
  [[nodiscard]] std::uint64_t size() const { return table_->size() / stride_; }
  [[nodiscard]] std::string_view operator[](std::uint64_t i) const { return (*table_)[i * stride_]; }

 private:
  const StringTable* table_;
  std::uint64_t stride_;
};

/// What the keys look like, which decides how a selection is read.
enum class KeyStyle : std::uint8_t {
  numbers,    ///< all are integers, each once: "3" is a key
  words,      ///< none could be taken for a number, a range or "@3": "3" is an index
  ambiguous,  ///< some could: "3" is a key, an index is written "@3"
};

class Labels {
 public:
  Labels() = default;
  explicit Labels(const Column& column);  ///< at most 2^32 labels

  // The column must be the one the labels were made of.
  [[nodiscard]] std::string key(const Column& column, std::uint64_t index) const;
  /// The inverse of key(). O(log n).
  [[nodiscard]] std::optional<std::uint64_t> find(const Column& column, std::string_view key) const;
  [[nodiscard]] KeyStyle style() const { return style_; }

 private:
  using Index = std::uint32_t;
  struct Repeat {
    Index index;
    std::uint32_t number;  ///< 2, 3, ...
  };
  using Iterator = std::vector<Index>::const_iterator;

  [[nodiscard]] std::pair<Iterator, Iterator> equal_range(const Column& column, std::string_view label) const;
  /// 1 where the label occurs for the first time.
  [[nodiscard]] std::uint32_t number_of(Index index) const;
  void number_repeats(const Column& column);

  std::vector<Index> by_label_;  ///< indices in order of label, then of index
  std::vector<Repeat> repeats_;  ///< in order of index; only where a label occurs again
  KeyStyle style_ = KeyStyle::words;
};

}  // namespace runner::core
