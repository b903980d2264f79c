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

bool JobQueue::is_over() const {
  return plan_.closed || state() == State::completed || state() == State::terminated || state() == State::disabled;
}

bool JobQueue::needs_each_of(std::uint32_t job) const {
  return std::ranges::any_of(plan_.needs,
                             [job](const Need& need) { return need.after == Need::After::each && need.job == job; });
}

bool JobQueue::has_next() const {
  if (stop != Stop::none || (state() != State::ready && state() != State::running)) return false;
  return waits_each_ ? !released_.empty() : interval_ < plan_.todo.intervals().size();
}

AttemptId JobQueue::take_next() {
  assert(has_next());
  AttemptId id{number_, 0, 1};
  if (waits_each_) {
    id.slice = released_.first();
    released_.erase(id.slice);
  } else {
    const auto& [first, last] = plan_.todo.intervals()[interval_];
    id.slice = first + offset_;
    if (id.slice == last) {
      ++interval_;
      offset_ = 0;
    } else {
      ++offset_;
    }
  }
  id.number = earlier_attempts(id.slice) + 1;
  return id;
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

void JobQueue::count(const Ending& final_ending, std::uint64_t slice) {
  assert(left_ > 0);
  --left_;
  const Outcome final_outcome = final_ending.outcome;
  if (final_outcome == Outcome::succeeded) {
    ++successes_;
    if (plan_.timeout_percent) plan_.runtimes.add(final_ending.runtime);
    if (keeps_successes) succeeded_.insert(slice);
  } else if (final_outcome != Outcome::cancelled) {
    ++failed_;
  }
}

void JobQueue::count_disabled(std::uint64_t slice) {
  assert(left_ > 0);
  --left_;
  disabled_.insert(slice);
}

bool JobQueue::has_succeeded(std::uint64_t slice) const {
  return succeeded_.contains(slice) || plan_.succeeded.contains(slice);
}

std::string JobQueue::shortfall() const {
  if (missed() == 0) return {};
  const std::uint64_t other = missed() - failed_;
  if (plan_.todo.count() == 1) return failed_ > 0 ? "it failed" : "it did not run";
  const std::string of_all =
      " of " + util::format_count(plan_.todo.count()) + (plan_.todo.count() == 1 ? " slice" : " slices");
  if (failed_ == 0) return util::format_count(other) + of_all + " did not run";
  return util::format_count(failed_) + of_all + " failed" +
         (other > 0 ? ", " + util::format_count(other) + " did not run" : "");
}

}  // namespace runner::core
