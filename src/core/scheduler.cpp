#include "core/scheduler.hpp"

#include <algorithm>
#include <cassert>
#include <numeric>

namespace runner::core {

namespace {

using util::Duration;
using util::TimePoint;

/// Claims held ahead at most: what a crash may leave named as "may have run" without having run.
constexpr std::size_t kMaxWindow = 8192;
/// The window follows what was launched in a span of this length: several commits' worth, as a rule.
constexpr Duration kRateSpan = std::chrono::milliseconds(250);

/// 0.75 to 1.25, the same for the same attempt: retries of slices that failed together spread out, and a
/// test can tell when.
double jitter(const AttemptId& id) {
  std::uint64_t x = id.slice * 0x9E3779B97F4A7C15ULL + id.number + (static_cast<std::uint64_t>(id.job) << 32U);
  x ^= x >> 31U;
  x *= 0xBF58476D1CE4E5B9ULL;
  x ^= x >> 29U;
  return 0.75 + 0.5 * static_cast<double>(x % 1024) / 1024.0;
}

/// delay, 2 delay, 4 delay ... with jitter, at most delay_max; `retry` counts from 1.
Duration retry_delay(const RetryPolicy& policy, const AttemptId& failed, std::uint32_t retry) {
  const double base = util::seconds(policy.delay) * static_cast<double>(1ULL << std::min(retry - 1, 40U));
  return std::min(policy.delay_max, util::from_seconds(std::min(base * jitter(failed), 1e9)));
}

}  // namespace

Scheduler::Scheduler(std::vector<JobPlan> jobs, Resources capacity, std::vector<std::uint32_t> limits)
    : dependants_(jobs.size()), capacity_(capacity), limits_left_(std::move(limits)) {
  assert(capacity.slots > 0);
  for (std::uint32_t j = 0; j < jobs.size(); ++j) jobs_.emplace_back(j, std::move(jobs[j]));
  for (std::uint32_t j = 0; j < jobs_.size(); ++j) {
    for (const Need& need : jobs_[j].plan().needs) {
      dependants_[need.job].push_back(j);
      if (need.after == Need::After::each) jobs_[need.job].keeps_successes = true;
    }
  }
  order_.resize(jobs_.size());
  std::iota(order_.begin(), order_.end(), 0U);
  std::ranges::stable_sort(order_, std::ranges::greater(), [&](std::uint32_t j) { return jobs_[j].plan().priority; });
  for (std::uint32_t slot = 0; slot < capacity.slots; ++slot) free_slots_.insert(free_slots_.end(), slot);
}

void Scheduler::step(const Input& input, TimePoint now, Actions& actions) {
  assert(!wants_recall_before(input));
  struct Visitor {
    Scheduler& self;
    TimePoint now;
    Actions& actions;

    void operator()(const Start&) const {
      self.rate_since_ = now;
      self.begin(actions);
    }
    void operator()(const Claimed& claimed) const { self.on_claimed(claimed.count, now); }
    void operator()(const Started& started) const { self.on_started(started.id, now); }
    void operator()(const ServiceReady& ready) const { self.on_service_ready(ready.job, actions); }
    void operator()(const Finished& finished) const { self.on_finished(finished, now, actions); }
    void operator()(const Control& control) const {
      switch (control) {
        case Control::drain:
          self.stop(Stop::drain, now, actions);
          break;
        case Control::terminate:
          self.stop(Stop::terminate, now, actions);
          break;
        case Control::give_up:
          self.stop(Stop::terminate, now, actions);
          self.stop_teardowns(now, actions);
          break;
        case Control::kill:
          self.stop(Stop::kill, now, actions);
          break;
      }
    }
    void operator()(const Recalled&) const { self.on_recalled(); }
    void operator()(const Hold& hold) const { self.hold(hold.held, now); }
    void operator()(const Tick&) const {
      self.wake_.reset();
      self.on_timeouts(now, actions);
    }
    void operator()(const Steer& steer) const { self.steer(steer, now, actions); }
    void operator()(const Scale& scale) const { self.scale(scale.slots); }
    void operator()(const Throttle& throttle) const { self.ceiling_ = throttle.ceiling; }
    void operator()(const RecordWaits& record) const { self.record_waits_ = record.waits; }
  };
  std::visit(Visitor{*this, now, actions}, input);
  on_graces(now, actions);
  close_jobs(now, actions);
  follow_jobs(actions);
  launch_services(actions);
  launch_ready(actions);
  // Not after anything else: that would bring back what was recalled for its sake.
  if (std::holds_alternative<Finished>(input) || std::holds_alternative<Claimed>(input)) offer_ahead(actions);
  claim_ahead(now, actions);
  conclude(actions);
}

void Scheduler::on_started(const AttemptId& id, TimePoint now) {
  const auto it = running_.find(id);
  assert(it != running_.end());
  it->second.started = running_time(now);
  if (it->second.suspended) it->second.suspended_at = it->second.started;
  set_timeout(id, it->second);
}

void Scheduler::set_timeout(const AttemptId& id, Running& attempt) {
  const auto timeout = jobs_[id.job].timeout();
  if (timeout && attempt.started && !attempt.ended_by_us && !attempt.suspended_at)
    set_deadline(timeouts_, id, attempt.timeout, *attempt.started + *timeout);
}

/// The median is another one now.
void Scheduler::set_timeouts_of(std::uint32_t j) {
  for (auto& [id, attempt] : running_) {
    if (id.job == j) set_timeout(id, attempt);
  }
}

void Scheduler::hold(bool held, TimePoint now) {
  if (held == held_since_.has_value()) return;
  if (held_since_) stood_ += now - *held_since_;
  held_since_ = held ? std::optional(now) : std::nullopt;
}

/// A clock that stands while attempts are held.
TimePoint Scheduler::running_time(TimePoint now) const {
  return held_since_.value_or(now) - stood_;
}

void Scheduler::on_finished(const Finished& finished, TimePoint now, Actions& actions) {
  const auto it = running_.find(finished.id);
  assert(it != running_.end());
  Settle settled{finished.id, it->second.slot, finished.ending, std::nullopt};
  // Whatever a slice that was asked to end says on its way out, it did not do its work. One that could not be made to
  // end stays lost.
  if (it->second.ended_by_us && settled.ending.outcome != Outcome::lost)
    settled.ending.outcome = *it->second.ended_by_us;

  set_deadline(timeouts_, it->first, it->second.timeout, std::nullopt);
  set_deadline(graces_, it->first, it->second.grace, std::nullopt);
  JobQueue& job = jobs_[finished.id.job];
  if (it->second.suspended) --suspended_;
  --job.running;
  if (job.plan().is_service) {
    judge_service(settled);
  } else {
    note_end(settled.ending);
    const Resources& need = job.plan().need;
    for (const Use& use : job.plan().uses) limits_left_[use.limit] += use.amount;
    used_.slots -= 1;
    used_.cpus_milli -= need.cpus_milli;
    used_.memory -= need.memory;
  }
  const std::uint32_t slot = it->second.slot;
  running_.erase(it);
  if (finished.next) {
    follow(*finished.next, slot, actions);
  } else if (slot < capacity_.slots && free_slots_.size() + used_.slots < capacity_.slots) {
    free_slots_.insert(slot);
  }
  fill_slots();
  retry_or_count(settled, now, actions);
}

void Scheduler::retry_or_count(const Settle& settled, TimePoint now, Actions& actions) {
  const std::uint32_t j = settled.id.job;
  JobQueue& job = jobs_[j];
  const RetryPolicy& policy = job.plan().retry;
  const std::uint32_t retry = settled.id.number - job.earlier_attempts(settled.id.slice);
  Settle verdict = settled;
  if (job.stop == Stop::none && retry <= policy.retries && policy.applies_to(settled.ending)) {
    verdict.retry_in = retry_delay(policy, settled.id, retry);
    AttemptId next = settled.id;
    ++next.number;
    promised_.emplace(next, settled.ending);
    delayed_.emplace(now + *verdict.retry_in, next);
    actions.emplace_back(std::move(verdict));
    return;
  }
  const Outcome outcome = settled.ending.outcome;
  actions.emplace_back(std::move(verdict));
  job.count(settled.ending, settled.id);
  if (outcome == Outcome::succeeded && job.plan().timeout_percent) set_timeouts_of(j);
  if (outcome == Outcome::succeeded) return slice_succeeded(j, settled.id.slice);
  if (outcome == Outcome::cancelled) {
    if (job.stop == Stop::none) slice_failed(j, settled.id.slice, "was cancelled", actions);
    return;
  }
  if (job.plan().is_service && !job.is_being_stopped) return service_died(j, settled.ending, now, actions);
  slice_failed(j, settled.id.slice, "failed", actions);
  if (job.stop == Stop::none && job.plan().max_failed && job.failed() > *job.plan().max_failed) {
    const std::string name = jobs_.size() > 1 ? job.plan().name + ": " : "";
    actions.emplace_back(Halt{j, name + "max_failed: " + std::to_string(job.failed()) +
                                     (job.failed() == 1 ? " slice failed, " : " slices failed, ") +
                                     std::to_string(*job.plan().max_failed) + " allowed"});
    stop_job(j, job.plan().on_halt == OnHalt::drain ? Stop::drain : Stop::terminate, now, actions);
  }
}

/// Only at a Tick, which comes after all that can be heard: one of several ends that are heard late, together, must not
/// make the others look late.
void Scheduler::on_timeouts(TimePoint now, Actions& actions) {
  while (!timeouts_.empty() && timeouts_.begin()->first <= running_time(now)) {
    const AttemptId id = timeouts_.begin()->second;
    end(id, running_.at(id), Outcome::timed_out, false, now, actions);
  }
}

void Scheduler::on_graces(TimePoint now, Actions& actions) {
  while (!graces_.empty() && graces_.begin()->first <= now) {
    const AttemptId id = graces_.begin()->second;
    Running& attempt = running_.at(id);
    end(id, attempt, *attempt.ended_by_us, true, now, actions);
  }
}

/// Asks an attempt to end, or forces it to. The first reason stays.
void Scheduler::end(const AttemptId& id, Running& attempt, Outcome why, bool by_force, TimePoint now,
                    Actions& actions) {
  const bool asked_before = attempt.ended_by_us.has_value();
  if (!asked_before) attempt.ended_by_us = why;
  if (std::exchange(attempt.suspended, false)) --suspended_;  // whatever ends it also continues it
  set_deadline(timeouts_, id, attempt.timeout, std::nullopt);
  if (by_force) {
    set_deadline(graces_, id, attempt.grace, std::nullopt);
    if (!attempt.kill_sent) actions.emplace_back(Kill{id});
    attempt.kill_sent = true;
  } else if (!asked_before) {
    actions.emplace_back(Terminate{id});
    set_deadline(graces_, id, attempt.grace, now + jobs_[id.job].plan().grace);
  }
}

void Scheduler::stop(Stop how, TimePoint now, Actions& actions) {
  if (how <= stop_) return;
  stop_ = how;
  starved_ = false;
  for (std::uint32_t j = 0; j < jobs_.size(); ++j) {
    const JobPlan& plan = jobs_[j].plan();
    Steered answer;
    // What slices need while they end, and what clears up after them, comes last.
    if (how == Stop::kill || !(plan.is_teardown || plan.is_service)) {
      stop_job(j, how, now, actions);
    } else {
      resume_job(j, now, actions, answer);  // it is not held back by a run that was suspended
    }
  }
}

void Scheduler::stop_teardowns(TimePoint now, Actions& actions) {
  for (std::uint32_t j = 0; j < jobs_.size(); ++j) {
    if (jobs_[j].plan().is_teardown) stop_job(j, Stop::terminate, now, actions);
  }
}

void Scheduler::stop_job(std::uint32_t j, Stop how, TimePoint now, Actions& actions) {
  JobQueue& job = jobs_[j];
  if (how <= job.stop) return;
  assert(std::ranges::find(offers_, j, &AttemptId::job) == offers_.end() &&
         "they are recalled before what may stop it");
  if (job.stop == Stop::none) drop_what_waits(j, actions);
  job.stop = how;
  for (auto& [id, attempt] : running_) {
    if (id.job != j) continue;
    if (how == Stop::drain) {
      if (!attempt.started) actions.emplace_back(Withdraw{id});
    } else {
      end(id, attempt, Outcome::cancelled, how == Stop::kill, now, actions);
    }
  }
}

/// Nothing new of this job will be launched: claims are taken back, and promised retries become final failures.
void Scheduler::drop_what_waits(std::uint32_t j, Actions& actions) {
  JobQueue& job = jobs_[j];
  for (const AttemptId& id : job.claims) actions.emplace_back(Unclaim{id});
  job.claims.clear();
  job.durable = 0;
  std::ranges::replace(unacknowledged_, j, kTakenBack);
  std::erase_if(delayed_, [j](const auto& retry) { return retry.second.job == j; });
  for (auto it = promised_.begin(); it != promised_.end();) {
    const auto promised = it++;
    if (promised->first.job == j) abandon(promised, actions);
  }
}

// ---- claims and launches

void Scheduler::launch_ready(Actions& actions) {
  while (JobQueue* job = next_to_launch()) {
    if (!may_pass_offers(*job)) return;  // they are recalled, as a slot is free
    const AttemptId id = job->take_claim();
    occupy(*job);
    launch(id, free_slots_.extract(free_slots_.begin()).value(), actions);
  }
}

/// By one slice of this job.
void Scheduler::occupy(const JobQueue& job) {
  const Resources& need = job.plan().need;
  used_.slots += 1;
  used_.cpus_milli += need.cpus_milli;
  used_.memory += need.memory;
  for (const Use& use : job.plan().uses) limits_left_[use.limit] -= use.amount;
}

/// The first by rank that has a claim and room in its own share. One that does not fit beside what runs holds back
/// those after it, else a big one could wait for ever; one that waits for a limit those that use the same one.
JobQueue* Scheduler::next_to_launch() {
  if (launches_paused_ || record_waits_ || free_slots_.empty()) return nullptr;
  if (ceiling_ && used_.slots - suspended_ >= std::max<std::size_t>(*ceiling_, 1)) return nullptr;
  std::vector<bool> waited_for(limits_left_.size());
  for (const std::uint32_t j : order_) {
    JobQueue& job = jobs_[j];
    const auto& uses = job.plan().uses;
    const bool overtakes = std::ranges::any_of(uses, [&](const Use& use) { return waited_for[use.limit]; });
    if (job.plan().is_service || !has_services_up(job)) continue;
    if (job.durable > 0 && !overtakes && share_left(job) > 0) return fits(job.plan().need) ? &job : nullptr;
    const bool has_its_share = job.plan().n_procs && job.running >= *job.plan().n_procs;
    if (!job.is_waiting() || has_its_share) continue;
    for (const Use& use : uses) waited_for[use.limit] = true;
  }
  return nullptr;
}

/// How many slices of it may be launched besides those that run, by its own n_procs and the limits.
std::size_t Scheduler::share_left(const JobQueue& job) const {
  std::uint32_t share = std::min(job.plan().n_procs.value_or(capacity_.slots), capacity_.slots);
  share -= std::min(share, job.running);
  for (const Use& use : job.plan().uses) share = std::min(share, limits_left_[use.limit] / use.amount);
  return share;
}

void Scheduler::launch(const AttemptId& id, std::uint32_t slot, Actions& actions) {
  count_launch(id, slot, actions);
  actions.emplace_back(Launch{id, slot});
}

void Scheduler::count_launch(const AttemptId& id, std::uint32_t slot, Actions& actions) {
  JobQueue& job = jobs_[id.job];
  ++job.running;
  job.has_begun = true;
  if (job.state() == State::ready) move_job(id.job, State::running, actions);
  running_[id].slot = slot;
  promised_.erase(id);
  ++launches_;
}

/// Keeps the free slots and `window_` more supplied with durable claims, by rank; of one job never more than it may
/// soon launch.
void Scheduler::claim_ahead(TimePoint now, Actions& actions) {
  while (!delayed_.empty() && delayed_.begin()->first <= now) {
    const AttemptId id = delayed_.begin()->second;
    delayed_.erase(delayed_.begin());
    JobQueue& job = jobs_[id.job];
    job.suspended ? job.release(id.slice) : claim(id, now, actions);
  }
  claim_services(now, actions);
  const std::size_t free =
      std::min<std::size_t>(free_slots_.size(), capacity_.slots - std::min(capacity_.slots, used_.slots));
  std::size_t wanted = free + window_;
  for (const std::uint32_t j : order_) {
    JobQueue& job = jobs_[j];
    if (job.plan().is_service || !has_services_up(job)) continue;
    const std::size_t own = std::min(wanted, std::min(share_left(job), free) + window_);
    while (job.claims.size() < own && job.has_next()) claim(number_of(job.take_next()), now, actions);
    wanted -= std::min(wanted, job.claims.size());
    const bool waits = job.durable == 0 && !job.claims.empty() && share_left(job) > 0;
    if (waits && !free_slots_.empty() && fits(job.plan().need)) starved_ = true;
  }
}

void Scheduler::claim(const AttemptId& id, TimePoint now, Actions& actions) {
  if (unacknowledged_.empty()) claimed_since_ = now;
  jobs_[id.job].claims.push_back(id);
  unacknowledged_.push_back(id.job);
  actions.emplace_back(Claim{id});
}

/// Fast slices need many claims ahead of a commit; slow ones none, so that a crash names only what ran. When a slot has
/// starved since the last commit the window doubles (in step); when none has, it shrinks to what is launched in two
/// commits' time, or in kRateSpan where commits are fast.
void Scheduler::on_claimed(std::uint64_t count, TimePoint now) {
  assert(count <= unacknowledged_.size());
  for (; count > 0; --count) {
    const std::uint32_t job = unacknowledged_.front();
    unacknowledged_.pop_front();
    if (job != kTakenBack) ++jobs_[job].durable;
  }
  const Duration latency = now - claimed_since_;
  claimed_since_ = now;
  const Duration span = now - rate_since_;
  std::size_t rate = launches_;
  if (span >= kRateSpan) {
    const double spans = util::seconds(span) / util::seconds(std::max(kRateSpan, 2 * latency));
    rate = static_cast<std::size_t>(static_cast<double>(launches_) / std::max(spans, 1e-9));
    if (!starved_) window_ = std::min(window_, rate);
    launches_ = 0;
    rate_since_ = now;
  }
  if (starved_) window_ = std::min(std::max(window_ * 2, rate), kMaxWindow);
  starved_ = false;
}

/// What is too big for the machine still runs, alone: waiting would be for ever.
bool Scheduler::fits(const Resources& need) const {
  if (used_.slots >= capacity_.slots) return false;
  if (used_.slots == 0) return true;
  return (need.cpus_milli == 0 || used_.cpus_milli + need.cpus_milli <= capacity_.cpus_milli) &&
         (need.memory == 0 || used_.memory + need.memory <= capacity_.memory);
}

void Scheduler::set_deadline(Deadlines& all, const AttemptId& id, std::optional<TimePoint>& mine,
                             std::optional<TimePoint> at) {
  if (mine) all.erase({*mine, id});
  mine = at;
  if (at) all.emplace(*at, id);
}

void Scheduler::conclude(Actions& actions) {
  if (done_) return;
  if (running_.empty() && std::ranges::all_of(jobs_, &JobQueue::is_over)) {
    done_ = true;
    actions.emplace_back(Done{});
    return;
  }
  std::optional<TimePoint> next;
  const auto sooner = [&next](TimePoint at) { next = next ? std::min(*next, at) : at; };
  if (!graces_.empty()) sooner(graces_.begin()->first);
  if (!timeouts_.empty() && !held_since_) sooner(timeouts_.begin()->first + stood_);
  if (!delayed_.empty()) sooner(delayed_.begin()->first);
  if (next && next != wake_) actions.emplace_back(WakeAt{*next});
  wake_ = next;
}

}  // namespace runner::core
