// Sim: plays the run loop for a Scheduler with invented times - acknowledges claims, ends attempts on demand and keeps
// what the scheduler asked for. For unit tests.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <deque>
#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "core/scheduler.hpp"

namespace runner::core {

using namespace std::chrono_literals;

/// Plays the run loop: keeps what the scheduler asked for, acknowledges claims, ends attempts on demand.
class Sim {
 public:
  explicit Sim(std::vector<JobPlan> jobs, Resources capacity, std::vector<std::uint32_t> limits = {})
      : scheduler_(std::move(jobs), capacity, std::move(limits)) {}
  Sim(JobPlan job, std::uint32_t slots) : Sim(std::vector<JobPlan>{std::move(job)}, Resources{slots, 0, 0}) {}

  void start() { feed(Start{}); }
  void feed(const Input& input) {
    if (scheduler_.wants_recall_before(input)) recall();
    Actions actions;
    scheduler_.step(input, now, actions);
    for (const auto& action : actions) take(action);
  }
  void acknowledge() {
    const std::uint64_t n = std::exchange(unacknowledged, 0);
    if (n > 0) feed(Claimed{n});
  }
  /// Acknowledges until nothing is asked for any more.
  void settle() {
    while (unacknowledged > 0) acknowledge();
  }
  void begin() {
    start();
    settle();
  }
  void end(AttemptId id, Outcome outcome, int exit_code = 0) {
    REQUIRE(running.erase(id) == 1);
    suspended.erase(id);
    Ending ending;
    ending.outcome = outcome;
    ending.exit_code = exit_code;
    feed(Finished{id, ending});
    settle();
  }
  void end_slice(std::uint64_t slice, Outcome outcome, int exit_code = 0) {
    end(attempt_of(slice), outcome, exit_code);
  }
  void advance(util::Duration d) {
    now += d;
    feed(Tick{});
    settle();
  }
  /// So many rounds in which everything that runs takes 1 ms and succeeds; acknowledges nothing.
  void run_slices_of_a_millisecond(int rounds) {
    for (int round = 0; round < rounds; ++round) {
      now += 1ms;
      const auto ending = running;
      for (const auto& [id, slot] : ending) {
        running.erase(id);
        feed(Finished{id, {}});
      }
    }
  }
  /// As end(), in a lane: the first that was offered has been launched in its place.
  AttemptId end_and_follow(AttemptId id) {
    REQUIRE(running.erase(id) == 1);
    REQUIRE_FALSE(offered.empty());
    const AttemptId next = offered.front();
    offered.pop_front();
    feed(Finished{id, {}, next});
    return next;
  }
  void recall() {
    offered.clear();
    feed(Recalled{});
  }
  Scheduler& scheduler() { return scheduler_; }
  AttemptId attempt_of(std::uint64_t slice) const {
    for (const auto& [id, slot] : running) {
      if (id.slice == slice) return id;
    }
    FAIL("slice " << slice << " does not run");
    return {};
  }
  std::set<std::uint64_t> running_slices() const {
    std::set<std::uint64_t> slices;
    for (const auto& [id, slot] : running) slices.insert(id.slice);
    return slices;
  }

  util::TimePoint now{1000s};
  std::map<AttemptId, std::uint32_t> running;
  std::vector<AttemptId> claimed, unclaimed, launched, terminated, killed, withdrawn;
  std::deque<AttemptId> offered;  ///< and neither launched nor recalled
  std::vector<Settle> settled;
  std::vector<Abandon> abandoned;
  std::vector<std::string> halts;
  std::vector<MoveJob> moves;
  std::vector<DisableSlice> disabled;
  std::vector<EnableSlice> enabled;
  std::set<AttemptId> suspended;  ///< of those that run
  std::vector<State> run_moves;
  Steered answer;  ///< the last
  std::optional<util::TimePoint> wake;
  std::uint64_t unacknowledged = 0;
  int done = 0;
  bool starts_at_once = true;  ///< else the test says when

