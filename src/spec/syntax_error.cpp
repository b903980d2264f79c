#include "spec/syntax_error.hpp"

#include <algorithm>

namespace runner::spec {
namespace {

bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

/// A value that is over, with more text behind it on the same line: `{slice}.sh`, `"a" b`, `[x] y`.
std::optional<SyntaxError> text_behind_value(const Source& source, const ParserState& state) {
  if (!state.closed_value || *state.closed_value >= state.offset) return std::nullopt;
  const std::string_view between = source.text().substr(*state.closed_value, state.offset - *state.closed_value);
  const std::size_t last = between.find_last_not_of(" \t");
  if (between.find('\n') != std::string_view::npos || last == std::string_view::npos) return std::nullopt;
  const char opening = between.front();
  const char closing = between[last];
  if (opening == '{' && closing == '}') {
    return SyntaxError{*state.closed_value, "a value that begins with `{` is a map in YAML: put the whole in quotes"};
  }
  if (opening == '[' && closing == ']') {
    return SyntaxError{*state.closed_value, "a value that begins with `[` is a list in YAML: put the whole in quotes"};
  }
  if ((opening == '"' || opening == '\'') && closing == opening && source.text().substr(state.offset, 1) != ":") {
    return SyntaxError{state.offset, "text behind the closing quote: put the whole value in one pair of quotes"};
  }
  return std::nullopt;
}

/// Within a list in [] or a map in {} a text without quotes ends at a brace: `{command: ./analyse {slice}}`.
std::optional<SyntaxError> brace_in_plain_text(const Source& source, std::size_t offset) {
  const std::string_view here = source.text().substr(std::min(offset, source.text().size()), 1);
  if (here != "{" && here != "[") return std::nullopt;
  const std::size_t start = source.line_start(offset);
  const std::string_view before = source.text().substr(start, offset - start);
  if (before.find_first_not_of(" \t") == std::string_view::npos) return std::nullopt;  // a bracket above is unclosed
  return SyntaxError{offset, "within `{...}` and `[...]` a text without quotes ends before `" + std::string(here) +
                                 "`: put the whole text in quotes"};
}

std::optional<std::string> wrong_first_character(std::string_view text, std::size_t offset) {
  if (offset >= text.size()) return std::nullopt;
  const std::string first = "`" + std::string(1, text[offset]) + "`";
  switch (text[offset]) {
    case '*':
    case '&':
      return "a value that begins with " + first + " is an alias or anchor in YAML: put it in quotes";
    case '@':
    case '`':
    case '%':
    case '!':
    case ',':
    case ']':
    case '}':
      return "a value cannot begin with " + first + " in YAML: put it in quotes";
    case '-':
    case '?':
      return "a value cannot begin with " + first + " and a blank in YAML: put it in quotes, or a list on lines below";
    default:
      return std::nullopt;
  }
}

std::string translate(const std::string& message) {
  if (contains(message, "illegal map value")) {
    return "`:` does not fit here: is a blank missing behind a colon, a line indented differently from its "
           "neighbours, or a text with `: ` in it not in quotes?";
  }
  if (contains(message, "end of map not found") || contains(message, "end of sequence not found")) {
    return "this does not fit the lines above: check its indentation";
  }
  if (contains(message, "unexpected character in block scalar")) {
    return "behind `>` or `|` the text begins on the next line (or put the value in quotes)";
  }
  if (contains(message, "unknown escape character")) {
    return "`\\` begins an escape in double quotes, and this is none: write `\\\\`, or use single quotes";
  }
  if (contains(message, "illegal document indicator")) {
    return "`---` within a quoted text: is a closing quote missing above?";
  }
  return "not valid YAML: " + message;
}

}  // namespace

std::optional<std::size_t> tab_in_indentation(const Source& source, std::size_t offset) {
  const std::size_t start = source.line_start(offset);
  const std::string_view line = source.text().substr(start);
  const std::string_view indentation = line.substr(0, std::min(line.find_first_not_of(" \t"), line.size()));
  const std::size_t tab = indentation.find('\t');
  if (tab == std::string_view::npos) return std::nullopt;
  return start + tab;
}

SyntaxError explain(const Source& source, const ParserState& state) {
  if (const auto tab = tab_in_indentation(source, state.offset)) {
    return {*tab, "tab in the indentation: YAML wants blanks"};
  }
  if (auto error = text_behind_value(source, state)) return *error;
  if (state.open_flow && contains(state.message, "flow not found")) {
    if (auto error = brace_in_plain_text(source, state.offset)) return *error;
    const char opening = source.text()[*state.open_flow];
    return {*state.open_flow, std::string("`") + opening + "` is never closed by `" + (opening == '{' ? '}' : ']') +
                                  "` (a text that begins with it must be in quotes)"};
  }
  if (contains(state.message, "unknown escape character")) {  // yaml-cpp's place is behind the escape
    return {std::min(source.text().rfind('\\', state.offset), state.offset), translate(state.message)};
  }
  if (!contains(state.message, "illegal map value")) {
    if (auto message = wrong_first_character(source.text(), state.offset)) return {state.offset, *message};
  }
  return {state.offset, translate(state.message)};
}

}  // namespace runner::spec
