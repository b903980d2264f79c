#include "core/slices.hpp"

#include <algorithm>
#include <stdexcept>

#include "core/slice_text.hpp"
#include "util/hash.hpp"
#include "util/text.hpp"

namespace runner::core {
namespace {

template <class... Ts>
struct Overloaded : Ts... {
  using Ts::operator()...;
};
template <class... Ts>
Overloaded(Ts...) -> Overloaded<Ts...>;

/// The labels of a source that is a list of strings.
std::optional<Column> column_of(const SliceSource& source) {
  using Found = std::optional<Column>;
  return std::visit(Overloaded{[](const Numbers&) { return Found(); }, [](const Blocks&) { return Found(); },
                               [](const Files& files) { return Found(files.paths); },
                               [](const Lines& lines) { return Found(lines.lines); },
                               [](const Items& items) { return Found(items.items); },
                               [](const Table& table) {
                                 return Found(Column(table.cells, std::max<std::uint64_t>(table.columns.size(), 1)));
                               }},
                    source);
}

RangeList numbers_of(const SliceSource& source) {
  if (const auto* numbers = std::get_if<Numbers>(&source)) return RangeList(numbers->ranges);
  if (const auto* blocks = std::get_if<Blocks>(&source)) {
    const std::uint64_t count = blocks->rows / blocks->block + (blocks->rows % blocks->block != 0 ? 1 : 0);
    if (count > kMaxSlices) throw std::length_error("too many blocks");
    return RangeList::first_n(count);
  }
  return {};
}

std::string_view without_trailing_slashes(std::string_view path) {
  while (path.size() > 1 && path.ends_with('/')) path.remove_suffix(1);
  return path;
}

/// As basename(1): "b.h5" of "a/b.h5".
std::string_view file_name(std::string_view path) {
  path = without_trailing_slashes(path);
  return path.size() > 1 ? path.substr(path.rfind('/') + 1) : path;
}

/// The name up to its last dot: "b.tar" of "b.tar.gz"; all of ".bashrc".
std::string_view file_stem(std::string_view path) {
  const std::string_view name = file_name(path);
  const auto dot = name.rfind('.');
  return dot == std::string_view::npos || dot == 0 || name == ".." ? name : name.substr(0, dot);
}

/// As dirname(1): "a" of "a/b.h5", "." of "b.h5".
std::string_view file_dir(std::string_view path) {
  path = without_trailing_slashes(path);
  const auto slash = path.rfind('/');
  if (slash == std::string_view::npos) return ".";
  return slash == 0 ? path.substr(0, 1) : without_trailing_slashes(path.substr(0, slash));
}

void set_source_variables(const SliceSource& source, std::uint64_t index, Variables& variables) {
  const auto set = [&](std::string_view name, std::string_view value) { variables.set(name, std::string(value)); };
  std::visit(Overloaded{[](const Numbers&) {},
                        [&](const Blocks& blocks) {
                          const std::uint64_t first = index * blocks.block;
                          const std::uint64_t last = first + (std::min(blocks.block, blocks.rows - first) - 1);
                          set("first", std::to_string(first));
                          set("last", std::to_string(last));
                        },
                        [&](const Files& files) {
                          const std::string_view path = files.paths[index];
                          set("file", path);
                          set("file.name", file_name(path));
                          set("file.stem", file_stem(path));
                          set("file.dir", file_dir(path));
                        },
                        [&](const Lines& lines) { set("line", lines.lines[index]); },
                        [&](const Items& items) { set("item", items.items[index]); },
                        [&](const Table& table) {
                          const std::uint64_t row = index * table.columns.size();
                          for (std::size_t i = 0; i < table.columns.size(); ++i) {
                            set(table.columns[i], table.cells[row + i]);
                          }
                        }},
             source);
}

std::vector<std::string> source_variable_names(const SliceSource& source) {
  using Names = std::vector<std::string>;
  return std::visit(Overloaded{[](const Numbers&) { return Names(); },
                               [](const Blocks&) {
                                 return Names{"first", "last"};
                               },
                               [](const Files&) {
                                 return Names{"file", "file.name", "file.stem", "file.dir"};
                               },
                               [](const Lines&) { return Names{"line"}; }, [](const Items&) { return Names{"item"}; },
                               [](const Table& table) { return table.columns; }},
                    source);
}

/// Strings count with their length, so that "ab","c" and "a","bc" differ.
class Hash {
 public:
  void add(std::uint64_t number) {
    for (unsigned shift = 0; shift < 64; shift += 8) {
      const char byte = static_cast<char>(static_cast<unsigned char>(number >> shift));
      value_ = util::fnv1a({&byte, 1}, value_);
    }
  }
  void add(std::string_view text) {
    add(text.size());
    value_ = util::fnv1a(text, value_);
  }
  void add(const StringTable& table) {
    add(table.size());
    for (std::uint64_t i = 0; i < table.size(); ++i) add(table[i]);
  }
  [[nodiscard]] std::uint64_t value() const { return value_; }

