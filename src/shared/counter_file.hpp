// Reading what the slices' programs wrote into an attempt's file of counters (share/runner/counter.hpp), which is not
// trusted: it may be anything, and change meanwhile. Plain function; no state.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "util/result.hpp"

namespace runner::shared {

/// What is longer is no file of counters.
[[nodiscard]] std::size_t max_counter_file();

/// The values by name, sorted, each name once. The error says what is wrong with the bytes.
[[nodiscard]] util::Result<std::vector<std::pair<std::string, std::int64_t>>> read_counters(std::string_view bytes);

}  // namespace runner::shared
