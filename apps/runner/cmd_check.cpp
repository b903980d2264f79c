// runner check: validates the spec and shows the plan, on stdout.
#include <algorithm>
#include <cmath>
#include <vector>

#include "commands.hpp"
#include "common.hpp"
#include "core/template.hpp"
#include "exit_codes.hpp"
#include "host/machine.hpp"
#include "run/capacity.hpp"
#include "util/text.hpp"

namespace runner::app {

namespace {

std::string line(std::string_view label, const std::string& value) {
  std::string text = "  " + std::string(label) + ":";
  text.resize(std::max<std::size_t>(text.size() + 1, 14), ' ');
  return text + util::escape_lines(value) + "\n";
}

std::string slices_text(const core::SliceList& slices) {
  const std::uint64_t n = slices.size();
  std::string text = util::format_count(n) + (n == 1 ? " slice" : " slices");
  if (n == 0) return text;
  text += ": " + util::escape_for_display(slices.key(0), 80);
  if (n > 1) text += (n > 2 ? " ... " : ", ") + util::escape_for_display(slices.key(n - 1), 80);
  return text;
}

std::string retries_text(const core::RetryPolicy& retry) {
  return std::to_string(retry.retries) + ", after " + util::format_duration(retry.delay) + ", doubled up to " +
         util::format_duration(retry.delay_max);
}

std::string job_text(const core::Spec& spec, const core::JobSpec& job) {
  std::string text = job.kind == core::JobKind::slices ? line("slices", slices_text(job.slices)) : "";
  text += line("command", util::escape_for_display(job.command.text(), 2000));
  if (job.slices.size() > 0) {
    auto first = core::expand_attempt(spec, job, {.slice = 0, .attempt = 1, .slot = 0, .run_id = "RUN"});
    text += line("first", first ? util::escape_for_display(core::to_shell_line(first->command), 2000)
                                : "cannot be started: " + first.error().message);
  }
  text += line("workdir", display_path(job.workdir));
  if (job.timeout)
    text +=
        line(job.service ? "ready" : "timeout", (job.service ? "within " : "") + util::format_duration(*job.timeout) +
                                                    ", grace " + util::format_duration(job.grace));
  if (job.timeout_percent)
    text += line("timeout", util::format_count(static_cast<std::uint64_t>(std::llround(*job.timeout_percent))) +
                                "% of the median, grace " + util::format_duration(job.grace));
  if (job.retry.retries > 0) text += line("retries", retries_text(job.retry));
  if (job.max_failed) {
    text += line("max_failed", util::format_count(job.max_failed->tolerated(job.slices.size())) + " of " +
                                   util::format_count(job.slices.size()) + ", then " +
                                   (job.on_halt == core::OnHalt::drain ? "drain" : "kill"));
  }
  return text;
}

/// What a job's place in the tree does not say: the rest of its needs, and how it may run.
std::string place_text(const core::Spec& spec, const core::JobSpec& job) {
  std::string text = "  " + slices_text(job.slices);
  for (const core::Need& need : job.needs) {
    if (spec.jobs[need.job].kind != core::JobKind::slices) continue;
    const std::string& name = spec.jobs[need.job].name;
    text += need.after == core::Need::After::each ? ", each after the same slice of " + name : ", after " + name;
  }
  if (job.n_procs) text += ", at most " + std::to_string(*job.n_procs) + " at a time";
  if (job.priority != 0) text += ", priority " + std::to_string(job.priority);
  if (job.allow_failures) {
    const std::uint64_t tolerated = job.allow_failures->tolerated(job.slices.size());
    text += ", what needs it goes on with up to " + util::format_count(tolerated) + " failed";
  }
  return text;
}

/// The jobs as a tree: each hangs on the last one in the file that it needs. Hooks and services, which have their
/// places around the jobs, are not in it.
class PlanTree {
 public:
  explicit PlanTree(const core::Spec& spec) : spec_(spec), below_(spec.jobs.size()) {
    for (std::uint32_t j = 0; j < spec.jobs.size(); ++j) {
      if (spec.jobs[j].kind != core::JobKind::slices) continue;
      std::vector<std::uint32_t>* above = &roots_;
      std::uint32_t last = 0;
      for (const core::Need& need : spec.jobs[j].needs) {
        if (spec.jobs[need.job].kind != core::JobKind::slices || need.job < last) continue;
        last = need.job;
        above = &below_[last];
      }
      above->push_back(j);
    }
  }
  [[nodiscard]] std::string text() const { return branch(roots_, "  "); }

 private:
  [[nodiscard]] std::string branch(const std::vector<std::uint32_t>& jobs, const std::string& indent) const {
    std::string text;
    for (const std::uint32_t j : jobs) {
      const bool is_last = j == jobs.back();
      text += indent + (is_last ? "`-- " : "|-- ") + spec_.jobs[j].name + place_text(spec_, spec_.jobs[j]) + "\n";
      text += branch(below_[j], indent + (is_last ? "    " : "|   "));
    }
    return text;
  }

  const core::Spec& spec_;
  std::vector<std::uint32_t> roots_;
  std::vector<std::vector<std::uint32_t>> below_;
};

}  // namespace

int check(const CheckCommand& command) {
  auto spec = load_spec(command.common);
  if (!spec || !is_trusted(command.common, *spec)) return kUsage;
  const host::Machine machine = host::detect();
  if (!fits(*spec, machine)) return kUsage;
  const run::Capacity capacity = run::capacity(*spec, machine, spec->print != core::Print::none);
  std::string text = util::escape_for_display(spec->path, 20'000) + ": valid\n";
  if (spec->has_several_jobs()) text += spec->name + "\n" + PlanTree(*spec).text();
  for (const auto& job : spec->jobs) {
    if (job.kind != core::JobKind::slices) text += std::string(core::name(job.kind)) + " ";
    text += job.name + "\n" + job_text(*spec, job);
  }
  text +=
      line("n_procs", capacity.note.empty() ? std::to_string(capacity.resources.slots) + " at a time" : capacity.note);
  text += line("machine", std::to_string(machine.cpus) + " CPUs for this process (" + machine.cpus_reason + "), " +
                              util::format_size(machine.memory) + "; " + host::describe_topology());
  text += line("state", display_path(spec->state_dir));
  return print(text) && flush_stdout() ? kSucceeded : kRecordFailed;
}

}  // namespace runner::app
