// Templates. An input is a template, then the values of {v} and {w}, each behind a byte 1. Held: a value that is quoted
// reads back as itself by the shell's word rules; where a shell string can be judged by those alone, a value changes
// nothing but the words it stands in; a command shown as a line has the words it had.
#include <algorithm>

#include "core/shell_words.hpp"
#include "core/template.hpp"
#include "shell_reader.hpp"
#include "target.hpp"
#include "util/text.hpp"

namespace runner::fuzz {
namespace {

const std::vector<std::string> kNames = {"v", "w", "slice", "file.name"};

core::Variables variables_of(std::string v, std::string w) {
  core::Variables variables;
  variables.set("v", std::move(v));
  variables.set("w", std::move(w));
  variables.set("slice", "17");
  variables.set("file.name", "a b.h5");
  return variables;
}

void check_message(const std::string& message) {
  require(!message.empty() && message.size() < 4096, "a message is short");
  require(util::escape_for_display(message, SIZE_MAX) == message, "a message can be shown");
}

void check_quoting_of(std::string_view value) {
  if (value.find('\0') != std::string_view::npos) return;
  std::string word;
  core::append_shell_word(word, value);
  const auto read = read_shell(word);
  require(read && *read == ShellTokens{{false, std::string(value)}}, "a quoted value reads back as itself");
  const auto line = read_shell(util::shell_quote(value));
  require(line && *line == ShellTokens{{false, std::string(value)}}, "a quoted value of util reads back as itself");
}

void replace_all(std::string& text, std::string_view mark, std::string_view value) {
  std::string out;
  std::size_t from = 0;
  for (auto at = text.find(mark); at != std::string::npos; at = text.find(mark, from)) {
    out.append(text, from, at - from) += value;
    from = at + mark.size();
  }
  text = out.append(text, from);
}

bool has(const ShellTokens& tokens, std::string_view mark) {
  return std::any_of(tokens.begin(), tokens.end(),
                     [&](const ShellToken& token) { return token.text.find(mark) != std::string::npos; });
}

/// The words with the values are the words with two harmless marks, with the values put in their place.
void check_shell_string(const core::CommandTemplate& command, const std::string& v, const std::string& w) {
  constexpr std::string_view kMarkV = "MqzV9";
  constexpr std::string_view kMarkW = "MqzW9";
  if (v.find(kMarkW) != std::string::npos) return;
  if (command.text().find("{v:") != std::string::npos || command.text().find("{w:") != std::string::npos) return;
  const auto plain = command.expand(variables_of("a", "b"));
  const auto without = plain && plain->through_shell ? read_shell(plain->argv[2]) : std::nullopt;
  if (!without || has(*without, kMarkV) || has(*without, kMarkW)) return;  // it has one of its own
  const auto marked = command.expand(variables_of(std::string(kMarkV), std::string(kMarkW)));
  const auto actual = command.expand(variables_of(v, w));
  if (!marked || !actual || !actual->through_shell) return;
  auto expected = read_shell(marked->argv[2]);
  if (!expected) return;  // more than words
  for (ShellToken& token : *expected) {
    replace_all(token.text, kMarkV, v);
    replace_all(token.text, kMarkW, w);
  }
  const auto read = read_shell(actual->argv[2]);
  require(read && *read == *expected, "a value changes only the words it stands in");
}

void check_line(const core::ExpandedCommand& command) {
  require(!command.argv.empty() && !command.argv[0].empty(), "a command names a program");
  auto read = read_shell(core::to_shell_line(command));
  require(read.has_value(), "a command is shown as plain words");
  if (!read->empty() && read->front().text == "env" && command.argv[0] != "env") read->erase(read->begin());
  require(read->size() == command.argv.size(), "a command is shown with all its words");
  for (std::size_t i = 0; i < read->size(); ++i) {
    require(!(*read)[i].is_operator && (*read)[i].text == command.argv[i], "a command is shown with its words");
  }
}

void check_command(const std::variant<core::CommandTemplate, core::TemplateError>& parsed, std::size_t length,
                   const std::string& v, const std::string& w) {
  if (const auto* error = std::get_if<core::TemplateError>(&parsed)) {
    check_message(error->message);
    require(error->offset <= length, "a mistake stands within the template");
    return;
  }
  const auto& command = std::get<core::CommandTemplate>(parsed);
  const auto expanded = command.expand(variables_of(v, w));
  if (!expanded) return check_message(expanded.error().message);
  for (const std::string& argument : expanded->argv) {
    require(argument.find('\0') == std::string::npos, "no argument holds a NUL");
  }
  check_line(*expanded);
  check_shell_string(command, v, w);
}

}  // namespace

std::string input_of_seed(const std::string& text) {
  return text.substr(0, text.find_last_not_of('\n') + 1);
}

void try_input(std::string_view input) {
  const auto parts = util::split(input, '\1');
  const std::string_view text = parts[0];
  const std::string v(parts.size() > 1 ? parts[1] : "x y");
  const std::string w(parts.size() > 2 ? parts[2] : "'");
  check_quoting_of(v);
  check_quoting_of(text);

  const auto parsed = core::TextTemplate::parse(text, kNames);
  if (const auto* error = std::get_if<core::TemplateError>(&parsed)) {
    check_message(error->message);
    require(error->offset <= text.size(), "a mistake stands within the template");
  } else {
    const auto& value = std::get<core::TextTemplate>(parsed);
    const auto expanded = value.expand(variables_of(v, w));
    if (!expanded) check_message(expanded.error().message);
    if (text.find('{') == std::string_view::npos) require(expanded.ok() && *expanded == text, "plain text stays");
  }
  check_command(core::CommandTemplate::parse_shell(text, kNames), text.size(), v, w);
  const std::vector<std::string> list = {"prog", std::string(text), "{v}"};
  check_command(core::CommandTemplate::parse_list(list, kNames), text.size(), v, w);
}

}  // namespace runner::fuzz
