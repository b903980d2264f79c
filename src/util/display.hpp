// Foreign bytes made safe to show: what slices write, keys, paths and messages that have them in them cannot move the
// cursor, hide, reorder or add lines. Pure; no locale.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace runner::util {

/// One character of UTF-8 as RFC 3629 has it: no overlong forms, no surrogates, nothing beyond U+10FFFF.
struct CodePoint {
  char32_t value = 0;
  std::size_t length = 0;  ///< in bytes; 0 where there is no valid one
};
/// The one that `text`, which is not empty, begins with.
CodePoint decode_utf8(std::string_view text);
bool is_valid_utf8(std::string_view text);

/// Control characters (C0, DEL, C1), and what reorders, breaks or hides text: bidirectional controls (Unicode TR 9),
/// the line and paragraph separators, the byte order mark.
bool is_deceptive(char32_t c);

/// For terminals and reports: control characters (U+0080..U+009F too) and bytes that are no UTF-8 become \xNN, newline
/// \n, tab \t, return \r; what reorders or hides text (bidirectional marks, line separators, the byte order mark)
/// becomes \uNNNN; other UTF-8 stays, and so does a backslash. At most `max_bytes` of output, then "...".
std::string escape_for_display(std::string_view text, std::size_t max_bytes = 400);

/// The same for text of several lines, or with columns: newlines and tabs stay; no limit.
std::string escape_lines(std::string_view text);

/// One shell argument that is safe to show and to paste: as shell_quote() has it where nothing in it is deceptive, else
/// $'...' with octal escapes (bash, zsh, ksh, POSIX 2024).
std::string shell_quote_for_display(std::string_view word);

/// escape_lines() for a stream that comes in pieces, which may end within a character. Returns before line feeds stay.
class StreamEscaper {
 public:
  /// What can be shown now that `piece` is there.
  std::string operator()(std::string_view piece);
  /// The stream is at its end: what was held back.
  std::string finish();

 private:
  std::string held_;  ///< the beginning of a character, or a return
};

}  // namespace runner::util
