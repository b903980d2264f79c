#include "run/resume_hooks.hpp"

#include <algorithm>
#include <map>
#include <optional>

namespace runner::run {
namespace {

/// What the record has of one hook.
struct Past {
  std::uint32_t attempts = 0;
  bool succeeded = false;  ///< the last time
};

/// The hooks of one job, or of the run.
struct Owner {
  std::optional<std::uint32_t> prepare, shutdown, teardown;
  bool has_work = false;    ///< slices of it are to run now
  bool has_begun = false;   ///< slices of it ran before
  bool is_partial = false;  ///< slices of it are left for another time
};

util::Result<Past> past_of(store::Reader& reader, const std::string& run_id, std::uint32_t job) {
  const auto attempts = reader.attempts_of(run_id, job, 0);
  if (!attempts) return attempts.error();
  Past past;
  if (attempts->empty()) return past;
  const core::AttemptRecord& last = attempts->back();
  past.attempts = last.id.number;
  past.succeeded = last.ending && last.ending->outcome == core::Outcome::succeeded;
  return past;
}

std::map<std::optional<std::uint32_t>, Owner> owners_of(const core::Spec& spec, const std::vector<core::JobPlan>& plans,
                                                        const std::vector<bool>& is_partial) {
  std::map<std::optional<std::uint32_t>, Owner> owners;
  for (std::uint32_t j = 0; j < spec.jobs.size(); ++j) {
    const core::JobSpec& job = spec.jobs[j];
    if (job.kind == core::JobKind::hook) {
      if (plans[j].closed) continue;
      Owner& owner = owners[job.hook_of];
      auto& place = job.hook == core::HookKind::prepare    ? owner.prepare
                    : job.hook == core::HookKind::shutdown ? owner.shutdown
                                                           : owner.teardown;
      place = j;
      continue;
    }
    if (job.kind == core::JobKind::service) continue;
    for (const auto& of : {std::optional<std::uint32_t>(j), std::optional<std::uint32_t>()}) {
      owners[of].has_work = owners[of].has_work || !plans[j].todo.empty();
      owners[of].has_begun = owners[of].has_begun || plans[j].has_begun;
      owners[of].is_partial = owners[of].is_partial || is_partial[j];
    }
  }
  return owners;
}

void plan_one(core::JobPlan& plan, const Past& past, bool is_due) {
  plan.todo = is_due ? core::IntervalSet::first_n(1) : core::IntervalSet();
  plan.succeeded = core::IntervalSet();
  plan.closed = !is_due;
  plan.has_begun = past.attempts > 0;
  if (past.attempts > 0) plan.attempted[0] = past.attempts;
}

/// As long as anything is to be done but clearing up.
util::Result<void> plan_services(const core::Spec& spec, const std::string& run_id, store::Reader& reader,
                                 std::vector<core::JobPlan>& plans) {
  bool has_work = false;
  for (const auto& plan : plans) has_work = has_work || (!plan.is_service && !plan.is_teardown && !plan.todo.empty());
  for (std::uint32_t j = 0; j < spec.jobs.size(); ++j) {
    if (!plans[j].is_service) continue;
    const auto past = past_of(reader, run_id, j);
    if (!past) return past.error();
    plan_one(plans[j], *past, has_work);
  }
  return {};
}

}  // namespace

util::Result<void> plan_hooks(const core::Spec& spec, const store::StoredRun& stored, store::Reader& reader,
                              std::vector<core::JobPlan>& plans, const std::vector<bool>& is_partial,
                              const std::function<void(const std::string&)>& notice) {
  auto owners = owners_of(spec, plans, is_partial);
  Owner& run = owners[std::nullopt];
  for (auto of = owners.rbegin(); of != owners.rend(); ++of) {  // the run comes last: what its jobs do is work of it
    Owner& owner = of->second;
    Past prepare, shutdown, teardown;
    for (const auto& [job, past] : {std::pair{owner.prepare, &prepare}, std::pair{owner.shutdown, &shutdown},
                                    std::pair{owner.teardown, &teardown}}) {
      if (!job) continue;
      auto found = past_of(reader, stored.info.id, *job);
      if (!found) return found.error();
      *past = *found;
      const auto redone = plans[*job].attempted.find(0);
      if (redone != plans[*job].attempted.end() && redone->second > past->attempts)  // outdated with this resume
        *past = {.attempts = redone->second, .succeeded = false};
    }
    const bool begun = owner.has_begun || prepare.attempts > 0;
    const bool shuts_down = owner.shutdown && !owner.is_partial && (owner.has_work || (begun && !shutdown.succeeded));
    if (owner.shutdown) plan_one(plans[*owner.shutdown], shutdown, shuts_down);
    owner.has_work = owner.has_work || shuts_down;
    run.has_work = run.has_work || shuts_down;
    // Completed in the last session in which it was due: that of an earlier one cleared up for that one only.
    const bool torn_down =
        owner.teardown && teardown.succeeded && stored.jobs[*owner.teardown].state == core::State::completed;
    // Likewise: a session that had to prepare again and did not come to it undid what an earlier one had prepared.
    const bool prepared =
        owner.prepare && prepare.succeeded && !torn_down && stored.jobs[*owner.prepare].state == core::State::completed;
    if (owner.prepare) plan_one(plans[*owner.prepare], prepare, owner.has_work && !prepared);
    if (!owner.teardown) continue;
    plan_one(plans[*owner.teardown], teardown, owner.has_work || (begun && !torn_down));
    if (begun && !torn_down)
      notice(plans[*owner.teardown].name + " had not run to its end: it runs when what is left is done");
    if (owner.prepare && owner.has_work && prepare.succeeded && torn_down)
      notice(plans[*owner.prepare].name + " runs again, because " + plans[*owner.teardown].name + " has run since");
  }
  return plan_services(spec, stored.info.id, reader, plans);
}

}  // namespace runner::run
