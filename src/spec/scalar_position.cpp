// Maps a place in a scalar's value back to the source. YAML folds lines, strips indentation and decodes escapes, but it
// never touches anything that is not blank outside of escapes: so counting the bytes that are no blanks, in the value
// and then in the source, leads to the exact place without re-implementing YAML's folding rules.
#include <cstdlib>

#include "spec/yaml_tree.hpp"

namespace runner::spec {
namespace {

bool is_blank(char c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/// One character as it is written in the source: how many bytes it takes there, and how many bytes that are no blanks
/// it gives in the value.
struct Step {
  std::size_t source = 1;
  std::size_t value = 1;
};

std::size_t utf8_size(unsigned long code) {
  if (code < 0x80) return is_blank(static_cast<char>(code)) ? 0 : 1;
  if (code < 0x800) return 2;
  return code < 0x10000 ? 3 : 4;
}

Step escape_step(std::string_view rest) {
  if (rest.size() < 2) return {};
  const auto hex = [&](std::size_t digits) -> Step {
    return {2 + digits, utf8_size(std::strtoul(std::string(rest.substr(2, digits)).c_str(), nullptr, 16))};
  };
  switch (rest[1]) {
    case 'x':
      return hex(2);
    case 'u':
      return hex(4);
    case 'U':
      return hex(8);
    case 'L':
    case 'P':
      return {2, 3};  // U+2028 and U+2029 in UTF-8
    case 'n':
    case 't':
    case 'r':
    case ' ':
    case '\t':
    case '\n':
    case '\r':
      return {2, 0};
    default:
      return {2, 1};
  }
}

Step step(std::string_view rest, Node::Style style) {
  if (is_blank(rest.front())) return {1, 0};
  if (style == Node::Style::double_quoted && rest.front() == '\\') return escape_step(rest);
  if (style == Node::Style::single_quoted && rest.starts_with("''")) return {2, 1};
  return {};
}

}  // namespace

std::size_t source_offset(std::string_view text, const Node& scalar, std::size_t value_offset) {
  std::size_t position = scalar.offset;
  switch (scalar.style) {
    case Node::Style::plain:
      break;
    case Node::Style::single_quoted:
    case Node::Style::double_quoted:
      ++position;
      break;
    case Node::Style::literal:
    case Node::Style::folded:  // the header's line: `>-  # comment`
      position = text.find('\n', position);
      break;
  }
  std::size_t count = 0;
  for (std::size_t i = 0; i < value_offset && i < scalar.value.size(); ++i) count += is_blank(scalar.value[i]) ? 0 : 1;
  while (position < text.size()) {
    const Step next = step(text.substr(position), scalar.style);
    if (count == 0 && next.value > 0) return position;
    if (count < next.value) break;
    count -= next.value;
    position += next.source;
  }
  return scalar.offset;
}

std::size_t end_of_quoted(std::string_view text, std::size_t offset) {
  const char quote = text[offset];
  for (std::size_t i = offset + 1; i < text.size(); ++i) {
    if (quote == '"' && text[i] == '\\') {
      ++i;
    } else if (text[i] == quote) {
      if (quote == '"' || i + 1 >= text.size() || text[i + 1] != '\'') return i + 1;
      ++i;
    }
  }
  return std::string_view::npos;
}

}  // namespace runner::spec
