#include "core/plain_command.hpp"

#include "core/shell_words.hpp"

namespace runner::core {
namespace {

class Splitter {
 public:
  /// False: this needs a shell.
  bool add(char c) {
    if (quote_ == '\0') return add_bare(c);
    if (c == quote_) {
      quote_ = '\0';
    } else if (quote_ == '"' && (c == '$' || c == '`' || c == '\\')) {
      return false;
    } else {
      literal_ += c;
    }
    return true;
  }

  void add(const Placeholder& placeholder) {
    flush();
    word_.emplace_back(placeholder);
    in_word_ = true;
  }

  bool finish() {
    end_word();
    return quote_ == '\0' && !words_.empty() && names_a_program(words_.front());
  }

  std::vector<std::vector<Piece>> take() { return std::move(words_); }

 private:
  bool add_bare(char c) {
    if (c == ' ' || c == '\t') {
      end_word();
      return true;
    }
    in_word_ = true;
    if (c == '\'' || c == '"') {
      quote_ = c;
      return true;
    }
    literal_ += c;
    const bool is_utf8 = static_cast<unsigned char>(c) >= 0x80;
    return is_utf8 || c == '=' || is_plain_everywhere(std::string_view(&c, 1));
  }

  // A program whose name comes from a value could be a builtin, unless it has a slash in it.
  static bool names_a_program(const std::vector<Piece>& word) {
    bool has_slash = false;
    bool has_placeholder = false;
    for (const Piece& piece : word) {
      const auto* literal = std::get_if<std::string>(&piece);
      if (literal != nullptr && literal->find('=') != std::string::npos) return false;
      has_slash = has_slash || (literal != nullptr && literal->find('/') != std::string::npos);
      has_placeholder = has_placeholder || literal == nullptr;
    }
    if (has_slash) return true;
    if (has_placeholder || word.empty()) return false;
    const auto& name = std::get<std::string>(word.front());
    return !is_shell_builtin(name) && !is_shell_keyword(name);
  }

  void end_word() {
    flush();
    if (in_word_) words_.push_back(std::move(word_));
    word_.clear();
    in_word_ = false;
  }

  void flush() {
    if (!literal_.empty()) word_.emplace_back(std::move(literal_));
    literal_.clear();
  }

  char quote_ = '\0';
  bool in_word_ = false;
  std::string literal_;
  std::vector<Piece> word_;
  std::vector<std::vector<Piece>> words_;
};

}  // namespace

std::vector<std::vector<Piece>> split_plain_command(const std::vector<Piece>& pieces) {
  Splitter splitter;
  for (const Piece& piece : pieces) {
    if (const auto* placeholder = std::get_if<Placeholder>(&piece)) {
      splitter.add(*placeholder);
      continue;
    }
    for (const char c : std::get<std::string>(piece)) {
      if (!splitter.add(c)) return {};
    }
  }
  return splitter.finish() ? splitter.take() : std::vector<std::vector<Piece>>();
}

}  // namespace runner::core
