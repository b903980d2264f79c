#include "core/template_parse.hpp"

#include <algorithm>
#include <array>
#include <map>
#include <optional>

#include "util/text.hpp"

namespace runner::core {
namespace {

/// Beyond any command that runs, and little enough for what looks at every variable beside every other.
constexpr std::size_t kMaxText = 1U << 20U;
constexpr std::size_t kMaxPlaceholders = 10'000;

/// "{name}" or "{name:format}" as it stands in the text.
struct Braces {
  std::string_view inside;
  std::string_view name;
  std::optional<std::string_view> format;
};

std::optional<Braces> braces_at(std::string_view text, std::size_t open) {
  if (open >= text.size() || text[open] != '{') return std::nullopt;
  const auto close = text.find_first_of("{}\n", open + 1);
  if (close == std::string_view::npos || text[close] != '}') return std::nullopt;
  Braces found;
  found.inside = text.substr(open + 1, close - open - 1);
  const auto colon = found.inside.find(':');
  found.name = found.inside.substr(0, colon);
  if (colon != std::string_view::npos) found.format = found.inside.substr(colon + 1);
  return found;
}

bool is_dotted_identifier(std::string_view text) {
  const auto parts = util::split(text, '.');
  return std::all_of(parts.begin(), parts.end(), util::is_identifier);
}

/// Two edits turn any short word into any other, so short ones must be nearer to count as a slip.
std::size_t tolerance(std::string_view a, std::string_view b) {
  if (std::min(a.size(), b.size()) <= 2) return 0;
  return std::max(a.size(), b.size()) == 3 ? 1 : 2;
}

/// The known name that `word` was probably meant to be.
std::optional<std::string> meant(std::string_view word, const std::vector<std::string>& names) {
  std::optional<std::string> best;
  std::size_t best_distance = 0;
  for (const std::string& name : names) {
    if (std::max(word.size(), name.size()) - std::min(word.size(), name.size()) > 2) continue;  // as many edits
    const bool same_letters =
        name.size() > 2 && name.size() == word.size() && util::starts_with_ignoring_case(name, word);
    const std::size_t distance = same_letters ? 0 : util::edit_distance(word, name);
    if (!same_letters && distance > tolerance(word, name)) continue;
    if (!best || distance < best_distance) {
      best = name;
      best_distance = distance;
    }
  }
  return best;
}

/// Whether `name` stands in the text as a word of its own: the shell variable is then set there ("for file in ...").
bool is_mentioned(std::string_view text, std::string_view name) {
  const auto joins = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-' ||
           c == '.' || c == '/' || c == '$' || c == '{';
  };
  for (auto at = text.find(name); at != std::string_view::npos; at = text.find(name, at + 1)) {
    const auto end = at + name.size();
    if ((at == 0 || !joins(text[at - 1])) && (end == text.size() || !joins(text[end]))) return true;
  }
  return false;
}

/// A format that fits no value at all is a mistake in the template and not one of a slice.
std::optional<std::string> format_problem(const Braces& braces) {
  const std::string shown = "{" + util::escape_for_display(braces.inside, 60) + "}";
  if (braces.format->starts_with(' ')) {  // as in JSON; the format of fmt that begins so is hardly ever meant
    return shown + ": a format cannot begin with a blank; if no variable is meant, write {" + shown + "}";
  }
  for (const std::string_view sample : {"1", "0.5", "x"}) {
    if (util::format_value(sample, *braces.format)) return std::nullopt;
  }
  return shown + ": " + util::format_value("1", *braces.format).error().message + "; if no variable is meant, write {" +
         shown + "}";
}

/// The form of slices that a name is there with: the name alone, or what stands before its first dot.
std::optional<std::string_view> form_of(std::string_view name) {
  const std::string_view head = name.substr(0, name.find('.'));
  if (head == "file") return "files: \"data/*.h5\"";
  if (name == "line") return "lines: list.txt";
  if (name == "item") return "list: [a, b]";
  return std::nullopt;
}

class Parser {
 public:
  Parser(std::string_view text, const std::vector<std::string>& names) : text_(text), names_(names) {}

  std::variant<std::vector<Piece>, TemplateError> parse() {
    if (text_.size() > kMaxText) {
      return TemplateError{"a text with variables is " + util::format_count(kMaxText) + " bytes long at most", 0};
    }
    if (const auto nul = text_.find('\0'); nul != std::string_view::npos) {
      return TemplateError{"a NUL byte cannot be part of an argument", nul};
    }
    while (at_ < text_.size()) {
      if (auto error = step()) return *std::move(error);
    }
    flush();
    return std::move(pieces_);
  }

 private:
  using Problem = std::optional<TemplateError>;

  Problem step() {
    const auto braces = braces_at(text_, at_);
    if (!braces && text_[at_] != '{') return copy(text_.find('{', at_) - at_);
    if (!braces) return doubled();
    if (is_dollars()) return shell_variable(*braces);
    return is_known(braces->name) ? placeholder(*braces) : unknown(*braces);
  }

