#include "spec/folded_command.hpp"

#include <algorithm>
#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "core/shell_scan.hpp"

namespace runner::spec {
namespace {

constexpr std::string_view kBlanks = " \t";

std::string_view line_at(std::string_view text, std::size_t begin) {
  return text.substr(begin, text.substr(begin).find('\n'));
}

std::size_t indentation(std::string_view line) {
  return std::min(line.find_first_not_of(kBlanks), line.size());
}

/// A shell reads on behind `|`, `&&` or `do`, and a new command behind `;` is one that is meant.
bool ends_open(std::string_view line) {
  static constexpr std::array<std::string_view, 10> kOpening = {"do", "then", "else",  "in",    "{",
                                                                "if", "elif", "while", "until", "!"};
  line = line.substr(0, line.find_last_not_of(kBlanks) + 1);
  const std::string_view word = line.substr(line.find_last_of(" \t;&|()") + 1);
  return word.empty() || std::ranges::find(kOpening, word) != kOpening.end();
}

/// Whether it goes on with what the line above began, or is only a comment.
bool goes_on(std::string_view line) {
  static constexpr std::array<std::string_view, 8> kContinuing = {"do", "then", "else", "elif",
                                                                  "fi", "done", "esac", "}"};
  line.remove_prefix(indentation(line));
  const std::string_view word = line.substr(0, line.find_first_of(" \t;&|"));
  return word.starts_with('#') || word.starts_with(')') || std::ranges::find(kContinuing, word) != kContinuing.end();
}

}  // namespace

std::optional<std::size_t> line_split_off(const Node& command) {
  if (command.style != Node::Style::folded) return std::nullopt;
  const std::string_view text = command.value;
  std::vector<std::size_t> split;  // where the lines begin that may be such
  std::string marked;              // the text with a mark at the break before each
  std::string_view above;
  for (std::size_t at = 0; at < text.size(); at += above.size() + 1) {
    const std::string_view line = line_at(text, at);
    const std::size_t indent = indentation(line);
    const bool is_deeper = indentation(above) < above.size() && indent < line.size() && indent > indentation(above);
    if (is_deeper && !ends_open(above) && !goes_on(line)) {
      split.push_back(at + indent);
      marked += core::kPlaceholderMark;
    }
    if (at > 0) marked += '\n';
    marked += line;
    above = line;
  }
  // Only outside of quotes and the like is it certain that a command ends there.
  const auto places = core::scan_shell(marked);
  const auto found = std::ranges::find(places, core::Quoting::bare, &core::ShellPlace::quoting);
  if (found == places.end()) return std::nullopt;
  return split[static_cast<std::size_t>(found - places.begin())];
}

}  // namespace runner::spec
