// How two texts differ, for people who resume a run whose spec changed.
#pragma once

#include <string>
#include <string_view>

namespace runner::run {

/// The lines that differ, as "  -3: old" and "  +3: new" with the number each has in its text; "" when equal.
std::string line_diff(std::string_view before, std::string_view after);

}  // namespace runner::run
