// SliceList: the slices of a job, generated one at a time. A range of 10,000,000 costs no memory; lists that come
// from files keep their text once, in one block. Immutable after construction; no I/O (spec/ reads the files).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "core/interval_set.hpp"
#include "core/labels.hpp"
#include "core/ranges.hpp"
#include "core/variables.hpp"
#include "util/result.hpp"

namespace runner::core {

/// Where one axis of slices comes from.
struct Numbers {
  std::vector<IntRange> ranges;  ///< as check_ranges() wants them
};                               ///< {slice}
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
  /// Throws std::length_error beyond kMaxSlices, or 2^32 strings: who takes a source from a user checks it before.
  explicit SliceList(SliceSource source);
  /// {matrix: {name: source, ...}}: the product, last axis fastest. Names are different identifiers. Throws as above;
  /// matrix_size() tells beforehand.
  static SliceList matrix(std::vector<std::pair<std::string, SliceSource>> axes);
  /// The product of the axes' sizes; nothing where it is more than kMaxSlices.
  static std::optional<std::uint64_t> matrix_size(const std::vector<std::uint64_t>& axes);

  [[nodiscard]] std::uint64_t size() const { return size_; }
  /// The slice's label, unique in the list: the number; the block's number; the file, line, item or first column
  /// (with "#2", "#3" ... where it occurs again); "seed=3,model=a" for a matrix, with a backslash before commas and
  /// backslashes of an item.
  [[nodiscard]] std::string key(std::uint64_t index) const;
  /// The inverse of key(): nothing else is a slice's name. At most O(log n).
  [[nodiscard]] std::optional<std::uint64_t> find(std::string_view key) const;
  /// Sets what the source defines, and {slice} (the key) and {index}, which win over a column of that name.
  void set_variables(std::uint64_t index, Variables& variables) const;
  /// The names set_variables sets.
  [[nodiscard]] std::vector<std::string> variable_names() const;
  /// Whether keys are numbers, so that a selection such as "3,7-9" means keys; otherwise it means indices. True also
  /// for a list or table whose labels are all integers, each once.
  [[nodiscard]] bool has_number_keys() const;

  /// A selection as --slices takes it: items separated by commas, each
  ///   3, 7-9, 0-99:5   keys where keys are numbers, else indices; those of them that exist
  ///   @3, @7-9         indices, in any list (the only way where some keys look like numbers)
  ///   data/a.h5        a key; a backslash takes the meaning from a comma, a backslash or a leading @ in it
  ///   seed=3,model=a   a key of a matrix, as key() gives it
  /// An item that selects nothing is an error that names it.
  [[nodiscard]] util::Result<IntervalSet> select(std::string_view text) const;
  /// The inverse of select(): a list that may be pasted back into --slices. After `max_intervals` ",... (n more)".
  [[nodiscard]] std::string format_selection(const IntervalSet& indices, std::size_t max_intervals = SIZE_MAX) const;

  /// Changes whenever any key or variable changes (64-bit FNV-1a); O(1) for ranges and blocks.
  [[nodiscard]] std::uint64_t fingerprint() const;

 private:
  struct Axis {
    std::string name;  ///< the variable's name in a matrix, "" otherwise
    SliceSource source;
    bool is_text = false;  ///< the source is a list of strings
    RangeList numbers;     ///< the keys, unless it is
    Labels labels;         ///< the keys, if it is
    std::uint64_t size = 0;

    Axis(std::string axis_name, SliceSource axis_source);
    [[nodiscard]] std::string key(std::uint64_t index) const;
    [[nodiscard]] std::string value(std::uint64_t index) const;
    [[nodiscard]] std::optional<std::uint64_t> find(std::string_view key) const;
  };

  class Selector;

  [[nodiscard]] bool is_matrix() const { return !axes_.empty() && !axes_[0].name.empty(); }
  /// The index within each axis.
  [[nodiscard]] std::vector<std::uint64_t> places(std::uint64_t index) const;
  [[nodiscard]] KeyStyle key_style() const;
  /// Of number keys: all of them, by index.
  [[nodiscard]] RangeList number_keys() const;
  /// Of number keys: those of `indices`, as ranges; stops after `max_ranges`.
  [[nodiscard]] std::vector<IntRange> number_keys(const IntervalSet& indices, std::size_t max_ranges) const;

  std::vector<Axis> axes_;
  std::uint64_t size_ = 0;
};

}  // namespace runner::core
