#include "spec/reader.hpp"

#include <algorithm>
#include <charconv>

#include "spec/hints.hpp"
#include "spec/yaml_surprise.hpp"
#include "util/text.hpp"

namespace runner::spec {
namespace {

/// What a list or map begins with, for "put it in quotes".
std::string_view opening_of(const Node& node) {
  return node.kind == Node::Kind::map ? "{" : "[";
}

std::string kind_name(const Node& node) {
  return node.kind == Node::Kind::map ? "a map" : "a list";
}

std::string shown(std::string_view text) {
  return "`" + util::escape_for_display(text, 60) + "`";
}

std::string join(const std::vector<std::string>& words) {
  std::string out;
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (i > 0) out += i + 1 == words.size() ? " or " : ", ";
    out += words[i];
  }
  return out;
}

}  // namespace

std::string quoted(std::string_view label) {
  return "`" + util::escape_for_display(label, 160) + "`";
}

std::optional<double> parse_decimal(std::string_view text) {
  if (text.empty() || text.find_first_not_of("0123456789.") != std::string_view::npos || text.back() == '.' ||
      text.front() == '.') {
    return std::nullopt;
  }
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, std::chars_format::fixed);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<double> parse_percent(std::string_view text) {
  if (!text.ends_with('%')) return std::nullopt;
  return parse_decimal(text.substr(0, text.size() - 1));
}

void Reader::error(const Node& node, std::string message) {
  if (!node.is_refused) problems_.at(node.offset, std::move(message));
}

void Reader::template_error(const Node& scalar, const core::TemplateError& error) {
  problems_.at(source_offset(source_.text(), scalar, error.offset), error.message);
}

bool Reader::is_scalar(const Node& node, Label label, std::string_view wanted) {
  if (node.is_refused) return false;
  switch (node.kind) {
    case Node::Kind::scalar:
      return true;
    case Node::Kind::null:
      error(node, quoted(label) + " has no value: it wants " + std::string(wanted));
      return false;
    case Node::Kind::list:
    case Node::Kind::map:
      if (node.is_flow) {
        error(node, quoted(label) + " wants " + std::string(wanted) + ", but YAML reads a value that begins with `" +
                        std::string(opening_of(node)) + "` as " + kind_name(node) + ": put it in quotes");
      } else {
        error(node, quoted(label) + " wants " + std::string(wanted) + ", not " + kind_name(node));
      }
      return false;
  }
  return false;
}

std::optional<std::string> Reader::text(const Node& node, Label label) {
  if (node.kind == Node::Kind::null && !node.is_empty && !node.is_refused) {
    error(node,
          quoted(label) + " is YAML's null, no value at all: write \"\" for an empty text, or the word in quotes");
    return std::nullopt;
  }
  if (!is_scalar(node, label, "text")) return std::nullopt;
  if (node.style == Node::Style::plain) {
    if (const auto surprise = yaml_surprise(node.value)) {
      error(node,
            shown(node.value) + " is " + *surprise + " in some YAML versions: write \"" + node.value + "\" in quotes");
      return std::nullopt;
    }
  }
  if (node.value.find('\0') != std::string::npos) {
    error(node, quoted(label) + " contains a NUL byte, which no program can be given");
    return std::nullopt;
  }
  return node.value;
}

std::optional<std::string> Reader::nonempty_text(const Node& node, Label label) {
  auto value = text(node, label);
  if (value && util::trim(*value).empty()) {
    error(node, quoted(label) + " is empty");
    return std::nullopt;
  }
  return value;
}

std::optional<std::string> Reader::word(const Node& node, Label label, const std::vector<std::string>& words) {
  if (!is_scalar(node, label, join(words))) return std::nullopt;
  if (std::find(words.begin(), words.end(), node.value) != words.end()) return node.value;
  const auto nearest = util::closest(node.value, words, 3);
  error(node, quoted(label) + " wants " + join(words) + ", not " + shown(node.value) +
                  (nearest ? "; did you mean `" + *nearest + "`?" : ""));
  return std::nullopt;
}

/// Numbers are written plainly: no quotes, no octal, no underscores.
bool Reader::is_plain_number(const Node& node, Label label, std::string_view wanted) {
  if (!is_scalar(node, label, wanted)) return false;
  if (node.style != Node::Style::plain) {
    error(node, quoted(label) + " wants " + std::string(wanted) + ": write it without quotes");
    return false;
  }
  if (const auto surprise = yaml_surprise(node.value)) {
    error(node, quoted(label) + " wants " + std::string(wanted) + " in plain digits: " + shown(node.value) + " is " +
                    *surprise + " in some YAML versions");
    return false;
  }
  return true;
}

std::optional<std::int64_t> Reader::integer(const Node& node, Label label, IntLimits limits) {
  if (!is_plain_number(node, label, "a whole number")) return std::nullopt;
  const auto value = util::parse_int(node.value);
  const bool is_digits = !node.value.empty() && node.value.find_first_not_of("0123456789") == std::string::npos;
  if (!value && !is_digits) {
    error(node, quoted(label) + " wants a whole number in plain digits, not " + shown(node.value));
    return std::nullopt;
  }
  if (!value || *value < limits.min || *value > limits.max) {
    error(node, quoted(label) + " is out of range: " + std::to_string(limits.min) + " to " +
                    std::to_string(limits.max) + ", not " + shown(node.value));
    return std::nullopt;
  }
  return value;
}

