// Templates: text with {name} or {name:05d} in it, compiled once and expanded for every slice. Only known names are
// replaced; every other brace stays; {{name}} is a literal {name}. A CommandTemplate also quotes each value for the
// place in the shell string where it stands. Immutable after parsing; no I/O.
#pragma once

#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "core/shell_scan.hpp"
#include "core/variables.hpp"
#include "util/result.hpp"

namespace runner::core {

/// A mistake in a template: `offset` is the byte in the template's text where it stands.
struct TemplateError {
  std::string message;
  std::size_t offset = 0;
};

struct Placeholder {
  std::string name;
  std::string format_spec;  ///< what follows the colon; "" for none
  std::size_t offset = 0;   ///< of the opening brace, in bytes
  ShellPlace place;         ///< in a shell string; decides how the value is quoted
};
using Piece = std::variant<std::string, Placeholder>;

/// Plain text (a path, an environment value): values are inserted as they are.
class TextTemplate {
 public:
  /// `names`: every variable that will exist. An identifier within edit distance 2 of one of them is an error.
  static std::variant<TextTemplate, TemplateError> parse(std::string_view text, const std::vector<std::string>& names);
  /// An error names the variable and why its value does not fit its format spec.
  [[nodiscard]] util::Result<std::string> expand(const Variables& variables) const;
  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  std::string text_;
  std::vector<Piece> pieces_;
};

/// What is executed for one slice.
struct ExpandedCommand {
  std::vector<std::string> argv;  ///< argv[0] is looked up in PATH unless it has a slash
  bool through_shell = false;     ///< argv is then {"/bin/sh", "-c", text}
};

/// A command: a shell string, or a list of arguments.
class CommandTemplate {
 public:
  CommandTemplate() = default;
  static std::variant<CommandTemplate, TemplateError> parse_shell(std::string_view text,
                                                                  const std::vector<std::string>& names);
  /// The error's offset counts within element `*failed_element`.
  static std::variant<CommandTemplate, TemplateError> parse_list(const std::vector<std::string>& elements,
                                                                 const std::vector<std::string>& names,
                                                                 std::size_t* failed_element = nullptr);

  /// The error (format spec; a value that cannot be quoted safely where it stands; NUL in a value) makes the slice
  /// not_started: a value is never spliced raw.
  [[nodiscard]] util::Result<ExpandedCommand> expand(const Variables& variables) const;
  /// As it was written; a list is shown with its elements quoted.
  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  std::string text_;
  std::vector<Piece> pieces_;              ///< of a shell string
  std::vector<std::vector<Piece>> words_;  ///< of a list, and of a shell string that needs no shell: run directly
};

/// `argv` as a line that can be pasted into a shell.
std::string to_shell_line(const ExpandedCommand& command);

}  // namespace runner::core
