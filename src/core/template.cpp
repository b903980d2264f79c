#include "core/template.hpp"

#include <algorithm>
#include <array>

#include "core/plain_command.hpp"
#include "core/shell_words.hpp"
#include "core/template_parse.hpp"
#include "util/text.hpp"

namespace runner::core {
namespace {

std::string shown(const Placeholder& placeholder) {
  const std::string text = placeholder.name + (placeholder.format_spec.empty() ? "" : ":" + placeholder.format_spec);
  return "{" + util::escape_for_display(text, 60) + "}";
}

/// The value after formatting; `scratch` holds it where it is not the variable's own.
util::Result<std::string_view> value_of(const Placeholder& placeholder, const Variables& variables,
                                        std::string& scratch) {
  const std::string* value = variables.find(placeholder.name);
  if (value == nullptr) return util::Error{shown(placeholder) + " has no value here"};
  if (!placeholder.format_spec.empty()) {
    auto formatted = util::format_value(*value, placeholder.format_spec);
    if (!formatted) return util::Error{shown(placeholder) + ": " + formatted.error().message};
    scratch = *std::move(formatted);
    value = &scratch;
  }
  if (value->find('\0') != std::string::npos) {
    return util::Error{shown(placeholder) + ": the value \"" + util::escape_for_display(*value, 60) +
                       "\" holds a NUL byte, which no argument, path or environment variable can"};
  }
  return std::string_view(*value);
}

/// What to type instead, as it works at that place.
std::string remedy_for(const Placeholder& placeholder) {
  const std::string variable = "$" + environment_name(placeholder.name);
  switch (placeholder.place.remedy) {
    case Remedy::quoted_variable:
      return "use \"" + variable + "\" there instead, or write the command as a list";
    case Remedy::bare_variable:
      return "use " + variable + " there instead, without quotes, which would stay in the text";
    case Remedy::unquoted_delimiter:
      return "write <<" + placeholder.place.delimiter + " without quotes, and use " + variable +
             " there instead (a backslash before any $, ` or \\ that is to stay)";
    case Remedy::either_variable:
      return "use " + variable + " there instead, in double quotes only if that is outside of the here-document";
    case Remedy::argument:
      return "write \"$1\" there, and behind that text the words _ {" + placeholder.name + "}: sh -c '... \"$1\"' _ {" +
             placeholder.name + "}";
  }
  return "";
}

util::Error cannot_quote(const Placeholder& placeholder, std::string_view value) {
  return util::Error{shown(placeholder) + " stands " + std::string(placeholder.place.where) +
                     ", where no quoting is safe for its value \"" + util::escape_for_display(value, 60) +
                     "\": " + remedy_for(placeholder)};
}

util::Result<void> append(std::string& out, const std::vector<Piece>& pieces, const Variables& variables) {
  std::string scratch;
  for (const Piece& piece : pieces) {
    if (const auto* literal = std::get_if<std::string>(&piece)) {
      out += *literal;
      continue;
    }
    const auto& placeholder = std::get<Placeholder>(piece);
    const auto value = value_of(placeholder, variables, scratch);
    if (!value) return value.error();
    if (!append_at(out, *value, placeholder.place)) return cannot_quote(placeholder, *value);
  }
  return {};
}

util::Error argument_error(std::string_view what, std::size_t bytes) {
  return util::Error{std::string(what) + " " + too_long(bytes) + ": hand the long value over in a file (`stdin`)"};
}

void find_places(std::vector<Piece>& pieces) {
  std::string text;
  for (const Piece& piece : pieces) {
    const auto* literal = std::get_if<std::string>(&piece);
    literal != nullptr ? text += * literal : text += kPlaceholderMark;
  }
  const auto places = scan_shell(text);
  auto place = places.begin();
  for (Piece& piece : pieces) {
    if (auto* placeholder = std::get_if<Placeholder>(&piece)) placeholder->place = *place++;
  }
}

/// The word as it is written; "" where a variable stands in it.
std::string_view literal_word(const std::vector<Piece>& word) {
  const auto* literal = word.size() == 1 ? std::get_if<std::string>(&word.front()) : nullptr;
  return literal != nullptr ? std::string_view(*literal) : std::string_view();
}

bool is_shell(std::string_view program) {
  static constexpr std::array<std::string_view, 5> kShells = {"sh", "bash", "dash", "zsh", "ksh"};
  return std::ranges::find(kShells, program.substr(program.rfind('/') + 1)) != kShells.end();
}

/// Programs whose arguments are a command: behind them a word that names a shell is one.
bool runs_a_command(std::string_view program) {
  static constexpr std::array<std::string_view, 19> kRunners = {
      "env",     "nice", "nohup", "timeout", "time",   "xargs",  "setsid", "stdbuf", "sudo",   "ionice",
      "taskset", "chrt", "flock", "strace",  "docker", "podman", "srun",   "mpirun", "numactl"};
  return std::ranges::find(kRunners, program.substr(program.rfind('/') + 1)) != kRunners.end();
}

/// Where the script of the shell at `words[shell]` is; nullopt if it gets none (`-c`, in a cluster such as -euo too).
std::optional<std::size_t> script_of(const std::vector<std::vector<Piece>>& words, std::size_t shell) {
  bool has_script = false;
  std::size_t i = shell + 1;
  for (; i < words.size(); ++i) {
    const std::string_view option = literal_word(words[i]);
    if (option == "--rcfile" || option == "--init-file") {
      ++i;  // its argument
    } else if (option.starts_with("--")) {
      continue;
    } else if (option.starts_with('-') || option.starts_with('+')) {
      has_script = has_script || option.find('c') != std::string_view::npos;
      if (option.find_first_of("oO") != std::string_view::npos) ++i;  // pipefail and the like
    } else {
      break;
    }
  }
  return has_script && i < words.size() ? std::optional(i) : std::nullopt;
}

/// The values in SCRIPT of `bash -c SCRIPT`, also behind `env` and the like: they stand bare in what that shell reads.
void find_places_of_second_shell(std::vector<std::vector<Piece>>& words) {
  std::optional<std::size_t> script;
  const bool anywhere = runs_a_command(literal_word(words.front()));
  for (std::size_t i = 0; i < (anywhere ? words.size() : 1) && !script; ++i) {
    if (is_shell(literal_word(words[i]))) script = script_of(words, i);
  }
  if (!script) return;
  const std::size_t i = *script;
  find_places(words[i]);
  for (Piece& piece : words[i]) {
    auto* placeholder = std::get_if<Placeholder>(&piece);
    if (placeholder == nullptr) continue;
    placeholder->place.quoting = Quoting::uncertain;
    placeholder->place.where = "in the text that a second shell runs";
    placeholder->place.remedy = Remedy::argument;
  }
}

/// Without the blanks and newlines that YAML's block styles leave at the end; an escaped one belongs to the command.
std::string_view without_trailing_blanks(std::string_view text) {
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t' || text.back() == '\n') &&
         !text.substr(0, text.size() - 1).ends_with('\\')) {
    text.remove_suffix(1);
  }
  return text;
}

}  // namespace

