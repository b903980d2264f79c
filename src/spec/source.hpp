// Source: the text of a spec and where things stand in it; Problems: what is wrong with it so far.
// One of each lives as long as one load. Neither reads files nor knows YAML.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "spec/limits.hpp"
#include "spec/loader.hpp"

namespace runner::spec {

/// Line and column, both from 1; columns count characters, not bytes.
struct Position {
  int line = 1;
  int column = 1;
};

class Source {
 public:
  /// `file`: as the user named it. A UTF-8 byte order mark is dropped; every offset counts from behind it.
  Source(std::string file, std::string_view text);
  [[nodiscard]] const std::string& file() const { return file_; }
  [[nodiscard]] std::string_view text() const { return text_; }
  [[nodiscard]] Position position(std::size_t offset) const;
  [[nodiscard]] std::size_t line_start(std::size_t offset) const;

 private:
  std::string file_;
  std::string text_;
  std::vector<std::size_t> line_starts_;
};

class Problems {
 public:
  explicit Problems(const Source& source) : source_(source) {}
  /// At a byte of the spec.
  void at(std::size_t offset, std::string message);
  /// Anywhere else: the spec as a whole, a data file, an option of the command line ("--set").
  void elsewhere(std::string file, int line, int column, std::string message);
  [[nodiscard]] bool empty() const { return problems_.empty(); }
  [[nodiscard]] std::size_t count() const { return problems_.size(); }
  /// Whether further problems are only counted.
  [[nodiscard]] bool is_full() const { return problems_.size() >= kMaxProblems; }
  /// Takes over those of `other` up to `last_line`.
  void add(const Problems& other, int last_line);
  /// In order of position, those of the spec before those of other files; at the end how many more there were.
  [[nodiscard]] std::vector<Problem> sorted() const;

 private:
  const Source& source_;
  std::vector<Problem> problems_;
  std::size_t more_ = 0;
};

/// What no spec may contain, whatever YAML says: NUL and other control characters, invalid UTF-8, a carriage return
/// within a line. Reports each kind once, where it first stands.
void check_characters(const Source& source, Problems& problems);

}  // namespace runner::spec
