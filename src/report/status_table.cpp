#include "report/status_table.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "report/counters.hpp"
#include "report/failures.hpp"
#include "util/text.hpp"
#include "util/units.hpp"

namespace runner::report {

namespace {

constexpr std::size_t kMaxRunning = 20;

std::string where(const core::RunInfo& info) {
  return "runner pid " + std::to_string(info.pid) + " on " + util::escape_for_display(info.host);
}

/// Of two wall times of which one may be from before the clock was set back.
std::string time_between(util::WallTime from, util::WallTime to) {
  return util::format_duration_short(std::max(util::Duration::zero(), util::Duration(to - from)));
}

/// "running (runner pid 123 on node1)", "completed after 12m03s, at 2026-11-21 16:55:31", and the crashed one.
std::string state_text(const core::RunInfo& info, util::WallTime now, const Style& style) {
  if (info.live) {
    // Of other states than running nobody knows here since when.
    return style(info.state) +
           (info.state == core::State::running ? " for " + time_between(info.started_at, now) : std::string()) + " (" +
           where(info) + ")";
  }
  if (!core::is_over(info.state)) return style(Tone::bad, "ended without finishing") + " (" + where(info) + " is gone)";
  std::string text = style(info.state);
  if (info.ended_at) {
    text += " after " + time_between(info.started_at, *info.ended_at) + ", at " + util::format_local(*info.ended_at);
  }
  if (!info.reason.empty()) text += ": " + util::escape_for_display(info.reason);
  return text;
}

std::string head_text(const StatusSource& source, const Style& style) {
  const core::RunInfo& info = source.view.info;
  std::string out = "run     " + util::escape_for_display(info.id) + ", started " + util::format_local(info.started_at);
  if (info.resumes > 0) out += ", resumed " + count_of(info.resumes, "time", "times");
  out += "\nspec    " + util::escape_for_display(info.spec_path, 4096);
  out += "\nstate   " + state_text(info, source.now, style) + "\n";
  if (!info.containment.empty()) out += "held by " + util::escape_for_display(info.containment) + "\n";
  if (!source.context.run_dir.empty()) {
    out += "logs    " + util::escape_for_display(source.context.run_dir + "/slices", 4096) + "\n";
  }
  return out;
}

/// "4m10s", "1h02m (slow: 7.2 times the median)"
std::string runtime_text(util::Duration runtime, std::optional<util::Duration> median) {
  std::string text = util::format_duration_short(std::max(util::Duration::zero(), runtime));
  if (!core::is_slow(runtime, median)) return text;
  return text + fmt::format(" (slow: {:.1f} times the median)", util::seconds(runtime) / util::seconds(*median));
}

/// "35% reading block 3", as the slice itself says.
std::string says_text(const core::Report& report) {
  std::string text = report.progress ? fmt::format("{:.0f}%", std::floor(*report.progress * 100)) : "";
  if (report.status) text += (text.empty() ? "" : " ") + util::escape_for_display(*report.status, 80);
  return text;
}

/// The longest running first; those are the ones somebody asks after.
std::string running_text(const core::JobView& job, util::WallTime now) {
  const auto median = job.median_runtime();
  std::vector<const core::AttemptRecord*> records;
  for (const auto& [slice, attempt] : job.running()) records.push_back(&attempt.record);
  std::ranges::stable_sort(records, std::ranges::less(),
                           [](const core::AttemptRecord* record) { return record->started_at; });
  using Row = std::array<std::string, 7>;
  const bool any_says = std::ranges::any_of(records, [](const auto* record) { return !record->report.empty(); });
  std::vector<Row> rows = {{"RUNNING", "PID", "HOST", "SINCE", "RUNTIME", "ATTEMPT", any_says ? "SAYS" : ""}};
  for (const core::AttemptRecord* record : records) {
    if (rows.size() > kMaxRunning) break;
    const bool known = record->started_at.has_value();
    rows.push_back({util::escape_for_display(key_text(*record), 60), std::to_string(record->pid),
                    util::escape_for_display(record->host, 60), known ? util::format_local(*record->started_at) : "-",
                    known ? runtime_text(now - *record->started_at, median) : "-", std::to_string(record->id.number),
                    says_text(record->report)});
  }
  std::array<std::size_t, 7> widths{};
  for (const Row& row : rows) {
    for (std::size_t c = 0; c < row.size(); ++c) widths[c] = std::max(widths[c], row[c].size());
  }
  std::string out;
  for (const Row& row : rows) {
    out += "  ";
    for (std::size_t c = 0; c < row.size(); ++c) out += fmt::format("{:<{}}  ", row[c], widths[c]);
    out.erase(out.find_last_not_of(' ') + 1);
    out += "\n";
  }
  if (records.size() + 1 > rows.size()) {
    out += "  ... and " + util::format_count(records.size() + 1 - rows.size()) + " more\n";
  }
  return out;
}

std::string job_state_text(const core::JobView& job, bool live, const Style& style) {
  if (!live && job.state() == core::State::running) return style(Tone::bad, "ended without finishing");
  std::string text = style(job.state());
  if (!job.reason().empty()) text += ": " + util::escape_for_display(job.reason(), 1000);
  return text;
}

/// Of a run that is over: which slices it did not come to. Not where that is all of them.
std::string not_run_text(const StatusSource& source, std::uint32_t j) {
  if (source.view.info.live) return {};
  const core::IntervalSet outdated = source.view.jobs[j].outdated_slices();
  std::string out;
  for (const auto& [what, slices] :
       {std::pair{"to run again", outdated}, std::pair{"not run", waiting_slices(source, j).without(outdated)}}) {
    if (slices.empty() || slices.count() == source.view.jobs[j].total()) continue;
    out += std::string("\n  ") + what + ", " + count_of(slices.count(), "slice", "slices") + ": " +
           readable_selection(source.context, j, slices) + "\n";
  }
  return out;
}

std::string job_text(const StatusSource& source, std::uint32_t j, const Style& style) {
  const core::JobView& job = source.view.jobs[j];
  std::string out = "slices  " + util::format_count(job.total()) + ": " + count_text(job, style, false);
  const std::string title =
      util::escape_for_display(job.name()) + ": " + job_state_text(job, source.view.info.live, style);
  if (job.kind() != core::JobKind::slices) {
    const std::string failure = hook_failure_text(job, source.context, style);
    return fmt::format("{:<8}", core::name(job.kind())) + (failure.empty() ? title + "\n" : failure) +
           (job.running().empty() ? "" : running_text(job, source.now));
  }
  if (source.view.has_several_jobs()) out = "\njob     " + title + "\n" + out;
  if (job.retries() > 0) out += " (" + count_of(job.retries(), "retry", "retries") + ")";
  out += "\n";
  if (!job.running().empty()) out += "\n" + running_text(job, source.now);
  const std::string failures = failure_text(job, j, source.context, style);
  if (!failures.empty()) out += "\n" + failures;
  out += not_run_text(source, j);
  return out;
}

}  // namespace

util::Result<void> write_status_table(const StatusSource& source, const Write& write) {
  const Style style(source.color);
  std::string out = head_text(source, style);
  if (const std::string counted = counters_text(source.view.counters()); !counted.empty()) {
    out += "counted " + counted + "\n";
  }
  for (std::uint32_t j = 0; j < source.view.jobs.size(); ++j) out += job_text(source, j, style);
  const bool left = !source.view.is_complete();
  if (left && !source.view.info.live) {
    out += "\nto run what is left: " + resume_command(source.context, source.view.info) + "\n";
  }
  write(out);
  return {};
}

}  // namespace runner::report
