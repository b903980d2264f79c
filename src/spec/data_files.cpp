#include "spec/data_files.hpp"

#include <glob.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <memory>
#include <optional>

#include "core/template.hpp"
#include "spec/limits.hpp"
#include "util/text.hpp"

namespace runner::spec {
namespace {

/// Looks at each entry of a file as it comes.
class EntryCheck {
 public:
  /// False when there are too many: reading on makes no sense.
  bool add(std::string_view name, std::string_view value, int line, int column) {
    if (++count_ > kMaxEntries) {
      problems_.push_back({line, column, "more than " + util::format_count(kMaxEntries) + " entries"});
      return false;
    }
    const std::size_t nul = value.find('\0');
    if (nul != std::string_view::npos) {
      note({line, column + static_cast<int>(nul), "NUL byte: no program can be given one"});
    } else if (const std::size_t size = value_size(name, value); size > core::kMaxArgument) {
      note({line, column, core::environment_name(name) + " " + core::too_long(size)});
    }
    return true;
  }
  void note(DataProblem problem) {
    if (problems_.size() < kMaxDataProblems) problems_.push_back(std::move(problem));
  }
  [[nodiscard]] std::vector<DataProblem>& problems() { return problems_; }

 private:
  std::size_t count_ = 0;
  std::vector<DataProblem> problems_;
};

std::string_view without_mark(std::string_view text) {
  constexpr std::string_view kUtf8Mark = "\xEF\xBB\xBF";
  return text.substr(text.starts_with(kUtf8Mark) ? kUtf8Mark.size() : 0);
}

struct Cell {
  std::string text;
  int line = 1;
  int column = 1;
};

/// Reads RFC 4180 text record by record.
class CsvReader {
 public:
  CsvReader(std::string_view text, char separator) : text_(text), separator_(separator) {}

  [[nodiscard]] bool at_end() const { return position_ >= text_.size(); }

  /// The next record, or a mistake behind which reading makes no sense.
  std::variant<std::vector<Cell>, DataProblem> record() {
    std::vector<Cell> cells;
    while (true) {
      Cell cell{"", line_, static_cast<int>(position_ - line_start_) + 1};
      const auto problem = peek() == '"' ? quoted_cell(cell) : bare_cell(cell);
      if (problem) return *problem;
      cells.push_back(std::move(cell));
      if (at_end() || peek() == '\n') break;
      ++position_;  // the separator
    }
    if (!at_end()) ++position_;
    start_line();
    return cells;
  }

 private:
  [[nodiscard]] char peek() const { return at_end() ? '\n' : text_[position_]; }
  void start_line() {
    ++line_;
    line_start_ = position_;
  }
  [[nodiscard]] DataProblem problem(std::string message) const {
    return {line_, static_cast<int>(position_ - line_start_) + 1, std::move(message)};
  }

  std::optional<DataProblem> bare_cell(Cell& cell) {
    while (!at_end() && peek() != separator_ && peek() != '\n') {
      if (peek() == '"') return problem("a quote within a cell: put the whole cell in quotes and double the quote");
      if (peek() == '\0') return problem("NUL byte: no program can be given one");
      cell.text += text_[position_++];
    }
    if (cell.text.ends_with('\r') && (at_end() || peek() == '\n')) cell.text.pop_back();
    return std::nullopt;
  }

  std::optional<DataProblem> quoted_cell(Cell& cell) {
    ++position_;
    while (true) {
      if (at_end()) return DataProblem{cell.line, cell.column, "this quote is never closed"};
      const char c = text_[position_++];
      if (c == '\0') return problem("NUL byte: no program can be given one");
      if (c == '"') {
        if (peek() != '"' || at_end()) break;
        ++position_;
      }
      if (c == '\n') start_line();
      cell.text += c;
    }
    if (peek() == '\r' && text_.substr(position_ + 1, 1) == "\n") ++position_;
    if (!at_end() && peek() != separator_ && peek() != '\n') return problem("text behind the closing quote of a cell");
    return std::nullopt;
  }

