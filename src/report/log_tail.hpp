// The last line of a slice's log, for summaries: what a program wrote before it failed is the best short cause there
// is.
#pragma once

#include <string>

namespace runner::report {

/// The last line with something in it, raw (escape it before showing it); of a line that was redrawn with carriage
/// returns, the last state. "" when the file is missing, empty, or no regular file, or not below the
/// directory. Reads at most the last 16 KiB.
std::string last_line(const std::string& directory, const std::string& name);

}  // namespace runner::report