 private:
  std::uint64_t value_ = util::kFnv1aBasis;
};

void add_source(Hash& hash, const SliceSource& source, const RangeList& numbers) {
  hash.add(source.index());
  std::visit(
      Overloaded{[&](const Numbers&) {
                   for (const IntRange& range : numbers.ranges()) {
                     hash.add(static_cast<std::uint64_t>(range.first));
                     hash.add(static_cast<std::uint64_t>(range.last));
                     hash.add(static_cast<std::uint64_t>(range.step));
                   }
                 },
                 [&](const Blocks& blocks) {
                   hash.add(blocks.rows);
                   hash.add(blocks.block);
                 },
                 [&](const Files& files) { hash.add(files.paths); }, [&](const Lines& lines) { hash.add(lines.lines); },
                 [&](const Items& items) { hash.add(items.items); },
                 [&](const Table& table) {
                   for (const std::string& column : table.columns) hash.add(column);
                   hash.add(table.cells);
                 }},
      source);
}

}  // namespace

SliceList::Axis::Axis(std::string axis_name, SliceSource axis_source)
    : name(std::move(axis_name)), source(std::move(axis_source)), numbers(numbers_of(source)) {
  const auto column = column_of(source);
  is_text = column.has_value();
  if (column) labels = Labels(*column);
  size = column ? column->size() : numbers.size();
}

std::string SliceList::Axis::key(std::uint64_t index) const {
  if (const auto column = column_of(source)) return labels.key(*column, index);
  return std::to_string(numbers[index]);
}

std::string SliceList::Axis::value(std::uint64_t index) const {
  if (const auto column = column_of(source)) return std::string((*column)[index]);
  return std::to_string(numbers[index]);
}

std::optional<std::uint64_t> SliceList::Axis::find(std::string_view key) const {
  if (const auto column = column_of(source)) return labels.find(*column, key);
  const auto number = util::parse_int(key);
  return number ? numbers.find(*number) : std::nullopt;
}

SliceList::SliceList(SliceSource source) {
  axes_.emplace_back("", std::move(source));
  size_ = axes_[0].size;
  if (size_ > kMaxSlices) throw std::length_error("too many slices");
}

SliceList SliceList::matrix(std::vector<std::pair<std::string, SliceSource>> axes) {
  SliceList list;
  std::vector<std::uint64_t> sizes;
  list.axes_.reserve(axes.size());
  for (auto& axis : axes) {
    list.axes_.emplace_back(std::move(axis.first), std::move(axis.second));
    sizes.push_back(list.axes_.back().size);
  }
  const auto size = matrix_size(sizes);
  if (!size) throw std::length_error("too many slices");
  list.size_ = axes.empty() ? 0 : *size;
  return list;
}

std::optional<std::uint64_t> SliceList::matrix_size(const std::vector<std::uint64_t>& axes) {
  if (std::find(axes.begin(), axes.end(), 0U) != axes.end()) return 0;
  std::uint64_t product = 1;
  for (const std::uint64_t size : axes) {
    if (size > kMaxSlices / product) return std::nullopt;
    product *= size;
  }
  return product;
}

std::vector<std::uint64_t> SliceList::places(std::uint64_t index) const {
  std::vector<std::uint64_t> places(axes_.size());
  for (std::size_t i = axes_.size(); i-- > 0;) {
    places[i] = index % axes_[i].size;
    index /= axes_[i].size;
  }
  return places;
}

std::string SliceList::key(std::uint64_t index) const {
  if (!is_matrix()) return axes_[0].key(index);
  const auto place = places(index);
  std::string key;
  for (std::size_t i = 0; i < axes_.size(); ++i) {
    if (i > 0) key += ",";
    key += axes_[i].name + "=" + escape_commas(axes_[i].key(place[i]));
  }
  return key;
}

std::optional<std::uint64_t> SliceList::find(std::string_view key) const {
  if (size_ == 0) return std::nullopt;
  if (!is_matrix()) return axes_[0].find(key);
  const auto parts = split_at_commas(key);
  if (parts.size() != axes_.size()) return std::nullopt;
  std::uint64_t index = 0;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const Axis& axis = axes_[i];
    const std::string prefix = axis.name + "=";
    if (!parts[i].starts_with(prefix)) return std::nullopt;
    const auto found = axis.find(unescape(parts[i].substr(prefix.size())));
    if (!found) return std::nullopt;
    index = index * axis.size + *found;
  }
  if (this->key(index) != key) return std::nullopt;  // escaped more than key() does
  return index;
}

void SliceList::set_variables(std::uint64_t index, Variables& variables) const {
  if (is_matrix()) {
    const auto place = places(index);
    for (std::size_t i = 0; i < axes_.size(); ++i) variables.set(axes_[i].name, axes_[i].value(place[i]));
  } else {
    set_source_variables(axes_[0].source, index, variables);
  }
  variables.set("slice", key(index));
  variables.set("index", std::to_string(index));
}

std::vector<std::string> SliceList::variable_names() const {
  std::vector<std::string> names;
  for (const Axis& axis : axes_) {
    if (is_matrix()) {
      names.push_back(axis.name);
    } else {
      names = source_variable_names(axis.source);
    }
  }
  for (const char* name : {"slice", "index"}) {
    if (std::find(names.begin(), names.end(), name) == names.end()) names.emplace_back(name);
  }
  return names;
}

std::uint64_t SliceList::fingerprint() const {
  Hash hash;
  for (const Axis& axis : axes_) {
    hash.add(axis.name);
    add_source(hash, axis.source, axis.numbers);
  }
  return hash.value();
}

}  // namespace runner::core
