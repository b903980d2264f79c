// The part of the scheduler that knows what jobs need of each other.
#include <algorithm>

#include "core/scheduler.hpp"

namespace runner::core {

using util::TimePoint;

void Scheduler::begin(Actions& actions) {
  for (std::uint32_t j = 0; j < jobs_.size(); ++j) look_at_needs(j, actions);
}

void Scheduler::move_job(std::uint32_t j, State state, Actions& actions, const std::string& reason) {
  jobs_[j].go(state);
  if (state == State::ready) offers_are_late_ = !offers_.empty();
  actions.emplace_back(MoveJob{j, state, reason});
}

/// An initial job becomes ready when all it needs as a whole is there, and disabled once something cannot be.
void Scheduler::look_at_needs(std::uint32_t j, Actions& actions) {
  JobQueue& job = jobs_[j];
  if (job.plan().closed || !job.awaits_needs || job.state() == State::disabled) return;
  if (const std::string missing = missing_need(j); !missing.empty()) return disable_job(j, missing, actions);
  const auto& needs = job.plan().needs;
  const bool is_waiting = std::ranges::any_of(needs, [&](const Need& need) {
    const JobQueue& needed = jobs_[need.job];
    if (needed.plan().closed || need.after == Need::After::each) return false;
    return need.after == Need::After::up ? !needed.is_up : !needed.is_over();
  });
  if (is_waiting) return;
  const bool anything_began = std::ranges::any_of(needs, [&](const Need& need) { return jobs_[need.job].has_begun; });
  if (job.plan().is_teardown && !anything_began) return disable_job(j, "nothing had begun", actions);
  job.awaits_needs = false;
  if (job.state() == State::initial) move_job(j, State::ready, actions);
  if (!job.waits_each()) return;
  // What is there already, or will never be: of earlier sessions, or from before the last of the other needs was met.
  job.plan().todo.for_each([&](std::uint64_t slice) {
    if (job.is_disabled(slice)) return;
    if (is_released(j, slice)) return job.release(slice);
    if (!can_come(j, slice)) disable_in_vain(j, slice, actions);
  });
}

/// Why it cannot begin any more; "" if it can.
std::string Scheduler::missing_need(std::uint32_t j) const {
  for (const Need& need : jobs_[j].plan().needs) {
    const JobQueue& needed = jobs_[need.job];
    if (needed.plan().closed || need.after == Need::After::over) continue;
    const std::string it_needs = "it needs " + needed.plan().name + ", which ";
    if (needed.state() == State::disabled) return it_needs + "is disabled";
    if (needed.is_being_stopped) return it_needs + "was ended when nothing needed it any more";
    const bool failed =
        needed.is_over() && (needed.missed() > needed.plan().allow_failures || needed.plan().is_service);
    if (failed && need.after != Need::After::each) return it_needs + "did not complete (" + needed.shortfall() + ")";
  }
  return {};
}

bool Scheduler::is_released(std::uint32_t j, std::uint64_t slice) const {
  return std::ranges::all_of(jobs_[j].plan().needs, [&](const Need& need) {
    const JobQueue& needed = jobs_[need.job];
    return need.after != Need::After::each || needed.plan().left_out || needed.has_succeeded(slice);
  });
}

void Scheduler::slice_succeeded(std::uint32_t j, std::uint64_t slice) {
  if (!jobs_[j].keeps_successes) return;
  for (const std::uint32_t d : dependants_[j]) {
    JobQueue& dependant = jobs_[d];
    const bool waits = dependant.waits_each() && !dependant.is_over() && !dependant.awaits_needs;
    if (waits && dependant.has(slice) && !dependant.is_disabled(slice) && is_released(d, slice))
      dependant.release(slice);
  }
}

/// Its counterparts in jobs that need each of this one's slices will not run, nor theirs.
void Scheduler::slice_failed(std::uint32_t j, std::uint64_t slice, const std::string& why, Actions& actions) {
  if (!jobs_[j].keeps_successes) return;
  for (const std::uint32_t d : dependants_[j]) {
    JobQueue& dependant = jobs_[d];
    if (!dependant.needs_each_of(j) || dependant.is_over()) continue;
    if (!dependant.has(slice) || dependant.is_disabled(slice)) continue;
    disable(d, slice, false, "it needs the same slice of " + jobs_[j].plan().name + ", which " + why, actions);
  }
}

/// And with it what needs that slice.
void Scheduler::disable(std::uint32_t j, std::uint64_t slice, bool by_user, const std::string& why, Actions& actions) {
  jobs_[j].disable(slice, by_user);
  actions.emplace_back(DisableSlice{j, slice, why});
  slice_failed(j, slice, "is disabled", actions);
}

/// Of a slice that waits in vain.
void Scheduler::disable_in_vain(std::uint32_t j, std::uint64_t slice, Actions& actions) {
  disable(j, slice, false, "it needs the same slice of another job, which did not run", actions);
}

/// A job is over: of those that need each of its slices, what still waits for one that did not run - or that is not to
/// run this time - will wait in vain.
void Scheduler::disable_what_waits_for(std::uint32_t j, Actions& actions) {
  const JobQueue& needed = jobs_[j];
  if (!needed.keeps_successes) return;
  for (const std::uint32_t d : dependants_[j]) {
    JobQueue& dependant = jobs_[d];
    if (!dependant.needs_each_of(j) || dependant.is_over() || dependant.stop != Stop::none) continue;
    if (needed.state() == State::disabled && dependant.state() == State::ready && !dependant.is_waiting()) {
      disable_job(d, "it needs " + needed.plan().name + ", which is disabled", actions);
      continue;
    }
    IntervalSet in_doubt = dependant.plan().todo.without(needed.plan().succeeded);
    if (needed.missed() == 0) in_doubt = in_doubt.without(needed.plan().todo);
    in_doubt.for_each([&](std::uint64_t slice) {
      if (!needed.has_succeeded(slice)) slice_failed(j, slice, "did not run", actions);
    });
  }
}

void Scheduler::disable_job(std::uint32_t j, const std::string& why, Actions& actions) {
  move_job(j, State::disabled, actions, why);
  tell_dependants(j, actions);
}

/// A job is over.
void Scheduler::tell_dependants(std::uint32_t j, Actions& actions) {
  disable_what_waits_for(j, actions);
  for (const std::uint32_t dependant : dependants_[j]) look_at_needs(dependant, actions);
}

/// Jobs of which nothing is left end, and those that need them move on; what cannot begin any more is disabled.
void Scheduler::close_jobs(TimePoint now, Actions& actions) {
  for (bool moved = true; moved;) {
    moved = false;
    stop_services(now, actions);
    for (std::uint32_t j = 0; j < jobs_.size(); ++j) {
      moved = (!jobs_[j].is_over() && close_job(j, actions)) || moved;
    }
  }
}

/// Whether it is over now.
bool Scheduler::close_job(std::uint32_t j, Actions& actions) {
  JobQueue& job = jobs_[j];
  const bool has_begun = job.state() == State::running || job.state() == State::suspended;
  const bool stopped = job.stop != Stop::none && job.running == 0;
  if (!stopped && (job.awaits_needs || !job.all_settled())) return false;
  std::string shortfall = job.shortfall();
  if (!shortfall.empty() && job.cancelled) shortfall = job.stop_reason + "; " + shortfall;
  if (!has_begun && !shortfall.empty()) {
    disable_job(j, job.all_settled() ? shortfall : job.stop_reason, actions);
    return true;
  }
  if (job.state() == State::initial) move_job(j, State::ready, actions);
  if (!has_begun || (job.state() == State::suspended && shortfall.empty())) move_job(j, State::running, actions);
  move_job(j, shortfall.empty() ? State::completed : State::terminated, actions, shortfall);
  tell_dependants(j, actions);
  return true;
}

}  // namespace runner::core
