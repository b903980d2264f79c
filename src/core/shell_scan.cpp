#include "core/shell_scan.hpp"

#include <optional>
#include <string>

#include "core/shell_here_document.hpp"
#include "core/shell_words.hpp"

namespace runner::core {
namespace {

constexpr std::string_view kHereDocument = "in or after a here-document";
constexpr char kQuotedPart = '\1';  // in Level::word: something that is not plain text

enum class Frame : std::uint8_t {
  command,        // the string itself: words and operators
  single_quotes,  // '...'
  double_quotes,  // "..."
  dollar_single,  // $'...': quotes in bash, a dollar and quotes in dash
  dollar_double,  // $"...": translated by bash
  command_sub,    // $(...)
  subshell,       // (...) within a command_sub
  backquotes,     // `...`
  parameter,      // ${...}
  arithmetic,     // $((...))
  parens,         // (...) within an arithmetic
};

std::string_view describe(Frame frame) {
  switch (frame) {
    case Frame::command:
    case Frame::single_quotes:
    case Frame::double_quotes:
      return "";
    case Frame::dollar_single:
      return "inside $'...'";
    case Frame::dollar_double:
      return "inside $\"...\"";
    case Frame::command_sub:
    case Frame::subshell:
      return "inside $(...)";
    case Frame::backquotes:
      return "inside `...`";
    case Frame::parameter:
      return "inside ${...}";
    case Frame::arithmetic:
    case Frame::parens:
      return "inside $((...))";
  }
  return "";
}

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

/// A push-down automaton: the stack says what encloses the current character, innermost last.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {}

  std::vector<ShellPlace> scan() {
    while (at_ < text_.size()) step();
    return std::move(places_);
  }

 private:
  struct Level {
    Frame frame;
    std::string word;  // the word so far, without what is quoted in it
  };

  void step() {
    const char c = text_[at_];
    if (c == kPlaceholderMark) {
      place();
      ++at_;
    } else if (!doubt_.empty()) {
      ++at_;
    } else if (c == '\n' && here_document_) {
      here_document();
    } else {
      step_in_frame(c);
    }
  }

  void step_in_frame(char c) {
    switch (top().frame) {
      case Frame::command:
      case Frame::command_sub:
      case Frame::subshell:
        return in_command(c);
      case Frame::single_quotes:
        if (c == '\'') stack_.pop_back();
        ++at_;
        return;
      case Frame::dollar_single:
        // Here the shells part: bash reads \' as a quote, dash as the end.
        if (c == '\\' && peek() == '\'') return give_up("after $'...\\'");
        if (c == '\'') stack_.pop_back();
        ++at_;
        return;
      case Frame::double_quotes:
      case Frame::dollar_double:
        return in_double_quotes(c);
      case Frame::backquotes:
        return in_backquotes(c);
      case Frame::parameter:
        return in_parameter(c);
      case Frame::arithmetic:
      case Frame::parens:
        return in_arithmetic(c);
    }
  }

  void in_command(char c) {
    const bool nested = stack_.size() > 1;
    switch (c) {
      case '\\':
        return backslash();
      case '\'':
        return push(Frame::single_quotes, 1);
      case '"':
        return push(Frame::double_quotes, 1);
      case '`':
        return push(Frame::backquotes, 1);
      case '$':
        return dollar();
      case '#':
        if (!top().word.empty()) break;
        if (nested) return give_up("in or after a comment inside $(...)");
        return comment();
      default:
        break;
    }
    if (ends_shell_word(c)) return end_word(c);
    top().word += c;
    ++at_;
  }

  void end_word(char c) {
    const bool nested = stack_.size() > 1;
    if (nested && top().word == "case") return give_up("after a `case` inside $(...)");  // its ) does not close
    top().word.clear();
    if (c == '<' && peek() == '<') return here_operator(nested);
    if (c == '(' && peek() == '(') return give_up("in or after ((...))");  // arithmetic in bash
    ++at_;
    if (!nested) return;
    if (c == '(') stack_.push_back({Frame::subshell, {}});
    if (c == ')') stack_.pop_back();
  }

  void here_operator(bool nested) {
    if (nested || here_document_) return give_up(kHereDocument);
    here_document_ = read_here_operator(text_, at_);
    if (!here_document_) give_up(kHereDocument);
  }

