// Labels: turns the strings of a list into keys that are unique - where a label occurs again it becomes "x#2", "x#3",
// ... and never the same as another label - and finds them. Holds indices only, not the strings; immutable.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
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
  explicit Labels(const Column& column);  ///< throws std::length_error at 2^32-1 labels

  // The column must be the one the labels were made of.
  [[nodiscard]] std::string key(const Column& column, std::uint64_t index) const;
  /// The inverse of key(). O(1), with repeated labels O(log n).
  [[nodiscard]] std::optional<std::uint64_t> find(const Column& column, std::string_view key) const;
  [[nodiscard]] KeyStyle style() const { return style_; }

 private:
  using Index = std::uint32_t;
  static constexpr Index kNone = UINT32_MAX;
  struct Repeat {
    Index index;
    Index first;           ///< where the label occurs for the first time
    std::uint32_t number;  ///< 2, 3, ...
  };

  [[nodiscard]] std::size_t slot_of(const Column& column, std::string_view label) const;
  [[nodiscard]] Index first_of(const Column& column, std::string_view label) const;
  [[nodiscard]] const Repeat* repeat_at(Index index) const;
  void number_repeats(const Column& column);

  std::vector<Index> slots_;             ///< a hash table of first occurrences: open addressing, linear probing
  std::vector<Repeat> repeats_;          ///< in order of index
  std::vector<Index> repeats_by_first_;  ///< places in repeats_ in order of first, then of number
  KeyStyle style_ = KeyStyle::words;
};

}  // namespace runner::core
