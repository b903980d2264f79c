// Small text functions that several modules need: distances for "did you mean", units people write
// (15m, 2G), safe display of foreign bytes, shell quoting for commands we print. Pure; no locale.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "util/clock.hpp"
#include "util/result.hpp"

namespace runner::util {

/// Damerau-Levenshtein distance (optimal string alignment), in edits.
std::size_t edit_distance(std::string_view a, std::string_view b);
/// The candidate nearest to `word` within `max_distance` edits (and nearer than the word's own length).
std::optional<std::string> closest(std::string_view word, const std::vector<std::string>& candidates,
                                   std::size_t max_distance = 2);

bool is_valid_utf8(std::string_view text);
/// An identifier: [A-Za-z_][A-Za-z0-9_]*
bool is_identifier(std::string_view text);
std::string_view trim(std::string_view text);
std::vector<std::string_view> split(std::string_view text, char separator);
bool starts_with_ignoring_case(std::string_view text, std::string_view prefix);

/// Whole string as a decimal integer ("-3", "12"); no blanks, no '+', no leading zeros beyond "0".
std::optional<std::int64_t> parse_int(std::string_view text);

/// "90" (seconds), "90s", "15m", "2h", "1d", "1h30m", "0.5s", "250ms".
Result<Duration> parse_duration(std::string_view text);
/// Shortest exact form people read: "1h30m", "250ms", "5s".
std::string format_duration(Duration d);
/// For progress and tables, at most two units, rounded: "3.2s", "1m05s", "2h03m", "3d04h".
std::string format_duration_short(Duration d);

/// Bytes: "1048576", "100K", "2G", "1.5GiB", "512MB" (K, M, G, T are powers of 1024).
Result<std::uint64_t> parse_size(std::string_view text);
/// "1.5 GiB"
std::string format_size(std::uint64_t bytes);
/// 1234567 -> "1,234,567"
std::string format_count(std::uint64_t n);

/// Numbers inside the text compare by value: "a2" before "a10". Total order; ties break bytewise.
bool natural_less(std::string_view a, std::string_view b);

/// For terminals and reports: control characters, invalid UTF-8 and U+0080..U+009F become \xNN, newline \n, tab \t;
/// printable UTF-8 stays. At most `max_bytes` of output, then "...".
std::string escape_for_display(std::string_view text, std::size_t max_bytes = 400);

/// One shell word: as it is where no quoting is needed, else in single quotes.
std::string shell_quote(std::string_view word);

/// Formats `value` by one of fmt's format specs ("05d", ">8", ".3f"); integer and float presentation types
/// need a value that is a number. The error says what does not fit.
Result<std::string> format_value(std::string_view value, std::string_view format_spec);

}  // namespace runner::util
