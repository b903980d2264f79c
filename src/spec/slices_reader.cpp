#include "spec/slices_reader.hpp"

#include <algorithm>
#include <limits>
#include <unordered_set>

#include "spec/data_files.hpp"
#include "spec/limits.hpp"
#include "util/fd.hpp"
#include "util/text.hpp"

namespace runner::spec {
namespace {

using core::SliceSource;

constexpr IntLimits kAnyNumber = {std::numeric_limits<std::int64_t>::min(), std::numeric_limits<std::int64_t>::max()};
constexpr IntLimits kNoneOrMore = {0, std::numeric_limits<std::int64_t>::max()};
constexpr IntLimits kOneOrMore = {1, std::numeric_limits<std::int64_t>::max()};
const std::vector<std::string> kFormKeys = {"start", "end",   "step",  "rows", "block",
                                            "files", "lines", "table", "list", "matrix"};

/// `0-99`, `0-99:5`, `1,4,7-9`
std::optional<SliceSource> read_ranges(const Node& node, Label label, Reader& reader) {
  const auto text = reader.nonempty_text(node, label);
  if (!text) return std::nullopt;
  const auto number = util::parse_int(*text);
  if (number && node.style == Node::Style::plain) {
    const std::string n = std::to_string(*number);
    reader.error(node, quoted(label) + ": `" + n + "` would be one slice with the number " + n + ": write " + n + "-" +
                           n + " for that" +
                           (*number > 0 ? ", or 0-" + std::to_string(*number - 1) + " for " + n + " slices" : ""));
    return std::nullopt;
  }
  auto ranges = core::parse_ranges(*text);
  if (!ranges) {
    reader.error(node, quoted(label) + ": " + ranges.error().message);
    return std::nullopt;
  }
  return core::Numbers{std::move(*ranges)};
}

/// The value of a key that must be there.
std::optional<std::int64_t> required_integer(const Node& map, std::string_view key, IntLimits limits, Reader& reader) {
  if (const Node* node = map.find(key)) return reader.integer(*node, key, limits);
  reader.error(map, quoted(key) + " is missing here");
  return std::nullopt;
}

std::optional<SliceSource> read_start_end(const Node& map, Reader& reader) {
  const auto start = required_integer(map, "start", kAnyNumber, reader);
  const auto end = required_integer(map, "end", kAnyNumber, reader);
  const Node* step_node = map.find("step");
  const auto step =
      step_node != nullptr ? reader.integer(*step_node, "step", kOneOrMore) : std::optional<std::int64_t>(1);
  if (!start || !end || !step) return std::nullopt;
  if (*end < *start) {
    reader.error(*map.find("end"), "`end` is before `start`: " + std::to_string(*end) + " < " + std::to_string(*start));
    return std::nullopt;
  }
  const std::vector<core::IntRange> ranges = {{*start, *end, *step}};
  if (const auto checked = core::check_ranges(ranges); !checked) {
    reader.error(map, "`slices`: " + checked.error().message);
    return std::nullopt;
  }
  return core::Numbers{ranges};
}

std::optional<SliceSource> read_blocks(const Node& map, Reader& reader) {
  const auto rows = required_integer(map, "rows", kNoneOrMore, reader);
  const auto block = required_integer(map, "block", kOneOrMore, reader);
  if (!rows || !block) return std::nullopt;
  return core::Blocks{static_cast<std::uint64_t>(*rows), static_cast<std::uint64_t>(*block)};
}

std::optional<SliceSource> read_items(const Node& node, Label label, Reader& reader) {
  if (!reader.is_list(node, label, "[a, b, c]")) return std::nullopt;
  core::Items items;
  bool is_good = true;
  for (std::size_t i = 0; i < node.items.size(); ++i) {
    const std::string item = std::string(label) + "[" + std::to_string(i) + "]";
    const auto text = reader.text(node.items[i], item);
    is_good = is_good && text && reader.fits_argument(node.items[i], item, value_size("item", *text));
    if (text) items.items.push_back(*text);
  }
  if (!is_good) return std::nullopt;
  return items;
}

/// One data file as the spec names it.
struct DataFile {
  std::string shown;  ///< for messages
  std::string text;
};

std::optional<DataFile> read_data_file(const Node& node, Label label, const SlicesContext& context, Reader& reader) {
  const auto name = reader.nonempty_text(node, label);
  if (!name) return std::nullopt;
  if (*name == "-") {
    reader.error(node, quoted(label) +
                           " cannot be read from standard input, as a resumed run needs the list again: "
                           "write it to a file first");
    return std::nullopt;
  }
  const bool is_absolute = name->starts_with('/');
  const std::string path = is_absolute ? *name : context.spec_dir + "/" + *name;
  if (const std::string wrong = wrong_file(path); !wrong.empty()) {
    reader.error(node, quoted(label) + ": " + util::escape_for_display(path) + " " + wrong);
    return std::nullopt;
  }
  auto text = util::read_file(path, kMaxDataBytes);
  if (!text) {
    const int error = text.error().errno_value;
    reader.error(node, quoted(label) + ": cannot read " + util::escape_for_display(path) +
                           (error != 0 ? ": " + util::errno_error("", error).message.substr(2)
                                       : ": larger than " + util::format_size(kMaxDataBytes)));
    return std::nullopt;
  }
  return DataFile{is_absolute ? *name : context.shown_dir + *name, std::move(*text)};
}

void report(const DataFile& file, const std::vector<DataProblem>& problems, Reader& reader) {
  for (const DataProblem& p : problems) reader.problems().elsewhere(file.shown, p.line, p.column, p.message);
}

std::optional<SliceSource> read_lines(const Node& node, const SlicesContext& context, Reader& reader) {
  const auto file = read_data_file(node, "lines", context, reader);
  if (!file) return std::nullopt;
  auto lines = parse_lines(file->text);
  if (const auto* problems = std::get_if<std::vector<DataProblem>>(&lines)) {
    report(*file, *problems, reader);
    return std::nullopt;
  }
  return core::Lines{std::get<core::StringTable>(std::move(lines))};
}

/// What is wrong with a column's or an axis' name; "" for nothing.
std::string wrong_variable_name(const std::string& name, std::string_view what) {
  const std::string shown = std::string(what) + " `" + util::escape_for_display(name, 60) + "`";
  if (!util::is_identifier(name)) {
    const bool has_blanks = util::trim(name).size() != name.size() && util::is_identifier(util::trim(name));
    return shown + " cannot be a variable's name: " +
           (has_blanks ? "remove the blank beside it" : "use letters, digits and _, not beginning with a digit");
  }
  if (name.size() > kMaxNameBytes) return shown + " is longer than " + std::to_string(kMaxNameBytes) + " bytes";
  const auto& builtin = core::builtin_variable_names();
  if (std::find(builtin.begin(), builtin.end(), name) != builtin.end()) {
    return shown + " has the name of a variable that is always there: rename it";
  }
  return "";
}

std::optional<SliceSource> read_table(const Node& node, const SlicesContext& context, Reader& reader) {
  const auto file = read_data_file(node, "table", context, reader);
  if (!file) return std::nullopt;
  auto parsed = parse_table(file->text, file->shown.ends_with(".tsv") ? '\t' : ',');
  if (const auto* problems = std::get_if<std::vector<DataProblem>>(&parsed)) {
    report(*file, *problems, reader);
    return std::nullopt;
  }
  auto& table = std::get<core::Table>(parsed);
  std::vector<DataProblem> problems;
  if (table.columns.size() > kMaxNames) {
    problems.push_back({1, 1,
                        util::format_count(table.columns.size()) + " columns, " + util::format_count(kMaxNames) +
                            " at most are possible"});
    table.columns.clear();
  }
  std::unordered_set<std::string> seen;
  for (const std::string& column : table.columns) {
    std::string message = wrong_variable_name(column, "column");
    if (message.empty() && !seen.insert(column).second) message = "column `" + column + "` is there twice";
    if (!message.empty() && problems.size() < kMaxDataProblems) problems.push_back({1, 1, std::move(message)});
  }
  report(*file, problems, reader);
  if (!problems.empty()) return std::nullopt;
  return std::move(table);
}

std::optional<SliceSource> read_files(const Node& node, const SlicesContext& context, Reader& reader) {
  std::vector<const Node*> patterns;
  if (node.kind == Node::Kind::list) {
    for (const Node& item : node.items) patterns.push_back(&item);
  } else {
    patterns.push_back(&node);
  }
  core::Files files;
  std::unordered_set<std::string> seen;  // a file that two patterns match is one slice
  bool is_good = true;
  for (const Node* item : patterns) {
    const auto pattern = reader.nonempty_text(*item, "files");
    is_good = is_good && pattern;
    if (!pattern) continue;
    const auto paths = match_files(*pattern, context.spec_dir, context.paths_absolute);
    if (!paths || (paths->empty() && !context.allow_empty)) {
      reader.error(*item, paths ? "no file matches `" + util::escape_for_display(*pattern, 200) + "` in " +
                                      util::escape_for_display(context.spec_dir) + " (allow_empty: true permits that)"
                                : "`files`: " + paths.error().message);
      is_good = false;
      continue;
    }
    if (files.paths.size() + paths->size() > kMaxEntries) {
      reader.error(*item, "`files` matches more than " + util::format_count(kMaxEntries) + " files");
      return std::nullopt;
    }
    for (const std::string& path : *paths) {
      if (seen.insert(path).second) files.paths.push_back(path);
    }
  }
  if (!is_good) return std::nullopt;
  return files;
}

std::optional<SliceSource> read_axis(const Node& node, Label name, Reader& reader) {
  const std::string label = "matrix." + std::string(name);
  if (node.kind == Node::Kind::list) return read_items(node, label, reader);
  if (node.kind == Node::Kind::scalar) return read_ranges(node, label, reader);
  if (node.kind == Node::Kind::map && (node.find("start") != nullptr || node.find("end") != nullptr)) {
    reader.check_keys(node, label, {"start", "end", "step"});
    return read_start_end(node, reader);
  }
  reader.error(node, quoted(label) + " wants a range such as 0-9, or a list such as [a, b]");
  return std::nullopt;
}

std::optional<core::SliceList> read_matrix(const Node& node, Reader& reader) {
  if (!reader.is_map(node, "matrix", "{seed: 0-9, model: [a, b]}")) return std::nullopt;
  if (!reader.is_within(node, "matrix", kMaxNames)) return std::nullopt;
  std::vector<std::pair<std::string, SliceSource>> axes;
  std::vector<std::uint64_t> sizes;
  bool is_good = true;
  for (std::size_t i = 0; i < node.keys.size(); ++i) {
    const std::string& name = node.keys[i].value;
    const std::string message = wrong_variable_name(name, "axis");
    if (!message.empty()) reader.error(node.keys[i], message);
    is_good = is_good && reader.text(node.keys[i], name);  // `no: 0-9` is refused
    auto axis = read_axis(node.items[i], name, reader);
    is_good = is_good && axis && message.empty();
    if (!axis) continue;
    sizes.push_back(core::SliceList(*axis).size());
    axes.emplace_back(name, std::move(*axis));
  }
  if (!is_good) return std::nullopt;
  if (axes.empty()) return core::SliceList();
  if (!core::SliceList::matrix_size(sizes)) {
    reader.error(node, "the axes multiply to more than " + util::format_count(core::kMaxSlices) + " slices");
    return std::nullopt;
  }
  return core::SliceList::matrix(std::move(axes));
}

/// The one form that a map of slices has; two of them at once are a mistake.
std::optional<std::string> form_of(const Node& map, Reader& reader) {
  std::vector<std::string> forms;
  for (const Node& key : map.keys) {
    const std::string& k = key.value;
    if (std::find(kFormKeys.begin(), kFormKeys.end(), k) == kFormKeys.end()) continue;
    const std::string form = k == "end" || k == "step" ? "start" : k == "block" ? "rows" : k;
    if (std::find(forms.begin(), forms.end(), form) == forms.end()) forms.push_back(form);
    if (forms.size() > 1) {
      reader.error(key, quoted(k) + " cannot be combined with " + quoted(forms[0]) + ": slices come from one place");
      return std::nullopt;
    }
  }
  if (forms.empty() && map.keys.empty()) {
    reader.error(map, "`slices` is empty: write for instance 0-99, or {files: \"data/*.h5\"}");
  }
  if (forms.empty()) return std::nullopt;  // check_keys() has said why
  return forms[0];
}

std::optional<core::SliceList> read_form(const Node& map, const SlicesContext& context, Reader& reader) {
  reader.check_keys(map, "slices", kFormKeys);
  const auto form = form_of(map, reader);
  if (!form) return std::nullopt;
  if (*form == "matrix") return read_matrix(*map.find("matrix"), reader);
  std::optional<SliceSource> source;
  if (*form == "start") source = read_start_end(map, reader);
  if (*form == "rows") source = read_blocks(map, reader);
  if (*form == "files") source = read_files(*map.find("files"), context, reader);
  if (*form == "lines") source = read_lines(*map.find("lines"), context, reader);
  if (*form == "table") source = read_table(*map.find("table"), context, reader);
  if (*form == "list") source = read_items(*map.find("list"), "list", reader);
  if (!source) return std::nullopt;
  return core::SliceList(std::move(*source));
}

}  // namespace

std::optional<core::SliceList> read_slices(const Node& node, const SlicesContext& context, Reader& reader) {
  std::optional<core::SliceList> slices;
  if (node.kind == Node::Kind::map) {
    slices = read_form(node, context, reader);
  } else if (node.kind == Node::Kind::list) {
    reader.error(node,
                 "`slices` cannot be a bare list: write {list: [a, b]}, which gives {item}, or 1,4,7-9 for numbers");
  } else if (auto numbers = read_ranges(node, "slices", reader)) {
    slices = core::SliceList(std::move(*numbers));
  }
  if (slices && slices->size() == 0 && !context.allow_empty) {
    reader.error(node, "there are no slices to run (allow_empty: true permits that)");
    return std::nullopt;
  }
  return slices;
}

}  // namespace runner::spec
