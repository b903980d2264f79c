// Words of the POSIX shell: how a value is written so that the shell reads it back byte for byte, and which first
// words only a shell can run. Pure.
#pragma once

#include <string>
#include <string_view>

#include "core/shell_scan.hpp"

namespace runner::core {

/// [A-Za-z0-9_]: what the name of a shell variable is made of.
bool is_shell_name_char(char c);
/// A blank, a newline, or the first character of an operator.
bool ends_shell_word(char c);

/// if, do, {, [[, time ... in any of dash and bash.
bool is_shell_keyword(std::string_view word);
/// cd, echo, [, source ... in any of dash and bash.
bool is_shell_builtin(std::string_view word);

/// Whether `value` means itself wherever in a shell string it stands. A value like "A=b" does not: at the beginning of
/// a command it would be an assignment.
bool is_plain_everywhere(std::string_view value);

/// Appends `value` as one shell word, in single quotes where it needs them. Must not hold a NUL.
void append_shell_word(std::string& out, std::string_view value);

/// Appends `value` as it must be written at `place`. False, and nothing appended, where no way of writing it is safe.
[[nodiscard]] bool append_at(std::string& out, std::string_view value, const ShellPlace& place);

}  // namespace runner::core