  std::string_view text_;
  char separator_;
  std::size_t position_ = 0;
  std::size_t line_start_ = 0;
  int line_ = 1;
};

DataProblem ragged(const std::vector<Cell>& cells, std::size_t wanted) {
  const auto count = [](std::size_t n) { return std::to_string(n) + (n == 1 ? " cell" : " cells"); };
  const bool is_blank = cells.size() == 1 && cells[0].text.empty();
  return {cells[0].line, 1,
          (is_blank ? "empty line" : count(cells.size())) + ", but the header has " + count(wanted) +
              (cells.size() > wanted ? " (a cell with the separator in it must be in quotes)" : "")};
}

std::string escape_pattern(const std::string& path) {
  std::string out;
  for (const char c : path) {
    if (std::strchr("*?[]\\", c) != nullptr) out += '\\';
    out += c;
  }
  return out;
}

}  // namespace

std::string wrong_file(const std::string& path) {
  std::error_code error;
  const auto status = std::filesystem::status(path, error);
  if (!std::filesystem::exists(status) || std::filesystem::is_regular_file(status)) return "";
  return std::filesystem::is_directory(status) ? "is a directory"
                                               : "is not a regular file, and a resumed run needs the list again: write "
                                                 "it to one first";
}

std::size_t value_size(std::string_view name, std::string_view value) {
  return std::string_view("RUNNER_VAR_=").size() + name.size() + value.size();
}

std::variant<core::StringTable, std::vector<DataProblem>> parse_lines(std::string_view text) {
  text = without_mark(text);
  core::StringTable lines;
  EntryCheck check;
  for (int number = 1; !text.empty(); ++number) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (!check.add("line", line, number, 1)) break;
    lines.push_back(line);
  }
  if (!check.problems().empty()) return std::move(check.problems());
  return lines;
}

std::variant<core::Table, std::vector<DataProblem>> parse_table(std::string_view text, char separator) {
  CsvReader reader(without_mark(text), separator);
  core::Table table;
  EntryCheck check;
  if (reader.at_end()) return std::vector{DataProblem{1, 1, "empty: the first line must name the columns"}};
  bool go_on = true;
  while (go_on && !reader.at_end() && check.problems().size() < kMaxDataProblems) {
    auto record = reader.record();
    if (const auto* problem = std::get_if<DataProblem>(&record)) {
      check.note(*problem);
      break;
    }
    const auto& cells = std::get<std::vector<Cell>>(record);
    if (table.columns.empty()) {
      for (const Cell& cell : cells) table.columns.push_back(cell.text);
    } else if (cells.size() != table.columns.size()) {
      check.note(ragged(cells, table.columns.size()));
    } else {
      for (std::size_t i = 0; go_on && i < cells.size(); ++i) {
        go_on = check.add(table.columns[i], cells[i].text, cells[i].line, cells[i].column);
        table.cells.push_back(cells[i].text);
      }
    }
  }
  if (!check.problems().empty()) return std::move(check.problems());
  return table;
}

util::Result<std::vector<std::string>> match_files(const std::string& pattern, const std::string& base,
                                                   bool make_absolute) {
  if (pattern.find("**") != std::string::npos) {
    return util::Error{"`**` is not supported: write one `*` for each level, or list the names in a file (`lines:`)"};
  }
  const bool is_absolute = pattern.starts_with('/');
  const std::string prefix = is_absolute ? "" : base + (base.ends_with('/') ? "" : "/");
  glob_t matches{};
  const std::unique_ptr<glob_t, void (*)(glob_t*)> cleanup(&matches, globfree);
  const auto is_serious = [](const char*, int error) { return error == ENOENT || error == ENOTDIR ? 0 : 1; };
  const int status = glob((escape_pattern(prefix) + pattern).c_str(), GLOB_NOSORT, is_serious, &matches);
  if (status == GLOB_NOMATCH) return std::vector<std::string>{};
  if (status != 0) {
    return util::Error{"cannot read every directory that `" + pattern + "` names" +
                       (errno != 0 ? std::string(": ") + std::strerror(errno) : "")};
  }
  std::vector<std::string> paths;
  for (std::size_t i = 0; i < matches.gl_pathc; ++i) {
    paths.emplace_back(matches.gl_pathv[i]);
    if (!make_absolute && !is_absolute) paths.back().erase(0, prefix.size());
  }
  std::sort(paths.begin(), paths.end(), util::natural_less);
  return paths;
}

}  // namespace runner::spec
