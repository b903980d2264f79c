// What went wrong in a job, as text: the paragraph that the closing summary and `status` share.
#pragma once

#include <cstdint>
#include <string>

#include "core/run_view.hpp"
#include "report/context.hpp"
#include "report/terminal.hpp"

namespace runner::report {

/// Failures grouped by cause, most frequent first, each with its slices as a selection list and the last line that one
/// of them wrote; then the slices that may have run before. "" when nothing failed. Every line is indented.
std::string failure_text(const core::JobView& job, std::uint32_t job_number, const ReportContext& context,
                         const Style& style);

/// A hook that failed: "thesis:prepare: exit code 1", and how its log ends. "" for one that did not.
std::string hook_failure_text(const core::JobView& hook, const ReportContext& context, const Style& style);
/// "97 succeeded, 2 failed, 1 cancelled, 3 running, 2 to run again, 5 not run": what is zero is left out, but for
/// `succeeded`. `over`: nothing runs any more, and where no end was told the record could not be kept: "3 not
/// recorded".
std::string count_text(const core::JobView& job, const Style& style, bool over);

/// Failed as people count it: final, and neither cancelled nor lost.
std::uint64_t failed_by_themselves(const core::JobView& job);

}  // namespace runner::report
