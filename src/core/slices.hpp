// SliceList: the slices of a job, generated one at a time. A range of 10,000,000 costs no memory; lists that come
// from files keep their text once, in one block. Immutable after construction; no I/O (spec/ reads the files).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include "core/interval_set.hpp"
#include "core/variables.hpp"
#include "util/result.hpp"

namespace runner::core {

/// first, first+step, ... up to last (inclusive); step > 0.
struct IntRange {
  std::int64_t first = 0;
  std::int64_t last = 0;
  std::int64_t step = 1;
  [[nodiscard]] std::uint64_t size() const;
};

/// "0-99", "0-99:5", "1,4,7-9". The error says what is wrong and shows the part.
util::Result<std::vector<IntRange>> parse_ranges(std::string_view text);

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

/// Where one axis of slices comes from.
struct Numbers {
  std::vector<IntRange> ranges;
};  ///< {slice}
struct Blocks {
  std::uint64_t rows = 0;
  std::uint64_t block = 1;
};  ///< {first}, {last}: inclusive row numbers
struct Files {
  StringTable paths;
};  ///< {file}, {file.name}, {file.stem}, {file.dir}
struct Lines {
  StringTable lines;
};  ///< {line}
struct Items {
  StringTable items;
};  ///< {item}
struct Table {
  std::vector<std::string> columns;
  StringTable cells;
};  ///< a variable per column; cells row by row
using SliceSource = std::variant<Numbers, Blocks, Files, Lines, Items, Table>;

class SliceList {
 public:
  /// No slices at all.
  SliceList() = default;
  explicit SliceList(SliceSource source);
  /// {matrix: {name: source, ...}}: the product, last axis fastest. Axis sources are Numbers or Items.
  static SliceList matrix(std::vector<std::pair<std::string, SliceSource>> axes);

  [[nodiscard]] std::uint64_t size() const { return size_; }
  /// The slice's label, unique in the list: the number; the block's number; the file, line, item or first column
  /// (with "#2", "#3" ... where it occurs again); "seed=3,model=a" for a matrix.
  [[nodiscard]] std::string key(std::uint64_t index) const;
  /// The inverse of key().
  [[nodiscard]] std::optional<std::uint64_t> find(std::string_view key) const;
  /// Sets what the source defines, and {slice} (the key) and {index}.
  void set_variables(std::uint64_t index, Variables& variables) const;
  /// The names set_variables sets.
  [[nodiscard]] std::vector<std::string> variable_names() const;
  /// Whether keys are numbers, so that a selection such as "3,7-9" means keys; otherwise it means indices.
  [[nodiscard]] bool has_number_keys() const;

  /// A selection as --slices takes it: numbers and ranges (keys where keys are numbers, else indices), or exact keys,
  /// separated by commas. A number or key that is not in the list is an error that names it.
  [[nodiscard]] util::Result<IntervalSet> select(std::string_view text) const;
  /// The inverse of select(): a list that may be pasted back into --slices.
  [[nodiscard]] std::string format_selection(const IntervalSet& indices, std::size_t max_intervals = SIZE_MAX) const;

  /// Changes whenever any key or variable changes (64-bit FNV-1a); O(1) for ranges and blocks.
  [[nodiscard]] std::uint64_t fingerprint() const;

 private:
  struct Axis {
    std::string name;  ///< the variable's name in a matrix, "" otherwise
    SliceSource source;
    std::uint64_t size = 0;
  };
  std::vector<Axis> axes_;
  std::uint64_t size_ = 0;
  std::unordered_map<std::uint64_t, std::uint32_t> repeats_;  ///< index -> 2, 3, ... where a label occurs again
};

}  // namespace runner::core
