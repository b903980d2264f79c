#include "report/summary.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "report/counters.hpp"
#include "report/failures.hpp"
#include "util/text.hpp"
#include "util/units.hpp"

namespace runner::report {

namespace {

std::string job_line(const core::JobView& job, const Style& style) {
  const std::string name = util::escape_for_display(job.name());
  const std::string slices = count_of(job.total(), "slice", "slices");
  if (job.state() == core::State::disabled) {
    return name + ": " + style(core::State::disabled) + ": " + util::escape_for_display(job.reason(), 1000);
  }
  if (job.succeeded() == job.total()) {
    return name + ": " + (job.total() == 1 ? "" : "all ") + slices + " " + style(Tone::good, "succeeded");
  }
  return name + ": " + slices + ": " + count_text(job, style, true);
}

/// "thesis: all 4 jobs completed", "thesis: 2 of 4 jobs completed"
std::string jobs_line(const core::RunView& view, const Style& style) {
  std::uint64_t jobs = 0;
  std::uint64_t completed = 0;
  for (const auto& job : view.jobs) {
    if (job.kind() != core::JobKind::slices) continue;
    jobs += job.total() > 0 ? 1 : 0;
    completed += job.total() > 0 && job.succeeded() == job.total() ? 1 : 0;
  }
  const bool all = completed == jobs;
  return util::escape_for_display(view.info.name) + ": " +
         (!all       ? util::format_count(completed) + " of "
          : jobs > 1 ? "all "
                     : "") +
         count_of(jobs, "job", "jobs") + " " + style(all ? Tone::good : Tone::bad, "completed");
}

std::uint64_t retries(const core::RunView& view) {
  std::uint64_t n = 0;
  for (const auto& job : view.jobs) n += job.kind() == core::JobKind::slices ? job.retries() : 0;
  return n;
}

/// What is to be said of a hook or a service; "" for nothing. `all_slices`: have succeeded, so that every hook was due.
std::string_view ending_of(const core::JobView& job, bool all_slices) {
  if (job.failed() > 0) return "failed";
  const bool is_missing = all_slices && job.kind() == core::JobKind::hook && job.succeeded() < job.total();
  return is_missing ? "did not run" : "";
}

}  // namespace

std::string summary_text(const core::RunView& view, const ReportContext& context, util::Duration elapsed,
                         const Style& style) {
  std::string out;
  if (!view.info.reason.empty()) {
    out += util::escape_for_display(view.info.name) + ": " + style(Tone::caution, "stopped early") + ": " +
           util::escape_for_display(view.info.reason) + "\n";
  }
  std::string time = " in " + util::format_duration_short(elapsed);
  if (const auto n = retries(view); n > 0) time += " (" + count_of(n, "retry", "retries") + ")";
  const bool is_one = !view.has_several_jobs();
  for (std::uint32_t j = 0; j < view.jobs.size(); ++j) {
    const core::JobView& job = view.jobs[j];
    if (job.kind() != core::JobKind::slices) {
      out += hook_failure_text(job, context, style);
    } else if (job.total() > 0 || is_one) {  // else it was left out
      out += job_line(job, style) + (is_one && job.state() != core::State::disabled ? time : "") + "\n" +
             failure_text(job, j, context, style);
    }
  }
  if (!is_one) out += jobs_line(view, style) + time + "\n";
  if (const std::string counted = counters_text(view.counters()); !counted.empty()) {
    out += util::escape_for_display(view.info.name) + ": counted " + counted + "\n";
  }
  if (view.is_complete()) return out;
  if (!context.run_dir.empty()) out += "logs: " + util::shell_quote_for_display(context.run_dir + "/slices") + "\n";
  return out + "to run what is left: " + resume_command(context, view.info) + "\n";
}

std::string quiet_summary_text(const core::RunView& view, const ReportContext& context) {
  if (view.is_complete()) return {};
  std::uint64_t total = 0;
  std::uint64_t left = 0;
  for (const auto& job : view.jobs) {
    if (job.kind() != core::JobKind::slices) continue;
    total += job.total();
    left += job.total() - job.succeeded();
  }
  std::string out = util::escape_for_display(view.info.name) + ": ";
  std::string_view separator;
  if (left > 0) {
    out += util::format_count(left) + " of " + count_of(total, "slice", "slices") + " did not succeed";
    separator = ", ";
  }
  for (const auto& job : view.jobs) {
    const std::string_view what = job.kind() == core::JobKind::slices ? "" : ending_of(job, left == 0);
    if (what.empty()) continue;
    out += fmt::format("{}{} {} {}", separator, core::name(job.kind()), util::escape_for_display(job.name()), what);
    separator = ", ";
  }
  return out + "; to run what is left: " + resume_command(context, view.info) + "\n";
}

}  // namespace runner::report
