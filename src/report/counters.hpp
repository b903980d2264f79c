// What the slices of a run have counted, as text. Plain function; no state.
#pragma once

#include <string>

#include "core/counters.hpp"

namespace runner::report {

/// "bad 3, rows 100,000,000"; of very many the first and how many more there are; "" without any.
std::string counters_text(const core::CounterTotals& totals);

}  // namespace runner::report
