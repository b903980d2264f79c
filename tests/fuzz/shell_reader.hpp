// Reads a POSIX shell string as words and operators, with the quotes taken off (XCU 2.2, 2.3): the rules that
// core/shell_words writes for, from the reader's side and written apart from it. Knows no expansion and no
// here-document: of a string that has one it says nothing. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace runner::fuzz {

struct ShellToken {
  bool is_operator = false;
  std::string text;
  bool operator==(const ShellToken&) const = default;
};
using ShellTokens = std::vector<ShellToken>;

class ShellReader {
 public:
  explicit ShellReader(std::string_view text) : text_(text) {}

  std::optional<ShellTokens> read() {
    while (at_ < text_.size()) {
      if (!step()) return std::nullopt;
    }
    end_word();
    return std::move(tokens_);
  }

 private:
  bool step() {
    const char c = text_[at_++];
    if (c == '\'') return single_quoted();
    if (c == '"') return double_quoted();
    if (c == '\\') return escaped();
    if (c == '$' || c == '`') return false;
    if (c == '<' && text_.substr(at_, 1) == "<") return false;
    if (c == '#' && !in_word_) {
      at_ = std::min(text_.find('\n', at_), text_.size());
    } else if (c == ' ' || c == '\t') {
      end_word();
    } else if (std::string_view("\n;&|<>()").find(c) != std::string_view::npos) {
      end_word();
      tokens_.push_back({true, std::string(1, c)});
    } else {
      add(c);
    }
    return true;
  }

  void add(char c) {
    in_word_ = true;
    word_ += c;
  }

  void end_word() {
    if (in_word_) tokens_.push_back({false, std::move(word_)});
    word_.clear();
    in_word_ = false;
  }

  bool single_quoted() {
    const auto end = text_.find('\'', at_);
    if (end == std::string_view::npos) return false;
    in_word_ = true;
    word_ += text_.substr(at_, end - at_);
    at_ = end + 1;
    return true;
  }

  bool double_quoted() {
    in_word_ = true;
    while (at_ < text_.size()) {
      const char c = text_[at_++];
      if (c == '"') return true;
      if (c == '`') return false;
      if (c == '$') return false;
      if (c != '\\') {
        word_ += c;
        continue;
      }
      if (at_ == text_.size()) return false;
      const char next = text_[at_++];
      if (next == '\n') continue;
      if (std::string_view("$`\"\\").find(next) == std::string_view::npos) word_ += c;
      word_ += next;
    }
    return false;
  }

  bool escaped() {
    if (at_ == text_.size()) return false;
    const char next = text_[at_++];
    if (next != '\n') add(next);
    return true;
  }

  std::string_view text_;
  std::size_t at_ = 0;
  bool in_word_ = false;
  std::string word_;
  ShellTokens tokens_;
};

/// The tokens; nothing where words are not all there is to it, or a quote is never closed.
inline std::optional<ShellTokens> read_shell(std::string_view text) {
  return ShellReader(text).read();
}

}  // namespace runner::fuzz
