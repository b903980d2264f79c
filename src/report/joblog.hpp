// The joblog format: ended attempts as GNU parallel's --joblog writes them, for tools that read those. Times in seconds
// (start since the epoch), Seq counts slices from 1 across jobs. An attempt that did not succeed never shows Exitval 0
// with Signal 0: 127 when it could not be executed, -1 when there is no better number (as parallel does for a timeout).
#pragma once

#include "report/format.hpp"

namespace runner::report {

util::Result<void> write_joblog(const StatusSource& source, const Write& write);

}  // namespace runner::report
