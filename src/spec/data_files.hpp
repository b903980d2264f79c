// The files a slice list may come from: lines, CSV tables, names that match a pattern. Reads once, at load; problems
// carry the data file's own line. Knows nothing of YAML.
#pragma once

#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "core/slices.hpp"
#include "util/result.hpp"

namespace runner::spec {

/// Why there is no file at `path` that can be read again when the run is resumed; "" where there is one, or nothing.
std::string wrong_file(const std::string& path);

/// Bytes of RUNNER_VAR_<name>=<value>, as each value is handed to a slice.
std::size_t value_size(std::string_view name, std::string_view value);

/// A mistake within a data file; both from 1.
struct DataProblem {
  int line = 1;
  int column = 1;
  std::string message;
};

/// One entry a line, as it stands, empty ones included; LF or CRLF; a byte order mark and the emptiness behind the last
/// line end do not count.
std::variant<core::StringTable, std::vector<DataProblem>> parse_lines(std::string_view text);

/// RFC 4180: a header of column names, then rows of as many cells; quotes doubled within quotes; LF or CRLF.
/// Which names are good is the caller's to say.
std::variant<core::Table, std::vector<DataProblem>> parse_table(std::string_view text, char separator);

/// What the glob(3) pattern matches, in natural order. A relative pattern starts at `base` (absolute) and gives
/// relative paths, or absolute ones with `make_absolute`. `**`, which glob(3) does not know, is an error; no match is
/// not.
util::Result<std::vector<std::string>> match_files(const std::string& pattern, const std::string& base,
                                                   bool make_absolute);

}  // namespace runner::spec