std::optional<double> Reader::positive_number(const Node& node, Label label, double max) {
  if (!is_plain_number(node, label, "a number")) return std::nullopt;
  const auto value = parse_decimal(node.value);
  if (!value || *value <= 0 || *value > max) {
    error(node, quoted(label) + " wants a number above 0 and up to " +
                    util::format_count(static_cast<std::uint64_t>(max)) + ", such as 1 or 0.5, not " +
                    shown(node.value));
    return std::nullopt;
  }
  return value;
}

std::optional<bool> Reader::boolean(const Node& node, Label label) {
  if (!is_scalar(node, label, "true or false")) return std::nullopt;
  if (node.style == Node::Style::plain && node.value == "true") return true;
  if (node.style == Node::Style::plain && node.value == "false") return false;
  error(node, quoted(label) + " wants true or false" + (node.style == Node::Style::plain ? "" : " without quotes") +
                  ", not " + shown(node.value));
  return std::nullopt;
}

std::optional<util::Duration> Reader::duration(const Node& node, Label label, bool may_be_zero) {
  constexpr std::string_view kWanted = "a time such as 90, 90s, 15m, 2h or 1h30m";
  if (!is_scalar(node, label, kWanted)) return std::nullopt;
  const auto value = util::parse_duration(node.value);
  const bool surprises = node.style == Node::Style::plain && yaml_surprise(node.value);
  if (!value || surprises) {
    error(node, quoted(label) + " wants " + std::string(kWanted) + ", not " + shown(node.value));
    return std::nullopt;
  }
  if (*value < util::Duration::zero() || (*value == util::Duration::zero() && !may_be_zero)) {
    error(node, quoted(label) + " must be more than 0" + (label == "timeout" ? " (leave it out for no limit)" : ""));
    return std::nullopt;
  }
  return *value;
}

std::optional<std::uint64_t> Reader::size(const Node& node, Label label, bool may_be_zero) {
  constexpr std::string_view kWanted = "a size such as 100M, 2G or 1048576 (bytes)";
  if (!is_scalar(node, label, kWanted)) return std::nullopt;
  const auto value = util::parse_size(node.value);
  const bool surprises = node.style == Node::Style::plain && yaml_surprise(node.value);
  if (!value || surprises) {
    error(node, quoted(label) + " wants " + std::string(kWanted) + ", not " + shown(node.value));
    return std::nullopt;
  }
  if (*value == 0 && !may_be_zero) {
    error(node, quoted(label) + " must be more than 0 (leave it out for no limit)");
    return std::nullopt;
  }
  return *value;
}

std::optional<std::string> Reader::path(const Node& node, Label label, const std::string& base) {
  const auto value = nonempty_text(node, label);
  if (!value) return std::nullopt;
  std::string_view relative = *value;
  while (relative.starts_with("./")) relative.remove_prefix(2);
  if (relative == ".") return base;
  std::string path = relative.starts_with('/') ? std::string(relative) : base + "/" + std::string(relative);
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  return path;
}

std::optional<core::TextTemplate> Reader::text_template(const Node& node, Label label,
                                                        const std::vector<std::string>& names) {
  const auto value = text(node, label);
  if (!value) return std::nullopt;
  auto parsed = core::TextTemplate::parse(*value, names);
  if (const auto* error = std::get_if<core::TemplateError>(&parsed)) {
    template_error(node, *error);
    return std::nullopt;
  }
  auto result = std::get<core::TextTemplate>(std::move(parsed));
  if (!fits_argument(node, label, result.least_size())) return std::nullopt;
  return result;
}

bool Reader::is_within(const Node& node, Label label, std::size_t max) {
  if (node.items.size() <= max) return true;
  error(node, quoted(label) + " has " + util::format_count(node.items.size()) + " entries, " + util::format_count(max) +
                  " at most are possible");
  return false;
}

bool Reader::fits_argument(const Node& node, Label label, std::size_t bytes) {
  if (bytes <= core::kMaxArgument) return true;
  error(node, quoted(label) + " " + core::too_long(bytes) + ": put it into a file");
  return false;
}

bool Reader::is_list(const Node& node, Label label, std::string_view example) {
  if (node.kind == Node::Kind::list || node.is_refused) return !node.is_refused;
  error(node, quoted(label) + " wants a list, such as " + std::string(example));
  return false;
}

bool Reader::is_map(const Node& node, Label label, std::string_view example) {
  if (node.kind == Node::Kind::map || node.is_refused) return !node.is_refused;
  error(node, quoted(label) + " wants keys and values, such as " + std::string(example));
  return false;
}

void Reader::check_keys(const Node& map, Label label, const std::vector<std::string>& known) {
  for (const Node& key : map.keys) {
    if (std::find(known.begin(), known.end(), key.value) != known.end()) continue;
    error(key, "unknown key " + shown(key.value) + (label.empty() ? "" : " in " + quoted(label)) +
                   suggestion(key.value, known));
  }
}

}  // namespace runner::spec
