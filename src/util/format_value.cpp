// util::format_value, declared in util/text.hpp; apart from the rest because it alone needs fmt.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "util/text.hpp"

namespace runner::util {
namespace {

constexpr std::size_t kMaxWidth = 1000;

template <class Number>
std::optional<Number> parse_number(std::string_view text) {
  Number value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

/// The spec's presentation type; '\0' where it has none.
char presentation_type(std::string_view spec) {
  constexpr std::string_view kTypes = "aAbBcdeEfFgGopsxX";
  // A letter before '<', '>' or '^' is a fill character, and such a spec does not end in it.
  return !spec.empty() && kTypes.find(spec.back()) != std::string_view::npos ? spec.back() : '\0';
}

/// Whether a spec without a type asks for something only numbers have: a sign, a zero before the width, decimals.
bool asks_for_number(std::string_view spec) {
  const auto align = spec.find_first_of("<>^");
  if (align != std::string_view::npos) spec.remove_prefix(align + 1);
  return spec.find_first_of("+-#. ") != std::string_view::npos || spec.starts_with('0');
}

std::string shown_format(std::string_view spec) {
  return "format \":" + escape_for_display(spec, 60) + "\"";
}

Result<void> check_spec(std::string_view spec) {
  const std::string shown = shown_format(spec);
  if (spec.find_first_of("{}") != std::string_view::npos) return Error{shown + ": braces cannot stand in a format"};
  const char type = presentation_type(spec);
  if (type == 'c' || type == 'p' || spec.ends_with('L')) {
    return Error{shown + ": the type '" + std::string(1, spec.back()) + "' is not supported; use d, x, f, e, g or s"};
  }
  for (std::size_t i = 0; i < spec.size();) {
    const std::size_t digits = std::min(spec.find_first_not_of("0123456789", i), spec.size()) - i;
    const auto number = parse_number<std::size_t>(spec.substr(i, digits));
    if (digits > 0 && (!number || *number > kMaxWidth)) return Error{shown + ": widths go up to 1000"};
    i += std::max<std::size_t>(digits, 1);
  }
  return {};
}

template <class Value>
Result<std::string> format_by_spec(const Value& value, std::string_view spec) {
  try {
    return fmt::vformat("{:" + std::string(spec) + "}", fmt::make_format_args(value));
  } catch (const fmt::format_error&) {  // whose words are about a whole format string, braces and all
    return Error{shown_format(spec) + " is none; one is such as :05d, :.3f or :>8"};
  }
}

Error does_not_fit(std::string_view value, std::string_view kind, std::string_view spec) {
  return Error{"\"" + escape_for_display(value, 60) + "\" is not " + std::string(kind) + ", which " +
               shown_format(spec) + " needs"};
}

}  // namespace

Result<std::string> format_value(std::string_view value, std::string_view format_spec) {
  if (auto checked = check_spec(format_spec); !checked) return checked.error();
  switch (presentation_type(format_spec)) {
    case 'b':
    case 'B':
    case 'd':
    case 'o':
    case 'x':
    case 'X':
      if (const auto number = parse_number<std::int64_t>(value)) return format_by_spec(*number, format_spec);
      if (const auto number = parse_number<std::uint64_t>(value)) return format_by_spec(*number, format_spec);
      return does_not_fit(value, "an integer", format_spec);
    case 'a':
    case 'A':
    case 'e':
    case 'E':
    case 'f':
    case 'F':
    case 'g':
    case 'G':
      if (const auto number = parse_number<double>(value)) return format_by_spec(*number, format_spec);
      return does_not_fit(value, "a number", format_spec);
    case '\0': {
      // Only what a number would print as anyway is taken for one: "007" and "1.50" under ">8" stay as written.
      const bool has_decimals = format_spec.find('.') != std::string_view::npos;
      if (const auto number = parse_int(value); number && !has_decimals) return format_by_spec(*number, format_spec);
      if (const auto number = parse_number<double>(value); number && asks_for_number(format_spec)) {
        return format_by_spec(*number, format_spec);
      }
      return format_by_spec(value, format_spec);
    }
    default:
      return format_by_spec(value, format_spec);  // 's'
  }
}

}  // namespace runner::util