std::string too_long(std::size_t bytes) {
  return "is " + util::format_count(bytes) + " bytes long, but the kernel takes at most " +
         util::format_count(kMaxArgument) + " in one piece";
}

std::size_t least_size(const std::vector<Piece>& pieces) {
  std::size_t size = 0;
  for (const Piece& piece : pieces) {
    if (const auto* literal = std::get_if<std::string>(&piece)) size += literal->size();
  }
  return size;
}

std::variant<TextTemplate, TemplateError> TextTemplate::parse(std::string_view text,
                                                              const std::vector<std::string>& names) {
  auto parsed = parse_pieces(text, names);
  if (auto* error = std::get_if<TemplateError>(&parsed)) return std::move(*error);
  TextTemplate result;
  result.text_ = text;
  result.pieces_ = std::get<std::vector<Piece>>(std::move(parsed));
  return result;
}

util::Result<std::string> TextTemplate::expand(const Variables& variables) const {
  std::string out;
  if (auto done = append(out, pieces_, variables); !done) return done.error();
  return out;
}

std::variant<CommandTemplate, TemplateError> CommandTemplate::parse_shell(std::string_view text,
                                                                          const std::vector<std::string>& names) {
  text = without_trailing_blanks(text);
  if (text.find_first_not_of(" \t\n") == std::string_view::npos) return TemplateError{"the command is empty", 0};
  auto parsed = parse_pieces(text, names);
  if (auto* error = std::get_if<TemplateError>(&parsed)) return std::move(*error);
  CommandTemplate result;
  result.text_ = text;
  result.pieces_ = std::get<std::vector<Piece>>(std::move(parsed));
  result.words_ = split_plain_command(result.pieces_);
  result.words_.empty() ? find_places(result.pieces_) : find_places_of_second_shell(result.words_);
  return result;
}

std::variant<CommandTemplate, TemplateError> CommandTemplate::parse_list(const std::vector<std::string>& elements,
                                                                         const std::vector<std::string>& names,
                                                                         std::size_t* failed_element) {
  if (failed_element != nullptr) *failed_element = 0;
  if (elements.empty() || elements.front().empty()) return TemplateError{"the command is empty", 0};
  CommandTemplate result;
  for (std::size_t i = 0; i < elements.size(); ++i) {
    auto parsed = parse_pieces(elements[i], names);
    if (auto* error = std::get_if<TemplateError>(&parsed)) {
      if (failed_element != nullptr) *failed_element = i;
      return std::move(*error);
    }
    result.words_.push_back(std::get<std::vector<Piece>>(std::move(parsed)));
    if (i > 0) result.text_ += ' ';
    append_shell_word(result.text_, elements[i]);
  }
  find_places_of_second_shell(result.words_);
  return result;
}

util::Result<ExpandedCommand> CommandTemplate::expand(const Variables& variables) const {
  ExpandedCommand command;
  if (words_.empty()) {
    std::string text;
    if (auto done = append(text, pieces_, variables); !done) return done.error();
    if (text.size() > kMaxArgument) return argument_error("the command", text.size());
    command.through_shell = true;
    command.argv = {"/bin/sh", "-c", std::move(text)};
    return command;
  }
  command.argv.resize(words_.size());
  for (std::size_t i = 0; i < words_.size(); ++i) {
    std::string& word = command.argv[i];
    if (auto done = append(word, words_[i], variables); !done) return done.error();
    if (word.size() > kMaxArgument) {
      return argument_error("the command's word " + std::to_string(i + 1), word.size());
    }
  }
  if (command.argv.front().empty()) return util::Error{"the command's first word is empty: it names no program"};
  return command;
}

std::size_t CommandTemplate::least_size() const {
  std::size_t longest = words_.empty() ? core::least_size(pieces_) : 0;
  for (const auto& word : words_) longest = std::max(longest, core::least_size(word));
  return longest;
}

std::string to_shell_line(const ExpandedCommand& command, bool for_terminal) {
  std::string line;
  for (const std::string& word : command.argv) {
    // As a first word alone it would be the shell's builtin, which need not do what the program does.
    if (line.empty() && is_shell_builtin(word)) line = "env";
    if (!line.empty()) line += ' ';
    if (for_terminal && util::escape_lines(word) != word) {
      line += util::shell_quote_for_display(word);
    } else {
      append_shell_word(line, word);
    }
  }
  return line;
}

}  // namespace runner::core
