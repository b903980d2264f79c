// The part of the scheduler that offers slices ahead of the ends that make room for them.
#include <algorithm>
#include <cassert>
#include <chrono>

#include "core/scheduler.hpp"

namespace runner::core {

namespace {

/// The window holds the launches of some 250 ms; offers are for those of some 8 ms, in which the loop comes round.
constexpr std::size_t kWindowPerOffer = 8;
constexpr std::size_t kMaxOffersPerSlot = 32;
/// So many ends in a row: after a failure, or a slice that was not short, everything is decided when it is due for a
/// while.
constexpr std::size_t kSuccesses = 16;
constexpr auto kShort = std::chrono::milliseconds(20);

/// Nothing but a free slot is needed to launch a slice of it.
bool needs_a_slot_only(const JobPlan& plan) {
  return plan.may_follow && !plan.n_procs && plan.uses.empty() && plan.need.cpus_milli == 0 && plan.need.memory == 0;
}

}  // namespace

void Scheduler::note_end(const Ending& judged) {
  const bool is_good = judged.outcome == Outcome::succeeded && judged.runtime <= kShort;
  short_successes_in_a_row_ = is_good ? short_successes_in_a_row_ + 1 : 0;
}

/// None where slices take longer than the loop does: then everything is decided when it is due, as ever.
void Scheduler::offer_ahead(Actions& actions) {
  const std::size_t wanted = std::min(window_ / kWindowPerOffer, kMaxOffersPerSlot * capacity_.slots);
  if (!offers_allowed_ || wanted < std::size_t{4} * capacity_.slots || offers_.size() > wanted / 2 + capacity_.slots)
    return;
  const bool is_full = free_slots_.empty() && used_.slots == capacity_.slots;
  if (short_successes_in_a_row_ < kSuccesses || !is_full || ceiling_ || record_waits_ || held_since_ || suspended_ > 0)
    return;
  const bool is_scaled_down = std::ranges::any_of(running_, [&](const auto& one) {
    return one.second.slot >= capacity_.slots && !jobs_[one.first.job].plan().is_service;
  });
  if (is_scaled_down) return;  // what follows would keep a slot that there is no longer
  for (const std::uint32_t j : order_) {
    JobQueue& job = jobs_[j];
    if (job.plan().is_service || !has_services_up(job) || !job.is_waiting()) continue;
    if (!needs_a_slot_only(job.plan())) return;  // it goes first
    for (; job.durable > 0 && offers_.size() < wanted; actions.emplace_back(Offer{offers_.back()}))
      offers_.push_back(job.take_claim());
    return;
  }
}

void Scheduler::follow(const AttemptId& id, std::uint32_t slot, Actions& actions) {
  const auto offer = std::ranges::find(offers_, id);
  assert(offer != offers_.end());
  offers_.erase(offer);
  launched_past_offers_ = 0;
  occupy(jobs_[id.job]);
  count_launch(id, slot, actions);
  actions.emplace_back(Follow{id, slot});
}

/// False: what was offered is to be taken back before `job` has its turn; counts those that pass it. A few of the same
/// job may, by which slots find their way into lanes; if none of those is followed, slices are not short any more.
bool Scheduler::may_pass_offers(const JobQueue& job) {
  if (offers_.empty()) return true;
  if (&job != &jobs_[offers_.front().job] || launched_past_offers_ >= std::size_t{2} * capacity_.slots) return false;
  ++launched_past_offers_;
  return true;
}

bool Scheduler::wants_recall() const {
  return !offers_.empty() && (offers_are_late_ || !free_slots_.empty() || used_.slots < capacity_.slots);
}

bool Scheduler::wants_recall_before(const Input& input) const {
  if (offers_.empty() || std::holds_alternative<Claimed>(input) || std::holds_alternative<Started>(input) ||
      std::holds_alternative<Recalled>(input))
    return false;
  const auto* finished = std::get_if<Finished>(&input);
  if (finished == nullptr || finished->ending.outcome != Outcome::succeeded) return true;
  const auto running = running_.find(finished->id);
  assert(running != running_.end());
  if (running->second.ended_by_us) return true;  // it will be judged as that
  return !jobs_[finished->id.job].plan().may_follow;
}

void Scheduler::on_recalled() {
  for (auto id = offers_.rbegin(); id != offers_.rend(); ++id) {
    JobQueue& job = jobs_[id->job];
    assert(job.stop == Stop::none);
    job.claims.push_front(*id);
    ++job.durable;
  }
  offers_.clear();
  offers_are_late_ = false;
  launched_past_offers_ = 0;
}

}  // namespace runner::core
