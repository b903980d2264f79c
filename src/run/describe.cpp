#include "run/describe.hpp"

#include <unistd.h>

#include <utility>

#include "host/machine.hpp"
#include "util/text.hpp"

namespace runner::run {

using store::kLeftOut;
using util::Error;
using util::Result;

core::JobPlan make_plan(const core::JobSpec& job, std::uint64_t slices) {
  core::JobPlan plan;
  plan.name = job.name;
  plan.needs = job.needs;
  plan.is_teardown = job.hook == core::HookKind::teardown;
  plan.is_service = job.kind == core::JobKind::service;
  plan.n_procs = job.n_procs;
  plan.uses = job.uses;
  plan.priority = job.priority;
  if (job.allow_failures) plan.allow_failures = job.allow_failures->tolerated(slices);
  plan.retry = job.retry;
  plan.timeout = job.timeout;
  plan.timeout_percent = job.timeout_percent;
  plan.grace = job.grace;
  plan.need = {.slots = 1, .cpus_milli = job.cpus_milli.value_or(0), .memory = job.memory.value_or(0)};
  if (job.max_failed) plan.max_failed = job.max_failed->tolerated(slices);
  plan.on_halt = job.on_halt;
  plan.may_follow = job.kind == core::JobKind::slices;
  return plan;
}

store::NewRun describe(const SessionRequest& request, const store::StateLock& lock, std::string id) {
  const core::Spec& spec = *request.spec;
  store::NewRun run;
  run.id = std::move(id);
  run.name = spec.name;
  run.spec_path = spec.path;
  run.spec_text = spec.text;
  run.settings = request.settings;
  run.host = host::hostname();
  run.pid = ::getpid();
  run.boot_id = host::boot_id();
  run.place = lock.place();
  run.started_at = util::wall_now();
  for (const auto& job : spec.jobs) {
    run.jobs.push_back({.name = job.name,
                        .slices = job.slices.size(),
                        .fingerprint = job.slices.fingerprint(),
                        .selection = {},
                        .kind = job.kind});
  }
  return run;
}

core::RunInfo info_of(const store::NewRun& run) {
  core::RunInfo info;
  info.id = run.id;
  info.name = run.name;
  info.spec_path = run.spec_path;
  info.host = run.host;
  info.pid = run.pid;
  info.started_at = run.started_at;
  info.live = true;
  info.containment = run.containment;
  return info;
}

std::string stored_selection(const core::JobSpec& job, const std::optional<core::IntervalSet>& selection) {
  if (!selection) return kLeftOut;
  return selection->count() == job.slices.size() ? std::string() : selection->to_string();
}

Result<core::IntervalSet> parse_stored_selection(const std::string& text, std::uint64_t slices) {
  if (text.empty()) return core::IntervalSet::first_n(slices);
  if (text == kLeftOut) return core::IntervalSet();
  auto ranges = core::parse_ranges(text);
  if (!ranges) return ranges.error();
  core::IntervalSet set;
  for (const auto& range : *ranges) {
    if (range.first < 0 || static_cast<std::uint64_t>(range.last) >= slices || range.step != 1) {
      return Error{"the record is damaged: it has slices " + to_string(range) + " selected, of " +
                   util::format_count(slices)};
    }
    set.insert_range(static_cast<std::uint64_t>(range.first), static_cast<std::uint64_t>(range.last));
  }
  return set;
}

}  // namespace runner::run
