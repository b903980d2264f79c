// Small text functions that several modules need: distances for "did you mean", shell quoting for commands we print,
// and (through util/display.hpp and util/units.hpp) safe display and the units people write. Pure; no locale.
#pragma once

#include <charconv>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "util/display.hpp"  // IWYU pragma: export
#include "util/result.hpp"
#include "util/units.hpp"  // IWYU pragma: export

namespace runner::util {

/// Damerau-Levenshtein distance (optimal string alignment), in edits; where it is more than `limit`, anything more.
std::size_t edit_distance(std::string_view a, std::string_view b, std::size_t limit = SIZE_MAX);
/// The candidate nearest to `word` within `max_distance` edits (and nearer than the word's own length); the first of
/// several that are equally near.
std::optional<std::string> closest(std::string_view word, const std::vector<std::string>& candidates,
                                   std::size_t max_distance = 2);

/// An identifier: [A-Za-z_][A-Za-z0-9_]*
bool is_identifier(std::string_view text);
/// Without the ASCII white space at both ends.
std::string_view trim(std::string_view text);
/// The parts between separators; one more than there are separators, so "" gives one empty part.
std::vector<std::string_view> split(std::string_view text, char separator);
/// ASCII letters only.
bool starts_with_ignoring_case(std::string_view text, std::string_view prefix);

/// Whole string as a decimal integer ("-3", "12"); no blanks, no '+', no "-0", no leading zeros beyond "0".
std::optional<std::int64_t> parse_int(std::string_view text);

/// Takes ".<number>" from the end of `text`. False, and `text` is no longer of use, if it does not end so.
template <class T>
bool take_number(std::string_view& text, T& number) {
  const auto dot = text.rfind('.');
  if (dot == std::string_view::npos) return false;
  const std::string_view digits = text.substr(dot + 1);
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  text = text.substr(0, dot);
  return error == std::errc() && !digits.empty() && end == digits.data() + digits.size();
}

/// Numbers inside the text compare by value: "a2" before "a10". Total order; ties break bytewise.
bool natural_less(std::string_view a, std::string_view b);

/// One shell argument: as it is where no quoting is needed, else in single quotes.
std::string shell_quote(std::string_view word);

/// Formats `value` by one of fmt's format specs ("05d", ">8", ".3f"). Integer and floating-point types need a value
/// that is such a number; without a type a number is formatted as one, anything else as text. Width and precision at
/// most 1000; no dynamic ones, no types c and p, no locale. The error says what does not fit.
Result<std::string> format_value(std::string_view value, std::string_view format_spec);

}  // namespace runner::util
