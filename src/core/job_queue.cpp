#include "core/job_queue.hpp"

#include <algorithm>
#include <cassert>
#include <utility>

#include "util/text.hpp"

namespace runner::core {

JobQueue::JobQueue(std::uint32_t number, JobPlan plan)
    : number_(number),
      plan_(std::move(plan)),
      waits_each_(std::ranges::any_of(plan_.needs, [](const Need& need) { return need.after == Need::After::each; })),
      left_(plan_.todo.count()) {
  has_begun = plan_.has_begun;
}

bool JobQueue::needs_each_of(std::uint32_t job) const {
  return std::ranges::any_of(plan_.needs,
                             [job](const Need& need) { return need.after == Need::After::each && need.job == job; });
}

bool JobQueue::has_next() const {
  if (stop != Stop::none || suspended || awaits_needs) return false;
  if (state() != State::ready && state() != State::running) return false;
  return !released_.empty() || (!waits_each_ && !is_at_end());
}

AttemptId JobQueue::take_next() {
  assert(has_next());
  AttemptId id{number_, 0, 1};
  if (!released_.empty()) {
    id.slice = released_.first();
    released_.erase(id.slice);
  } else {
    id.slice = at_cursor();
    advance();
    pass_blocked();
  }
  id.number = earlier_attempts(id.slice) + 1;
  return id;
}

AttemptId JobQueue::take_claim() {
  assert(durable > 0);
  const AttemptId id = claims.front();
  claims.pop_front();
  --durable;
  return id;
}

void JobQueue::advance() {
  if (at_cursor() == plan_.todo.intervals()[interval_].last) {
    ++interval_;
    offset_ = 0;
  } else {
    ++offset_;
  }
}

/// The slice at the cursor is always one that may be taken.
void JobQueue::pass_blocked() {
  if (waits_each_) return;
  for (; !is_at_end() && is_blocked(at_cursor()); advance()) skipped_.insert(at_cursor());
}

bool JobQueue::is_to_be_taken(std::uint64_t slice) const {
  if (!has(slice) || is_disabled(slice)) return false;
  if (released_.contains(slice) || skipped_.contains(slice)) return true;
  return !waits_each_ && !is_at_end() && slice >= at_cursor();
}

void JobQueue::block(std::uint64_t slice) {
  if (released_.erase(slice)) skipped_.insert(slice);
  pass_blocked();
}

void JobQueue::hold(std::uint64_t slice) {
  held_.insert(slice);
  block(slice);
}

void JobQueue::disable(std::uint64_t slice, bool by_user) {
  assert(left_ > 0 && !is_disabled(slice));
  --left_;
  disabled_.insert(slice);
  if (by_user) disabled_by_user_.insert(slice);
  held_.erase(slice);
  block(slice);
}

void JobQueue::forget(std::uint64_t slice) {
  released_.erase(slice);
  skipped_.erase(slice);
  held_.erase(slice);
}

bool JobQueue::unblock(std::uint64_t slice) {
  held_.erase(slice);
  disabled_by_user_.erase(slice);
  if (disabled_.erase(slice)) ++left_;
  if (!skipped_.erase(slice)) return false;
  released_.insert(slice);
  return true;
}

std::uint32_t JobQueue::earlier_attempts(std::uint64_t slice) const {
  const auto it = plan_.attempted.find(slice);
  return it == plan_.attempted.end() ? 0 : it->second;
}

std::optional<util::Duration> JobQueue::timeout() const {
  if (!plan_.timeout_percent) return plan_.timeout;
  const auto median = plan_.runtimes.value();
  if (!median) return std::nullopt;
  constexpr auto kLeast = std::chrono::seconds(1);  // the median of quick slices is noise
  return std::max<util::Duration>(kLeast, util::from_seconds(util::seconds(*median) * *plan_.timeout_percent / 100));
}

void JobQueue::count(const Ending& final_ending, const AttemptId& last) {
  assert(left_ > 0);
  --left_;
  const Outcome final_outcome = final_ending.outcome;
  if (final_outcome == Outcome::succeeded) {
    ++successes_;
    if (plan_.timeout_percent) plan_.runtimes.add(final_ending.runtime);
    if (keeps_successes) succeeded_.insert(last.slice);
    return;
  }
  if (final_outcome == Outcome::cancelled) {
    cancelled_.insert(last.slice);
  } else {
    failed_slices_.insert(last.slice);
  }
  // So that the last attempt is known: a retry that is asked for begins after it.
  if (last.number != earlier_attempts(last.slice) + 1) plan_.attempted[last.slice] = last.number - 1;
}

IntervalSet JobQueue::failed_slices() const {
  IntervalSet all = failed_slices_.intervals();
  all.insert(cancelled_.intervals());
  return all;
}

void JobQueue::revive(std::uint64_t slice) {
  assert(has_failed(slice));
  ++left_;
  failed_slices_.erase(slice);
  cancelled_.erase(slice);
  plan_.attempted[slice] = earlier_attempts(slice) + 1;
  released_.insert(slice);
}

bool JobQueue::has_succeeded(std::uint64_t slice) const {
  return succeeded_.contains(slice) || plan_.succeeded.contains(slice);
}

std::string JobQueue::shortfall() const {
  if (missed() == 0) return {};
  const std::uint64_t other = missed() - failed();
  const std::uint64_t all = plan_.todo.count() + plan_.succeeded.count();
  if (all == 1) return failed() > 0 ? "it failed" : "it did not run";
  const std::string of_all = " of " + util::format_count(all) + " slices";
  if (failed() == 0) return util::format_count(other) + of_all + " did not run";
  return util::format_count(failed()) + of_all + " failed" +
         (other > 0 ? ", " + util::format_count(other) + " did not run" : "");
}

}  // namespace runner::core
