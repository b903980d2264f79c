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

/// Bytes of an argument or of an environment variable with its name: execve(2) takes no more in one piece
/// (MAX_ARG_STRLEN, 32 pages of 4 KiB, without the NUL).
inline constexpr std::size_t kMaxArgument = 131'071;

/// "is 200,000 bytes long, but the kernel takes at most 131,071 in one piece"
std::string too_long(std::size_t bytes);

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

/// Bytes of what is no placeholder.
std::size_t least_size(const std::vector<Piece>& pieces);

/// Plain text (a path, an environment value): values are inserted as they are.
class TextTemplate {
 public:
  /// `names`: every variable that will exist. An identifier within edit distance 2 of one of them is an error.
  static std::variant<TextTemplate, TemplateError> parse(std::string_view text, const std::vector<std::string>& names);
  /// An error names the variable and why its value does not fit its format spec.
  [[nodiscard]] util::Result<std::string> expand(const Variables& variables) const;
  [[nodiscard]] const std::string& text() const { return text_; }
  /// No expansion is shorter.
  [[nodiscard]] std::size_t least_size() const { return core::least_size(pieces_); }

 private:
  std::string text_;
  std::vector<Piece> pieces_;
};

/// What is executed for one slice.
struct ExpandedCommand {
  std::vector<std::string> argv;  ///< argv[0] is looked up in PATH unless it has a slash
  bool through_shell = false;     ///< argv is then {"/bin/sh", "-c", text}
  bool operator==(const ExpandedCommand&) const = default;
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

  /// The error (format spec; a value that cannot be quoted safely where it stands; NUL in a value; more than
  /// kMaxArgument) makes the slice not_started: a value is never spliced raw.
  [[nodiscard]] util::Result<ExpandedCommand> expand(const Variables& variables) const;
  /// Bytes of its longest argument: no expansion has a shorter one.
  [[nodiscard]] std::size_t least_size() const;
  /// As it was written; a list is shown with its elements quoted.
  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  std::string text_;
  std::vector<Piece> pieces_;              ///< of a shell string
  std::vector<std::vector<Piece>> words_;  ///< of a list, and of a shell string that needs no shell: run directly
};

/// `argv` as a line that can be pasted into a shell.
std::string to_shell_line(const ExpandedCommand& command, bool for_terminal = false);

}  // namespace runner::core
