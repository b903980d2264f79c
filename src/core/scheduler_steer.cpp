// The part of the scheduler that does what a user asks of a run while it runs.
#include <algorithm>
#include <utility>

#include "core/scheduler.hpp"

namespace runner::core {

namespace {

using util::TimePoint;

/// Said where a request made no difference at all.
std::string nothing_to(Steering what) {
  std::string nothing = "nothing to " + std::string(name(what)) + ": ";
  switch (what) {
    case Steering::suspend:
      return nothing + "what is named has ended, is being ended or is suspended already";
    case Steering::resume:
      return nothing + "nothing of it is suspended by itself";
    case Steering::cancel:
      return nothing + "what is named has ended, or is disabled";
    case Steering::retry:
      return nothing + "nothing of it has failed for good";
    case Steering::disable:
      return nothing + "what is named has begun, has ended or is disabled already";
    case Steering::enable:
      return nothing + "nothing of it was disabled by request";
  }
  return nothing;
}

void cancelled_by(JobQueue& job, const std::string& who) {
  job.cancelled = true;
  job.stop_reason = "cancelled by " + who;
}

}  // namespace

void Scheduler::steer(const Steer& steer, TimePoint now, Actions& actions) {
  Steered answer;
  const bool is_whole_run = !steer.job && !steer.slices;
  if (is_whole_run && steer.what == Steering::cancel) {
    if (done_ || stop_ >= Stop::terminate) {  // to be asked twice is no reason to end what clears up, too
      answer.refusal = "nothing to cancel: the run is being ended already";
    } else {
      answer.slices = used_.slots;
      for (JobQueue& job : jobs_) cancelled_by(job, steer.by);
      actions.emplace_back(Halt{std::nullopt, "cancelled by " + steer.by});
      stop(Stop::terminate, now, actions);
    }
    actions.emplace_back(std::move(answer));
    return;
  }
  bool changed = false;
  std::string why;
  for (std::uint32_t j = 0; j < jobs_.size(); ++j) {
    const JobPlan& plan = jobs_[j].plan();
    if (steer.job ? *steer.job != j : plan.is_service) continue;
    if (!steer.job && plan.is_teardown && steer.what == Steering::disable) continue;
    std::string why_not_it = why_not(steer.what, j);
    if (why_not_it.empty() &&
        (steer.slices ? steer_slices(steer, j, now, actions, answer) : steer_job(steer, j, now, actions, answer))) {
      changed = true;
    } else if (why.empty() && (steer.job || jobs_.size() == 1)) {
      why = answer.refusal.empty() ? std::move(why_not_it) : answer.refusal;
    }
  }
  answer.refusal.clear();
  if (!changed) answer.refusal = why.empty() ? nothing_to(steer.what) : std::move(why);
  actions.emplace_back(std::move(answer));
}

/// Why nothing of this can be done to a job; "" if it can be tried.
std::string Scheduler::why_not(Steering what, std::uint32_t j) const {
  const JobQueue& job = jobs_[j];
  const std::string& its_name = job.plan().name;
  if (job.plan().closed) return its_name + " has nothing to do in this run";
  if (job.plan().is_service) return its_name + " is a service: it runs as long as it is needed";
  const bool is_to_come_back = what == Steering::enable && job.state() == State::disabled;
  if (job.is_over() && !is_to_come_back) return its_name + " is over (" + std::string(name(job.state())) + ")";
  const bool wants_more = what == Steering::retry || what == Steering::enable;
  if ((stop_ != Stop::none || job.stop != Stop::none) && wants_more) {
    return its_name + " is being ended: nothing more is started";
  }
  return {};
}

// ---- jobs as a whole

bool Scheduler::steer_job(const Steer& steer, std::uint32_t j, TimePoint now, Actions& actions, Steered& answer) {
  JobQueue& job = jobs_[j];
  const auto before = answer.slices;
  switch (steer.what) {
    case Steering::suspend:
      return suspend_job(j, now, actions, answer);
    case Steering::resume:
      return resume_job(j, now, actions, answer);
    case Steering::cancel:
      if (job.stop >= Stop::terminate) return false;
      answer.slices += job.running;
      cancelled_by(job, steer.by);
      stop_job(j, Stop::terminate, now, actions);
      return true;
    case Steering::retry:
      job.failed_slices().for_each([&](std::uint64_t slice) { answer.slices += retry(j, slice, actions) ? 1 : 0; });
      return answer.slices > before;
    case Steering::disable:
      if (job.state() != State::initial && job.state() != State::ready) {
        answer.refusal = job.plan().name + " has begun: name the slices to disable, or cancel it";
        return false;
      }
      take_back(j, nullptr, actions);
      job.switched_off = true;
      disable_job(j, "disabled by " + steer.by, actions);
      return true;
    case Steering::enable:
      return enable_job(j, actions, answer);
  }
  return false;
}

bool Scheduler::suspend_job(std::uint32_t j, TimePoint now, Actions& actions, Steered& answer) {
  JobQueue& job = jobs_[j];
  bool changed = !std::exchange(job.suspended, true);
  take_back(j, nullptr, actions);
  for (auto& [id, attempt] : running_) {
    if (id.job != j || !suspend(id, attempt, now, actions)) continue;
    ++answer.slices;
    changed = true;
  }
  if (job.state() == State::running) move_job(j, State::suspended, actions);
  return changed;
}

bool Scheduler::resume_job(std::uint32_t j, TimePoint now, Actions& actions, Steered& answer) {
  JobQueue& job = jobs_[j];
  bool changed = std::exchange(job.suspended, false);
  if (job.state() == State::suspended) move_job(j, State::running, actions);
  for (auto& [id, attempt] : running_) {
    if (id.job != j || !resume(id, attempt, now, actions)) continue;
    ++answer.slices;
    changed = true;
  }
  const IntervalSet held = job.held();
  held.for_each([&](std::uint64_t slice) { unblock(j, slice); });
  answer.slices += held.count();
  return changed || !held.empty();
}

/// With what was disabled for its sake; and its slices that were.
bool Scheduler::enable_job(std::uint32_t j, Actions& actions, Steered& answer) {
  JobQueue& job = jobs_[j];
  bool changed = false;
  if (job.state() == State::disabled) {
    if (answer.refusal = missing_need(j); !answer.refusal.empty()) return false;
    for (const std::uint32_t d : dependants_[j]) {
      const State after = jobs_[d].state();
      if (!jobs_[d].plan().is_teardown || after == State::initial || after == State::disabled) continue;
      answer.refusal = jobs_[d].plan().name + " has begun: run what is left with --resume when this run is over";
      return false;
    }
    changed = true;
    job.switched_off = false;
    job.awaits_needs = true;
    move_job(j, State::ready, actions);
    if (job.waits_each()) {
      job.plan().todo.for_each([&](std::uint64_t slice) {
        if (!job.is_disabled(slice) && !can_come(j, slice)) disable_in_vain(j, slice, actions);
      });
    }
    for (const std::uint32_t d : dependants_[j]) {
      JobQueue& dependant = jobs_[d];
      const bool fell_with_it = dependant.state() == State::disabled && !dependant.switched_off;
      if (fell_with_it && dependant.stop == Stop::none && !dependant.plan().closed && !dependant.all_settled()) {
        enable_job(d, actions, answer);
      }
    }
    if (job.keeps_successes) {
      job.plan().todo.for_each([&](std::uint64_t slice) { enable_dependants(j, slice, actions); });
    }
  }
  job.disabled_by_user().for_each([&](std::uint64_t slice) {
    if (!enable(j, slice, actions)) return;
    ++answer.slices;
    changed = true;
  });
  look_at_needs(j, actions);
  return changed;
}

// ---- slices by name

bool Scheduler::steer_slices(const Steer& steer, std::uint32_t j, TimePoint now, Actions& actions, Steered& answer) {
  JobQueue& job = jobs_[j];
  const IntervalSet slices = job.plan().todo.intersect(*steer.slices);
  if (slices.count() > kMaxSteeredSlices) {
    answer.refusal = "these are " + std::to_string(slices.count()) + " slices, at most " +
                     std::to_string(kMaxSteeredSlices) +
                     " can be named at a time: leave them out to mean the whole job";
    return false;
  }
  const auto before = answer.slices;
  const auto count = [&answer](bool changed) { answer.slices += changed ? 1 : 0; };
  const bool ends = steer.what == Steering::cancel;
  const bool comes_back = steer.what == Steering::enable || steer.what == Steering::retry;
  if (steer.what == Steering::enable && job.state() == State::disabled) {
    answer.refusal = job.plan().name + " is disabled: enable it as a whole";
    return false;
  }
  if (steer.what == Steering::disable) {  // a retry that was promised is none of its business
    IntervalSet not_begun;
    slices.for_each([&](std::uint64_t slice) {
      if (!promised(j, slice)) not_begun.insert(slice);
    });
    take_back(j, &not_begun, actions);
  } else if (!comes_back && steer.what != Steering::resume) {
    take_back(j, &slices, actions);
  }
  if (!comes_back && steer.what != Steering::disable) {
    for (auto& [id, attempt] : running_) {
      if (id.job != j || !slices.contains(id.slice)) continue;
      if (steer.what == Steering::suspend) count(suspend(id, attempt, now, actions));
      if (steer.what == Steering::resume) count(resume(id, attempt, now, actions));
      if (ends) count(cancel(id, attempt, now, actions));
    }
  }
  slices.for_each([&](std::uint64_t slice) {
    switch (steer.what) {
      case Steering::suspend: {
        const bool is_to_come = has_not_begun(j, slice) || (job.is_to_be_taken(slice) && promised(j, slice));
        if (is_to_come && !job.is_held(slice)) {
          job.hold(slice);
          count(true);
        }
        break;
      }
      case Steering::resume:
        if (job.is_held(slice)) {
          unblock(j, slice);
          count(true);
        }
        break;
      case Steering::cancel:
        count(cancel_waiting(steer, j, slice, actions));
        break;
      case Steering::retry:
        count(retry(j, slice, actions));
        break;
      case Steering::disable:
        if (has_not_begun(j, slice)) {
          disable(j, slice, true, "disabled by " + steer.by, actions);
          count(true);
        }
        break;
      case Steering::enable:
        count(enable(j, slice, actions));
        break;
    }
  });
  return answer.slices > before;
}

bool Scheduler::suspend(const AttemptId& id, Running& attempt, TimePoint now, Actions& actions) {
  if (attempt.suspended || attempt.ended_by_us) return false;
  attempt.suspended = true;
  ++suspended_;
  attempt.suspended_at = running_time(now);
  set_deadline(timeouts_, id, attempt.timeout, std::nullopt);
  actions.emplace_back(Suspend{id});
  return true;
}

bool Scheduler::resume(const AttemptId& id, Running& attempt, TimePoint now, Actions& actions) {
  if (!attempt.suspended) return false;
  attempt.suspended = false;
  --suspended_;
  const util::Duration stood = running_time(now) - *attempt.suspended_at;
  attempt.suspended_at.reset();
  if (attempt.started) *attempt.started += stood;
  set_timeout(id, attempt);
  actions.emplace_back(Continue{id});
  return true;
}

bool Scheduler::cancel(const AttemptId& id, Running& attempt, TimePoint now, Actions& actions) {
  if (attempt.ended_by_us == Outcome::cancelled) return false;
  end(id, attempt, Outcome::cancelled, false, now, actions);
  attempt.ended_by_us = Outcome::cancelled;  // one that timed out is not tried again either
  return true;
}

/// One that waits for its first attempt is disabled; of one that waits for a retry, the ending before is the last.
bool Scheduler::cancel_waiting(const Steer& steer, std::uint32_t j, std::uint64_t slice, Actions& actions) {
  if (const auto retry = promised_.lower_bound({j, slice, 0}); promised(j, slice)) {
    if (running_.contains(retry->first)) return false;
    std::erase_if(delayed_, [&](const auto& waiting) { return waiting.second == retry->first; });
    abandon(retry, actions);
    slice_failed(j, slice, "failed", actions);
    return true;
  }
  if (!has_not_begun(j, slice)) return false;
  disable(j, slice, true, "cancelled by " + steer.by, actions);
  return true;
}

bool Scheduler::retry(std::uint32_t j, std::uint64_t slice, Actions& actions) {
  if (!jobs_[j].has_failed(slice)) return false;
  jobs_[j].revive(slice);
  enable_dependants(j, slice, actions);
  return true;
}

bool Scheduler::enable(std::uint32_t j, std::uint64_t slice, Actions& actions) {
  if (!jobs_[j].is_disabled_by_user(slice) || !can_come(j, slice)) return false;
  unblock(j, slice);
  actions.emplace_back(EnableSlice{j, slice});
  enable_dependants(j, slice, actions);
  return true;
}

/// A slice may run again, and so may those that were disabled for its sake.
void Scheduler::enable_dependants(std::uint32_t j, std::uint64_t slice, Actions& actions) {
  for (const std::uint32_t d : dependants_[j]) {
    JobQueue& dependant = jobs_[d];
    if (!dependant.needs_each_of(j) || dependant.is_over() || dependant.stop != Stop::none) continue;
    if (!dependant.is_disabled(slice) || dependant.is_disabled_by_user(slice) || !can_come(d, slice)) continue;
    unblock(d, slice);
    actions.emplace_back(EnableSlice{d, slice});
    enable_dependants(d, slice, actions);
  }
}

/// Whether the slices it needs have succeeded or still may.
bool Scheduler::can_come(std::uint32_t j, std::uint64_t slice) const {
  return std::ranges::all_of(jobs_[j].plan().needs, [&](const Need& need) {
    const JobQueue& needed = jobs_[need.job];
    if (need.after != Need::After::each || needed.plan().left_out || needed.has_succeeded(slice)) return true;
    return !needed.is_over() && !needed.has_failed(slice) && !needed.is_disabled(slice);
  });
}

void Scheduler::unblock(std::uint32_t j, std::uint64_t slice) {
  JobQueue& job = jobs_[j];
  if (job.unblock(slice)) return;
  if (job.waits_each() && !job.awaits_needs && is_released(j, slice)) job.release(slice);
}

// ---- what has not begun

/// Whether the slice waits for a retry that was promised.
bool Scheduler::promised(std::uint32_t j, std::uint64_t slice) const {
  const auto next = promised_.lower_bound({j, slice, 0});
  return next != promised_.end() && next->first.job == j && next->first.slice == slice;
}

/// The retry that was promised, where one was; else the attempt as it is.
AttemptId Scheduler::number_of(const AttemptId& next) const {
  return promised(next.job, next.slice) ? promised_.lower_bound({next.job, next.slice, 0})->first : next;
}

bool Scheduler::has_not_begun(std::uint32_t j, std::uint64_t slice) const {
  const JobQueue& job = jobs_[j];
  if (promised(j, slice)) return false;
  const bool waits_for_another =
      job.waits_each() && job.has(slice) && !job.is_disabled(slice) && (job.awaits_needs || !is_released(j, slice));
  return waits_for_another || job.is_to_be_taken(slice);
}

/// Claims that were not launched are given up, and retries do not wait any longer: all that is to be taken anew.
void Scheduler::take_back(std::uint32_t j, const IntervalSet* slices, Actions& actions) {
  JobQueue& job = jobs_[j];
  const auto is_meant = [&](const AttemptId& id) { return slices == nullptr || slices->contains(id.slice); };
  std::deque<AttemptId> kept;
  std::size_t kept_durable = 0;
  auto waiting = unacknowledged_.begin();  // its claims that are not durable are there in the same order
  for (std::size_t i = 0; i < job.claims.size(); ++i) {
    const AttemptId& id = job.claims[i];
    if (i >= job.durable) waiting = std::find(waiting, unacknowledged_.end(), j);
    if (is_meant(id)) {
      actions.emplace_back(Unclaim{id});
      job.release(id.slice);
      if (i >= job.durable) *waiting = kTakenBack;
    } else {
      kept.push_back(id);
      if (i < job.durable) ++kept_durable;
    }
    if (i >= job.durable) ++waiting;
  }
  job.claims = std::move(kept);
  job.durable = kept_durable;
  std::erase_if(delayed_, [&](const auto& retry) {
    const bool goes = retry.second.job == j && is_meant(retry.second);
    if (goes) job.release(retry.second.slice);
    return goes;
  });
}

/// A retry that was promised will not come.
void Scheduler::abandon(std::map<AttemptId, Ending>::iterator next, Actions& actions) {
  AttemptId last = next->first;
  --last.number;
  jobs_[last.job].forget(last.slice);
  jobs_[last.job].count(next->second, last);
  actions.emplace_back(Abandon{last, std::move(next->second)});
  promised_.erase(next);
}

// ---- the run

void Scheduler::scale(std::uint32_t slots) {
  capacity_.slots = std::max(slots, 1U);
  fill_slots();
}

/// As many are free as may be, by the lowest numbers that are not taken: by services too, which have some beside these.
void Scheduler::fill_slots() {
  if (free_slots_.size() + used_.slots < capacity_.slots) {
    std::set<std::uint32_t> taken;
    for (const auto& [id, attempt] : running_) taken.insert(attempt.slot);
    for (std::uint32_t slot = 0; free_slots_.size() + used_.slots < capacity_.slots; ++slot) {
      if (!taken.contains(slot)) free_slots_.insert(slot);
    }
  }
  while (!free_slots_.empty() && free_slots_.size() + used_.slots > capacity_.slots) {
    free_slots_.erase(std::prev(free_slots_.end()));
  }
}

std::uint32_t Scheduler::unused_slot(std::uint32_t from) const {
  std::set<std::uint32_t> taken(free_slots_.begin(), free_slots_.end());
  for (const auto& [id, attempt] : running_) taken.insert(attempt.slot);
  while (taken.contains(from)) ++from;
  return from;
}

/// The run is suspended as long as everything is that is not over.
void Scheduler::follow_jobs(Actions& actions) {
  bool all = !done_;
  bool any = false;
  for (const JobQueue& job : jobs_) {
    if (job.is_over() || job.plan().is_service) continue;
    any = true;
    all = all && job.suspended;
  }
  if ((any && all) == run_suspended_) return;
  run_suspended_ = !run_suspended_;
  actions.emplace_back(MoveRun{run_suspended_ ? State::suspended : State::running});
}

}  // namespace runner::core
