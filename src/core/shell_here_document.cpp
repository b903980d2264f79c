#include "core/shell_here_document.hpp"

#include <algorithm>

#include "core/shell_words.hpp"

namespace runner::core {

std::optional<HereDocument> read_here_operator(std::string_view text, std::size_t& at) {
  const auto char_at = [&](std::size_t i) { return i < text.size() ? text[i] : '\n'; };
  HereDocument document;
  std::size_t i = at + 2;
  document.strips_tabs = char_at(i) == '-';
  if (document.strips_tabs) ++i;
  while (char_at(i) == ' ' || char_at(i) == '\t') ++i;
  const char quote = char_at(i);
  document.expands = quote != '\'' && quote != '"';
  if (!document.expands) ++i;
  const std::size_t begin = i;
  while (is_shell_name_char(char_at(i))) ++i;
  document.delimiter = text.substr(begin, i - begin);
  if (!document.expands && char_at(i++) != quote) return std::nullopt;
  if (document.delimiter.empty() || !ends_shell_word(char_at(i))) return std::nullopt;
  at = i;
  return document;
}

HereBody find_here_body(std::string_view text, std::size_t begin, const HereDocument& document) {
  HereBody body;
  std::size_t at = begin;
  while (at < text.size()) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    std::string_view line = text.substr(at, end - at);
    if (document.strips_tabs) line.remove_prefix(std::min(line.find_first_not_of('\t'), line.size()));
    if (line == document.delimiter) {
      body.end = at;
      body.after = end;
      return body;
    }
    // An expansion may go over several lines and hide the delimiter; a backslash may join two lines to it.
    if (document.expands && (line.find('`') != std::string_view::npos || line.find("$(") != std::string_view::npos ||
                             line.find("${") != std::string_view::npos || line.ends_with('\\'))) {
      body.is_certain = false;
    }
    at = end + 1;
  }
  body.end = body.after = text.size();
  return body;
}

}  // namespace runner::core