  /// At the newline before the body.
  void here_document() {
    if (stack_.size() > 1) return give_up(kHereDocument);
    end_word('\n');
    const HereBody body = find_here_body(text_, at_, *here_document_);
    for (; at_ < body.end; ++at_) {
      if (text_[at_] != kPlaceholderMark) continue;
      add(Quoting::uncertain, here_document_->expands && follows_name(), kHereDocument);
      places_.back().where =
          here_document_->expands ? "in a here-document" : "in a here-document with a quoted delimiter";
      places_.back().delimiter = here_document_->delimiter;
      places_.back().remedy = here_document_->expands ? Remedy::bare_variable : Remedy::unquoted_delimiter;
    }
    at_ = body.after;
    here_document_.reset();
    if (!body.is_certain) doubt_ = "after a here-document with expansions in it";
  }

  void comment() {
    for (; at_ < text_.size() && text_[at_] != '\n'; ++at_) {
      if (text_[at_] == kPlaceholderMark) add(Quoting::uncertain, false, "in a comment");
    }
  }

  void in_double_quotes(char c) {
    switch (c) {
      case '"':
        stack_.pop_back();
        ++at_;
        return;
      case '\\':
        return backslash();
      case '`':
        return push(Frame::backquotes, 1);
      case '$':
        return dollar();
      default:
        ++at_;
    }
  }

  // Quotes do not hide the closing backquote; only a backslash does.
  void in_backquotes(char c) {
    if (c == '\\') return backslash();
    if (c == '`') {
      stack_.pop_back();
    } else if (ends_shell_word(c)) {
      top().word.clear();
    } else {
      top().word += c;
    }
    ++at_;
  }

  void in_parameter(char c) {
    switch (c) {
      case '}':
        stack_.pop_back();
        ++at_;
        return;
      case '\\':
        return backslash();
      case '`':
        return push(Frame::backquotes, 1);
      case '$':
        return dollar();
      case '{':
        return give_up("in or after ${...{");
      case '\'':
      case '"':
        // Within double quotes the shells, and the operators of one shell, differ in what a quote means here.
        if (is_within_double_quotes()) return give_up("in or after \"${...}\" with quotes in it");
        return push(c == '"' ? Frame::double_quotes : Frame::single_quotes, 1);
      default:
        top().word += c;
        ++at_;
    }
  }

  void in_arithmetic(char c) {
    switch (c) {
      case '(':
        return push(Frame::parens, 1);
      case ')':
        if (top().frame == Frame::arithmetic) {
          if (peek() != ')') return give_up("in or after $((...)");  // bash: a subshell in $(...)
          ++at_;
        }
        stack_.pop_back();
        ++at_;
        return;
      case '`':
        return push(Frame::backquotes, 1);
      case '$':
        return dollar();
      case '\\':
      case '\'':
      case '"':
      case ';':
      case '{':
        return give_up("in or after $((...))");
      default:
        ++at_;
    }
  }

  void backslash() {
    if (peek() == '\n') {
      // The shell joins the lines, even in the middle of an operator.
      const char before = at_ == 0 ? ' ' : text_[at_ - 1];
      if (before == '$' || before == '<' || before == '(') {
        return give_up("after a backslash at the end of a line");
      }
      at_ += 2;
      return;
    }
    top().word += kQuotedPart;
    if (at_ + 1 < text_.size() && text_[at_ + 1] == kPlaceholderMark) {
      add(Quoting::uncertain, false, "after a backslash");
    }
    at_ += 2;
  }

  void dollar() {
    const char next = peek();
    const bool in_words = top().frame != Frame::double_quotes && top().frame != Frame::dollar_double;
    if (next == '(') {
      return peek(2) == '(' ? push(Frame::arithmetic, 3) : push(Frame::command_sub, 2);
    }
    if (next == '{') return push(Frame::parameter, 2);
    if (next == '[') return give_up("in or after $[...]");  // arithmetic in bash
    if (in_words && next == '\'') return push(Frame::dollar_single, 2);
    if (in_words && next == '"') return push(Frame::dollar_double, 2);
    top().word += kQuotedPart;
    ++at_;
    if (is_shell_name_char(next)) {
      skip_name(is_digit(next));
    } else if (next != '\0' && std::string_view("?@*#$!-").find(next) != std::string_view::npos) {
      ++at_;
    }
  }

  void skip_name(bool digits_only) {  // dash takes $10 for ${10}
    for (;;) {
      if (digits_only ? is_digit(peek(0)) : is_shell_name_char(peek(0))) {
        ++at_;
      } else if (text_.substr(at_, 2) == "\\\n") {
        at_ += 2;
      } else {
        break;
      }
    }
    name_end_ = at_;
  }