 private:
  void take(const Action& action) {
    if (const auto* claim = std::get_if<Claim>(&action)) {
      claimed.push_back(claim->id);
      ++unacknowledged;
    } else if (const auto* unclaim = std::get_if<Unclaim>(&action)) {
      unclaimed.push_back(unclaim->id);
    } else if (const auto* launch = std::get_if<Launch>(&action)) {
      launched.push_back(launch->id);
      for (const auto& [id, slot] : running) REQUIRE(slot != launch->slot);
      running.emplace(launch->id, launch->slot);
      starting_.push_back(launch->id);
    } else if (const auto* offer = std::get_if<Offer>(&action)) {
      offered.push_back(offer->id);
    } else if (const auto* follow = std::get_if<Follow>(&action)) {
      for (const auto& [id, slot] : running) REQUIRE(slot != follow->slot);
      running.emplace(follow->id, follow->slot);
      starting_.push_back(follow->id);
    } else if (const auto* terminate = std::get_if<Terminate>(&action)) {
      terminated.push_back(terminate->id);
      suspended.erase(terminate->id);  // it is continued with that
    } else if (const auto* kill = std::get_if<Kill>(&action)) {
      killed.push_back(kill->id);
      suspended.erase(kill->id);
    } else if (const auto* withdraw = std::get_if<Withdraw>(&action)) {
      withdrawn.push_back(withdraw->id);
    } else if (const auto* settle = std::get_if<Settle>(&action)) {
      settled.push_back(*settle);
    } else if (const auto* abandon = std::get_if<Abandon>(&action)) {
      abandoned.push_back(*abandon);
    } else if (const auto* halt = std::get_if<Halt>(&action)) {
      halts.push_back(halt->reason);
    } else if (const auto* moved = std::get_if<MoveJob>(&action)) {
      moves.push_back(*moved);
    } else if (const auto* slice = std::get_if<DisableSlice>(&action)) {
      disabled.push_back(*slice);
    } else if (const auto* enabled_slice = std::get_if<EnableSlice>(&action)) {
      enabled.push_back(*enabled_slice);
    } else if (const auto* stop = std::get_if<Suspend>(&action)) {
      REQUIRE(running.contains(stop->id));
      REQUIRE(suspended.insert(stop->id).second);
    } else if (const auto* go_on = std::get_if<Continue>(&action)) {
      REQUIRE(suspended.erase(go_on->id) == 1);
    } else if (const auto* run = std::get_if<MoveRun>(&action)) {
      run_moves.push_back(run->state);
    } else if (const auto* answered = std::get_if<Steered>(&action)) {
      answer = *answered;
    } else if (const auto* wish = std::get_if<WakeAt>(&action)) {
      wake = wish->at;
    } else {
      REQUIRE(std::holds_alternative<Done>(action));
      ++done;
    }
    for (const AttemptId& id : std::exchange(starting_, {})) {
      if (starts_at_once) feed(Started{id});
    }
  }

  Scheduler scheduler_;
  std::vector<AttemptId> starting_;
};

inline JobPlan plan(std::uint64_t slices) {
  JobPlan job;
  job.todo = IntervalSet::first_n(slices);
  job.retry.retries = 0;
  return job;
}

inline JobPlan job(const std::string& name, std::uint64_t slices, std::vector<Need> needs = {}) {
  JobPlan made = plan(slices);
  made.name = name;
  made.needs = std::move(needs);
  return made;
}

constexpr Need after(std::uint32_t j) {
  return {.job = j, .after = Need::After::completed};
}
constexpr Need after_each(std::uint32_t j) {
  return {.job = j, .after = Need::After::each};
}

inline Ending ending_with(Outcome outcome, int exit_code) {
  Ending ending;
  ending.outcome = outcome;
  ending.exit_code = exit_code;
  return ending;
}

}  // namespace runner::core
