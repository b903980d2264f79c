// The last words of a session: what became of the run, what failed and why, where the logs are, what to type next.
#pragma once

#include <string>

#include "core/run_view.hpp"
#include "report/context.hpp"
#include "report/terminal.hpp"

namespace runner::report {

/// One line when every slice succeeded. `elapsed`: of this session.
std::string summary_text(const core::RunView& view, const ReportContext& context, util::Duration elapsed,
                         const Style& style);
/// For -q: nothing when every slice succeeded, else one line with the command that resumes.
std::string quiet_summary_text(const core::RunView& view, const ReportContext& context);

}  // namespace runner::report