  void place() {
    const bool strict = is_strict();
    top().word += kQuotedPart;
    if (!doubt_.empty()) return add(Quoting::uncertain, strict, doubt_);
    if (stack_.size() == 1) return add(Quoting::bare, strict);
    if (stack_.size() == 2 && top().frame == Frame::single_quotes) return add(Quoting::single_quoted, false);
    if (stack_.size() == 2 && top().frame == Frame::double_quotes) return add(Quoting::double_quoted, strict);
    for (const Level& level : stack_) {
      if (const auto where = describe(level.frame); !where.empty()) return add(Quoting::uncertain, strict, where);
    }
  }

  [[nodiscard]] bool is_strict() const {
    if (!doubt_.empty()) return is_strict_in_doubt();
    if (at_ == name_end_) return true;
    switch (stack_.back().frame) {
      case Frame::command:
      case Frame::command_sub:
      case Frame::subshell:
      case Frame::backquotes:
        return stack_.back().word.find_first_of("{~[") != std::string::npos || is_descriptor();
      case Frame::parameter:
        return stack_.back().word.find('~') != std::string::npos;
      case Frame::single_quotes:
      case Frame::double_quotes:
      case Frame::dollar_single:
      case Frame::dollar_double:
      case Frame::arithmetic:
      case Frame::parens:
        return false;
    }
    return true;
  }

  /// As is_strict(), from the characters just before and without knowing what encloses them.
  [[nodiscard]] bool is_strict_in_doubt() const {
    if (doubt_ == kHereDocument) return true;  // any value might be the delimiter
    std::size_t i = at_;
    while (i > 0 && !ends_shell_word(text_[i - 1])) --i;
    const bool is_joined = i > 1 && text_.substr(i - 2, 2) == "\\\n";
    return is_joined || text_.substr(i, at_ - i).find_first_of("{~[") != std::string_view::npos || follows_name() ||
           is_descriptor();
  }

  /// Whether `$name` or `$1` stands just before.
  [[nodiscard]] bool follows_name() const {
    std::size_t i = at_;
    while (i > 0 && is_shell_name_char(text_[i - 1])) --i;
    return i > 0 && i < at_ && text_[i - 1] == '$';
  }

  /// Whether digits standing at `at_` would be the file descriptor of a redirection.
  [[nodiscard]] bool is_descriptor() const {
    std::size_t i = at_ + 1;
    while (i < text_.size() && (is_digit(text_[i]) || text_[i] == kPlaceholderMark || text_.substr(i, 2) == "\\\n")) {
      i += text_[i] == '\\' ? 2 : 1;
    }
    return i < text_.size() && (text_[i] == '<' || text_[i] == '>');
  }

  [[nodiscard]] bool is_within_double_quotes() const {
    std::size_t i = stack_.size() - 1;
    while (i > 0 && stack_[i].frame == Frame::parameter) --i;
    const Frame frame = stack_[i].frame;
    return frame == Frame::double_quotes || frame == Frame::dollar_double || frame == Frame::arithmetic ||
           frame == Frame::parens;
  }

  void push(Frame frame, std::size_t length) {
    top().word += kQuotedPart;
    stack_.push_back({frame, {}});
    at_ += length;
  }

  /// From here on nothing is certain.
  void give_up(std::string_view why) {
    doubt_ = why;
    ++at_;
  }

  void add(Quoting quoting, bool strict, std::string_view where = {}) {
    const Remedy remedy = where == kHereDocument ? Remedy::either_variable : Remedy::quoted_variable;
    places_.push_back({quoting, strict, where, {}, remedy});
  }

  Level& top() { return stack_.back(); }
  /// '\0' at the end, and for a placeholder.
  [[nodiscard]] char peek(std::size_t ahead = 1) const {
    return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0';
  }

  std::string_view text_;
  std::size_t at_ = 0;
  std::vector<Level> stack_ = {{Frame::command, {}}};
  std::size_t name_end_ = std::string_view::npos;  // where the last unbraced $name ended
  std::string_view doubt_;                         // why nothing is certain any more; empty while it is
  std::optional<HereDocument> here_document_;      // whose body follows this line
  std::vector<ShellPlace> places_;
};

}  // namespace

std::vector<ShellPlace> scan_shell(std::string_view text) {
  return Scanner(text).scan();
}

}  // namespace runner::core
