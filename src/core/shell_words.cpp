#include "core/shell_words.hpp"

#include <algorithm>
#include <array>

namespace runner::core {
namespace {

constexpr std::array<std::string_view, 22> kKeywords = {
    "!",   "[[",       "]]", "case", "coproc", "do",   "done", "elif",  "else",  "esac", "fi",
    "for", "function", "if", "in",   "select", "then", "time", "until", "while", "{",    "}"};

constexpr std::array<std::string_view, 62> kBuiltins = {
    ".",      ":",       "[",       "alias",   "bg",       "bind",    "break",    "builtin",   "caller",
    "cd",     "chdir",   "command", "compgen", "complete", "compopt", "continue", "declare",   "dirs",
    "disown", "echo",    "enable",  "eval",    "exec",     "exit",    "export",   "false",     "fc",
    "fg",     "getopts", "hash",    "help",    "history",  "jobs",    "kill",     "let",       "local",
    "logout", "mapfile", "popd",    "printf",  "pushd",    "pwd",     "read",     "readarray", "readonly",
    "return", "set",     "shift",   "shopt",   "source",   "suspend", "test",     "times",     "trap",
    "true",   "type",    "typeset", "ulimit",  "umask",    "unalias", "unset",    "wait"};

template <std::size_t kSize>
bool contains(const std::array<std::string_view, kSize>& words, std::string_view word) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

constexpr std::array<bool, 256> kPlain = [] {
  std::array<bool, 256> table{};
  for (const char c : std::string_view("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./,:@%+=-")) {
    table[static_cast<unsigned char>(c)] = true;
  }
  return table;
}();

/// "A=", "A+=", "=" or "1=" (which a letter before it would complete) at the beginning.
bool looks_like_assignment(std::string_view value) {
  std::size_t i = 0;
  while (i < value.size() && is_shell_name_char(value[i])) ++i;
  if (i < value.size() && value[i] == '+') ++i;
  return i < value.size() && value[i] == '=';
}

void append_single_quoted(std::string& out, std::string_view value) {
  for (;;) {
    const auto quote = value.find('\'');
    out += value.substr(0, quote);
    if (quote == std::string_view::npos) return;
    out += R"('\'')";
    value.remove_prefix(quote + 1);
  }
}

void append_in_quotes(std::string& out, std::string_view value) {
  out += '\'';
  append_single_quoted(out, value);
  out += '\'';
}

void append_double_quoted(std::string& out, std::string_view value) {
  for (const char c : value) {
    if (c == '\\' || c == '$' || c == '`' || c == '"') out += '\\';
    out += c;
  }
}

}  // namespace

bool is_shell_name_char(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

bool ends_shell_word(char c) {
  return std::string_view(" \t\n;&|<>()").find(c) != std::string_view::npos;
}

bool is_shell_keyword(std::string_view word) {
  return contains(kKeywords, word);
}

bool is_shell_builtin(std::string_view word) {
  return contains(kBuiltins, word);
}

bool is_plain_everywhere(std::string_view value) {
  return !value.empty() &&
         std::all_of(value.begin(), value.end(), [](char c) { return kPlain[static_cast<unsigned char>(c)]; }) &&
         !looks_like_assignment(value);
}

void append_shell_word(std::string& out, std::string_view value) {
  if (is_plain_everywhere(value) && !is_shell_keyword(value)) {
    out += value;
  } else {
    append_in_quotes(out, value);
  }
}

bool append_at(std::string& out, std::string_view value, const ShellPlace& place) {
  switch (place.quoting) {
    case Quoting::none:
      out += value;
      return true;
    case Quoting::bare:
      place.strict ? append_in_quotes(out, value) : append_shell_word(out, value);
      return true;
    case Quoting::single_quoted:
      append_single_quoted(out, value);
      return true;
    case Quoting::double_quoted:
      if (place.strict) out += "\"\"";  // closes and reopens, so that "$A" ends where it was meant to
      append_double_quoted(out, value);
      return true;
    case Quoting::uncertain:
      if (place.strict || !is_plain_everywhere(value)) return false;
      if (place.delimiter.find(value) != std::string::npos) return false;
      out += value;
      return true;
  }
  return false;
}

}  // namespace runner::core