  /// At a '{' that is followed by another: {{name}} is the literal {name}; {{{name}}} is a value in braces.
  Problem doubled() {
    if (const auto inner = braces_at(text_, at_ + 1); inner && (is_known(inner->name) || form_of(inner->name))) {
      const auto end = at_ + 1 + inner->inside.size() + 2;
      if (text_.substr(end, 1) == "}") {
        literal_ += text_.substr(at_ + 1, end - at_ - 1);
        at_ = end + 1;
        return std::nullopt;
      }
    }
    const auto inner = text_.substr(at_, 3) == "{{{" ? braces_at(text_, at_ + 2) : std::nullopt;
    if (inner && is_known(inner->name) && text_.substr(at_ + 2 + inner->inside.size() + 2, 2) == "}}") {
      copy(1);
      ++at_;
      if (auto error = placeholder(*inner)) return error;
      literal_ += '}';
      at_ += 2;
      return std::nullopt;
    }
    return copy(1);
  }

  /// ${name} belongs to the shell. With nothing there to set it, it would silently be empty in every slice.
  Problem shell_variable(const Braces& braces) {
    if (!braces.format && is_known(braces.name) && !mentions(braces.name)) {
      const std::string name(braces.name);
      return TemplateError{"${" + name + "} is a variable of the shell, and nothing sets it here: write {" + name +
                               "} for runner's, or ${{" + name + "}} for the shell's",
                           at_ - 1};
    }
    return copy(1);
  }

  /// is_mentioned(), looked for once: a long text may name a variable very often.
  bool mentions(std::string_view name) {
    const auto [found, is_new] = mentioned_.try_emplace(name, false);
    if (is_new) found->second = is_mentioned(text_, name);
    return found->second;
  }

  Problem placeholder(const Braces& braces) {
    if (braces.format && !braces.format->empty()) {
      if (auto problem = format_problem(braces)) return TemplateError{*std::move(problem), at_};
    }
    if (++placeholders_ > kMaxPlaceholders) {
      return TemplateError{"more than " + util::format_count(kMaxPlaceholders) + " variables in one text", at_};
    }
    flush();
    pieces_.emplace_back(
        Placeholder{std::string(braces.name), std::string(braces.format.value_or("")), at_, ShellPlace{}});
    at_ += braces.inside.size() + 2;
    return std::nullopt;
  }

  Problem unknown(const Braces& braces) {
    const bool in_double_braces =
        at_ > 0 && text_[at_ - 1] == '{' && text_.substr(at_ + braces.inside.size() + 2, 1) == "}";
    const bool is_text = in_double_braces || (braces.format && braces.format->starts_with(' '));  // {{end}}, {key: 1}
    if (!is_text && is_dotted_identifier(braces.name)) {
      std::string hint;
      if (const auto form = form_of(braces.name); form && !has_form(braces.name)) {
        hint = "it is there with slices: {" + std::string(*form) + "}";
      } else if (const auto name = meant(braces.name, names_)) {
        hint = "did you mean {" + *name + "}?";
      } else {
        hint = hint_of_head(braces.name.substr(0, braces.name.find('.')));
      }
      if (!hint.empty()) {
        const std::string name = util::escape_for_display(braces.name, 60);
        return TemplateError{"unknown variable {" + name + "}; " + hint + " (if no variable is meant: " +
                                 (form_of(braces.name) ? "{{" + name + "}}" : "{ " + name + " }") + ")",
                             at_};
      }
    }
    return copy(1);
  }

  /// Whether these slices are of the form that the name belongs to.
  [[nodiscard]] bool has_form(std::string_view name) const { return is_known(name.substr(0, name.find('.'))); }

  /// By what stands before the first dot of a name that is not known.
  [[nodiscard]] std::string hint_of_head(std::string_view head) const {
    if (const auto parts = parts_of(head); !parts.empty()) return "there are " + parts;
    if (is_known(head)) return "there is {" + std::string(head) + "}, which has no parts";
    return {};
  }

  /// "{file}, {file.name}": the names that begin with `head` if some of them have a dot.
  [[nodiscard]] std::string parts_of(std::string_view head) const {
    std::string list;
    bool have_dots = false;
    for (const std::string& name : names_) {
      const bool is_part = name.size() > head.size() && name.starts_with(head) && name[head.size()] == '.';
      have_dots = have_dots || is_part;
      if (is_part || name == head) list += (list.empty() ? "{" : ", {") + name + "}";
    }
    return have_dots ? list : std::string();
  }

  /// Whether the brace follows an odd number of dollars: after $$ (the shell's pid) it is a brace as any other.
  [[nodiscard]] bool is_dollars() const {
    std::size_t count = 0;
    while (count < at_ && text_[at_ - count - 1] == '$') ++count;
    return count % 2 == 1;
  }

  [[nodiscard]] bool is_known(std::string_view name) const {
    return std::find(names_.begin(), names_.end(), name) != names_.end();
  }

  Problem copy(std::size_t count) {
    const auto part = text_.substr(at_, count);
    literal_ += part;
    at_ += part.size();
    return std::nullopt;
  }

  void flush() {
    if (!literal_.empty()) pieces_.emplace_back(std::move(literal_));
    literal_.clear();
  }

  std::string_view text_;
  const std::vector<std::string>& names_;
  std::size_t at_ = 0;
  std::size_t placeholders_ = 0;
  std::string literal_;
  std::vector<Piece> pieces_;
  std::map<std::string_view, bool> mentioned_;
};

}  // namespace

std::variant<std::vector<Piece>, TemplateError> parse_pieces(std::string_view text,
                                                             const std::vector<std::string>& names) {
  return Parser(text, names).parse();
}

}  // namespace runner::core
