#include "report/failures.hpp"

#include <algorithm>

#include "report/log_tail.hpp"
#include "util/text.hpp"
#include "util/units.hpp"

namespace runner::report {

namespace {

constexpr std::size_t kMaxGroups = 10;
constexpr std::size_t kMaxLine = 160;  // bytes of a log's last line

/// "17: cannot execute: No such file or directory", "17: its log ends: ValueError: bad header"; "" when nothing is
/// known.
std::string example_text(const core::FailureGroup& group, const ReportContext& context) {
  const core::AttemptRecord& example = group.example;
  const std::string detail = example.ending ? example.ending->detail : std::string();
  std::string text;
  if (!detail.empty() && detail != group.cause) text = util::escape_for_display(detail, kMaxLine);
  if (!example.log.empty()) {
    const std::string line = last_line(context.run_dir, example.log);
    if (!line.empty())
      text += (text.empty() ? "" : "; ") + ("its log ends: " + util::escape_for_display(line, kMaxLine));
  } else if (text.empty() && example.ending && example.ending->outcome != core::Outcome::not_started) {
    return key_text(example) + " " + nothing_logged(context, example);
  }
  return text.empty() ? text : key_text(example) + ": " + text;
}

void add_group(std::string& out, const core::FailureGroup& group, std::uint32_t job, const ReportContext& context,
               const Style& style) {
  out += "  " + style(Tone::bad, group.cause) + ", " + count_of(group.slices.count(), "slice", "slices") + ": " +
         readable_selection(context, job, group.slices) + "\n";
  if (group.outcome == core::Outcome::cancelled) return;
  if (const std::string example = example_text(group, context); !example.empty()) out += "    " + example + "\n";
}

}  // namespace

std::string failure_text(const core::JobView& job, std::uint32_t job_number, const ReportContext& context,
                         const Style& style) {
  std::string out;
  std::size_t shown = 0;
  std::size_t left_out = 0;
  const auto groups = job.failure_groups();
  for (const core::FailureGroup& group : groups) {
    if (group.outcome == core::Outcome::lost) continue;
    if (++shown <= kMaxGroups) {
      add_group(out, group, job_number, context, style);
    } else {
      ++left_out;
    }
  }
  if (left_out > 0) out += "  ... and " + count_of(left_out, "other cause", "other causes") + "\n";
  if (const auto lost = job.lost_slices(); !lost.empty()) {
    out += "  " + style(Tone::caution, "lost") + ", " + count_of(lost.count(), "slice", "slices") +
           " may have run before, no end was recorded: " + readable_selection(context, job_number, lost) + "\n";
  }
  if (groups.size() > 1) {
    out += "  all of these: " + readable_selection(context, job_number, job.failed_slices()) + "\n";
  }
  return out;
}

std::string hook_failure_text(const core::JobView& hook, const ReportContext& context, const Style& style) {
  const auto groups = hook.failure_groups();
  if (groups.empty()) return {};
  std::string out = util::escape_for_display(hook.name()) + ": " + style(Tone::bad, groups.front().cause) + "\n";
  const std::string line = last_line(context.run_dir, groups.front().example.log);
  if (!line.empty()) out += "  its log ends: " + util::escape_for_display(line, kMaxLine) + "\n";
  return out;
}

std::string count_text(const core::JobView& job, const Style& style, bool over) {
  std::string out = util::format_count(job.succeeded()) + " " +
                    (job.succeeded() > 0 ? style(Tone::good, "succeeded") : std::string("succeeded"));
  const auto add = [&](std::uint64_t n, const std::string& what) {
    if (n > 0) out += ", " + util::format_count(n) + " " + what;
  };
  add(failed_by_themselves(job), style(Tone::bad, "failed"));
  add(job.count(core::Outcome::cancelled), style(Tone::caution, "cancelled"));
  add(job.count(core::Outcome::lost), style(Tone::caution, "lost"));
  add(job.running().size(), over ? style(Tone::caution, "not recorded") : style(Tone::good, "running"));
  const std::uint64_t outdated = job.outdated_slices().count();
  add(outdated, "to run again");
  add(job.waiting() - std::min(outdated, job.waiting()), "not run");
  return out;
}

std::uint64_t failed_by_themselves(const core::JobView& job) {
  return job.failed() - job.count(core::Outcome::cancelled) - job.count(core::Outcome::lost);
}

}  // namespace runner::report
