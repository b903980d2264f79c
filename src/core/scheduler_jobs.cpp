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
  actions.emplace_back(MoveJob{j, state, reason});
}

/// An initial job becomes ready when all it needs as a whole is there, and disabled once something cannot be.
void Scheduler::look_at_needs(std::uint32_t j, Actions& actions) {
  JobQueue& job = jobs_[j];
  if (job.plan().closed || job.state() != State::initial) return;
  bool is_waiting = false;
  bool anything_began = false;
  for (const Need& need : job.plan().needs) {
    const JobQueue& needed = jobs_[need.job];
    anything_began = anything_began || needed.has_begun;
    if (needed.plan().closed) continue;
    const bool each = need.after == Need::After::each;
    const bool failed =
        needed.is_over() && (needed.missed() > needed.plan().allow_failures || needed.plan().is_service);
    if (need.after != Need::After::over && (needed.state() == State::disabled || (failed && !each))) {
      const bool disabled = needed.state() == State::disabled;
      const std::string why = disabled ? "is disabled" : "did not complete (" + needed.shortfall() + ")";
      return disable_job(j, "it needs " + needed.plan().name + ", which " + why, actions);
    }
    if (need.after == Need::After::up) {
      is_waiting = is_waiting || !needed.is_up;
    } else {
      is_waiting = is_waiting || (!each && !needed.is_over());
    }
  }
  if (is_waiting) return;
  if (job.plan().is_teardown && !anything_began) return disable_job(j, "nothing had begun", actions);
  move_job(j, State::ready, actions);
  if (!job.waits_each()) return;
  // What is there already: of earlier sessions, or from before the last of the other needs was met.
  for (const auto& interval : job.plan().todo.intervals()) {
    for (std::uint64_t slice = interval.first; slice <= interval.last; ++slice) {
      if (is_released(j, slice) && !job.is_disabled(slice)) job.release(slice);
    }
  }
}

bool Scheduler::is_released(std::uint32_t j, std::uint64_t slice) const {
  return std::ranges::all_of(jobs_[j].plan().needs, [&](const Need& need) {
    const JobQueue& needed = jobs_[need.job];
    return need.after != Need::After::each || needed.plan().closed || needed.has_succeeded(slice);
  });
}

void Scheduler::slice_succeeded(std::uint32_t j, std::uint64_t slice) {
  if (!jobs_[j].keeps_successes) return;
  for (const std::uint32_t d : dependants_[j]) {
    JobQueue& dependant = jobs_[d];
    const bool waits = dependant.waits_each() && !dependant.is_over() && dependant.state() != State::initial;
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
    dependant.count_disabled(slice);
    actions.emplace_back(
        DisableSlice{d, slice, "it needs the same slice of " + jobs_[j].plan().name + ", which " + why});
    slice_failed(d, slice, "is disabled", actions);
  }
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
    for (const auto& interval : in_doubt.intervals()) {
      for (std::uint64_t slice = interval.first; slice <= interval.last; ++slice) {
        if (!needed.has_succeeded(slice)) slice_failed(j, slice, "did not run", actions);
      }
    }
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
  const bool has_begun = job.state() == State::running;
  const bool stopped = job.stop != Stop::none && job.running == 0;
  if (!stopped && (job.state() == State::initial || !job.all_settled())) return false;
  const std::string shortfall = job.shortfall();
  if (!has_begun && !shortfall.empty()) {
    disable_job(j, job.all_settled() ? shortfall : job.stop_reason, actions);
    return true;
  }
  if (job.state() == State::initial) move_job(j, State::ready, actions);
  if (!has_begun) move_job(j, State::running, actions);
  move_job(j, shortfall.empty() ? State::completed : State::terminated, actions, shortfall);
  tell_dependants(j, actions);
  return true;
}

}  // namespace runner::core
