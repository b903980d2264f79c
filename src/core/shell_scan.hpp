// Finds out where in a POSIX shell string each placeholder stands, so that its value can be quoted for that place.
// It reads the string as dash and bash both would; where they differ, or where being sure would take a whole shell
// parser, it says `uncertain` rather than guess, if need be for the rest of the string. Pure; never fails.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace runner::core {

enum class Quoting : std::uint8_t {
  none,           ///< not in a shell string: the value is taken as it is
  bare,           ///< outside of quotes
  single_quoted,  ///< inside '...'
  double_quoted,  ///< inside "..."
  uncertain,      ///< anywhere else: $(...), `...`, ${...}, here-documents, after a backslash, ...
};

/// What to write instead of a placeholder where no quoting is certain.
enum class Remedy : std::uint8_t {
  quoted_variable,     ///< "$RUNNER_VAR_X"
  bare_variable,       ///< $RUNNER_VAR_X: a here-document keeps quotes as they are
  unquoted_delimiter,  ///< likewise, and no quotes around the delimiter, which keep a here-document from expanding
  either_variable,     ///< one of the first two: whether a here-document is over is not certain
  argument,            ///< "$1", behind the text that a second shell runs
};

struct ShellPlace {
  Quoting quoting = Quoting::none;
  /// What stands beside the placeholder would change the meaning even of a harmless value: `~{x}` (a home directory),
  /// `$A{x}` (the name of a variable), `{x}>file` (a file descriptor), `pre{{x},b}` (brace expansion), `[{x}]` (a
  /// range).
  bool strict = false;
  std::string_view where;  ///< for messages where it is uncertain: "inside $(...)"; a literal
  std::string delimiter;   ///< of the here-document it stands in: a value could end that
  Remedy remedy = Remedy::quoted_variable;
};

/// Stands for a placeholder in the text given to scan_shell(). No shell string can hold a NUL of its own.
inline constexpr char kPlaceholderMark = '\0';

/// The place of every mark in `text`, in order.
std::vector<ShellPlace> scan_shell(std::string_view text);

}  // namespace runner::core
