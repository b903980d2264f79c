// The table format of `runner status`, for people: the run, its counts, what runs now, what failed and why, and what to
// type next. Bounded: a run of 1,000,000 slices fits a screen or two.
#pragma once

#include "report/format.hpp"

namespace runner::report {

util::Result<void> write_status_table(const StatusSource& source, const Write& write);

}  // namespace runner::report
