// The scheduler's rules with invented times: no process, no clock, no disk.
#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>
#include <vector>

#include "core/scheduler.hpp"

using namespace runner;
using namespace runner::core;
using namespace std::chrono_literals;

namespace {

/// Plays the run loop: keeps what the scheduler asked for, acknowledges claims, ends attempts on demand.
class Sim {
 public:
  explicit Sim(std::vector<JobPlan> jobs, Resources capacity) : scheduler_(std::move(jobs), capacity) {}
  Sim(JobPlan job, std::uint32_t slots) : Sim(std::vector<JobPlan>{std::move(job)}, Resources{slots, 0, 0}) {}

  void start() { feed(Start{}); }
  void feed(const Input& input) {
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
  std::vector<AttemptId> claimed, unclaimed, launched, terminated, killed;
  std::vector<Settle> settled;
  std::vector<Abandon> abandoned;
  std::vector<std::string> halts;
  std::optional<util::TimePoint> wake;
  std::uint64_t unacknowledged = 0;
  int done = 0;

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
    } else if (const auto* terminate = std::get_if<Terminate>(&action)) {
      terminated.push_back(terminate->id);
    } else if (const auto* kill = std::get_if<Kill>(&action)) {
      killed.push_back(kill->id);
    } else if (const auto* settle = std::get_if<Settle>(&action)) {
      settled.push_back(*settle);
    } else if (const auto* abandon = std::get_if<Abandon>(&action)) {
      abandoned.push_back(*abandon);
    } else if (const auto* halt = std::get_if<Halt>(&action)) {
      halts.push_back(halt->reason);
    } else if (const auto* wish = std::get_if<WakeAt>(&action)) {
      wake = wish->at;
    } else {
      ++done;
    }
    for (const AttemptId& id : std::exchange(starting_, {})) feed(Started{id});
  }

  Scheduler scheduler_;
  std::vector<AttemptId> starting_;
};

JobPlan plan(std::uint64_t slices) {
  JobPlan job;
  job.todo = IntervalSet::first_n(slices);
  job.retry.retries = 0;
  return job;
}

Ending ending_with(Outcome outcome, int exit_code) {
  Ending ending;
  ending.outcome = outcome;
  ending.exit_code = exit_code;
  return ending;
}

}  // namespace

TEST_CASE("nothing is launched before its claim is durable") {
  Sim sim(plan(5), 2);
  sim.start();
  CHECK(sim.claimed.size() >= 2);
  CHECK(sim.launched.empty());
  sim.feed(Claimed{1});
  CHECK(sim.launched.size() == 1);
  sim.feed(Claimed{1});
  CHECK(sim.launched.size() == 2);
}

TEST_CASE("at most n_procs run, a new one starts whenever one ends, each in the freed slot") {
  Sim sim(plan(5), 2);
  sim.begin();
  CHECK(sim.running_slices() == std::set<std::uint64_t>{0, 1});
  CHECK(sim.running.at(sim.attempt_of(1)) == 1);
  sim.end_slice(0, Outcome::succeeded);
  CHECK(sim.running_slices() == std::set<std::uint64_t>{1, 2});
  CHECK(sim.running.at(sim.attempt_of(2)) == 0);
  sim.end_slice(1, Outcome::succeeded);
  sim.end_slice(2, Outcome::succeeded);
  CHECK(sim.running_slices() == std::set<std::uint64_t>{3, 4});
  CHECK(sim.done == 0);
  sim.end_slice(4, Outcome::succeeded);
  sim.end_slice(3, Outcome::succeeded);
  CHECK(sim.done == 1);
  CHECK(sim.settled.size() == 5);
}

TEST_CASE("no slices at all is done at once") {
  Sim sim(plan(0), 2);
  sim.begin();
  CHECK(sim.done == 1);
  CHECK(sim.claimed.empty());
}

TEST_CASE("only what is to do is run, in order") {
  JobPlan job = plan(0);
  for (const std::uint64_t slice : {3U, 7U, 8U, 9U}) job.todo.insert(slice);
  Sim sim(job, 1);
  sim.begin();
  for (const std::uint64_t slice : {3U, 7U, 8U, 9U}) sim.end_slice(slice, Outcome::succeeded);
  CHECK(sim.done == 1);
}

TEST_CASE("attempts are numbered on over resumes, and a resume grants its retries anew") {
  JobPlan job = plan(1);
  job.attempted[0] = 4;
  job.retry.retries = 1;
  job.retry.delay = 0s;
  Sim sim(job, 1);
  sim.begin();
  CHECK(sim.attempt_of(0).number == 5);
  sim.end_slice(0, Outcome::failed, 1);
  CHECK(sim.attempt_of(0).number == 6);
  sim.end_slice(0, Outcome::failed, 1);
  CHECK(sim.done == 1);
}

TEST_CASE("a failed slice is retried after a delay that doubles and stays below its maximum") {
  JobPlan job = plan(1);
  job.retry.retries = 4;
  job.retry.delay = 4s;
  job.retry.delay_max = 12s;
  Sim sim(job, 1);
  sim.begin();
  double expected = 4;
  for (std::uint32_t attempt = 1; attempt <= 4; ++attempt) {
    CHECK(sim.attempt_of(0).number == attempt);
    sim.end_slice(0, Outcome::failed, 1);
    REQUIRE(sim.settled.back().retry_in);
    const double delay = util::seconds(*sim.settled.back().retry_in);
    CHECK(delay >= std::min(12.0, expected * 0.75));
    CHECK(delay <= std::min(12.0, expected * 1.25));
    CHECK(sim.running.empty());
    REQUIRE(sim.wake == sim.now + *sim.settled.back().retry_in);
    sim.advance(*sim.settled.back().retry_in - 1ns);
    CHECK(sim.running.empty());
    sim.advance(1ns);
    expected *= 2;
  }
  sim.end_slice(0, Outcome::failed, 1);
  CHECK_FALSE(sim.settled.back().retry_in);
  CHECK(sim.done == 1);
}

TEST_CASE("what waits for its retry leaves its slot to others") {
  JobPlan job = plan(2);
  job.retry.retries = 1;
  Sim sim(job, 1);
  sim.begin();
  sim.end_slice(0, Outcome::failed, 1);
  CHECK(sim.running_slices() == std::set<std::uint64_t>{1});
  sim.end_slice(1, Outcome::succeeded);
  CHECK(sim.done == 0);
  sim.advance(10s);
  CHECK(sim.running_slices() == std::set<std::uint64_t>{0});
}

TEST_CASE("only outcomes in retry_on are retried, and only the exit codes named there") {
  for (const Outcome outcome : kOutcomes) {
    JobPlan job = plan(1);
    job.retry.retries = 1;
    job.retry.outcomes = {Outcome::killed, Outcome::timed_out};
    Sim sim(job, 1);
    sim.begin();
    sim.end_slice(0, outcome);
    CHECK(sim.settled.back().retry_in.has_value() == (outcome == Outcome::killed || outcome == Outcome::timed_out));
  }
  for (const int code : {75, 1}) {
    JobPlan job = plan(1);
    job.retry.retries = 1;
    job.retry.exit_codes = {75, 99};
    Sim sim(job, 1);
    sim.begin();
    sim.end_slice(0, Outcome::failed, code);
    CHECK(sim.settled.back().retry_in.has_value() == (code == 75));
  }
}

TEST_CASE("a slice beyond its timeout is terminated, killed after the grace, and has timed_out") {
  JobPlan job = plan(1);
  job.timeout = 60s;
  job.grace = 10s;
  Sim sim(job, 1);
  sim.begin();
  CHECK(sim.wake == sim.now + 60s);
  sim.advance(60s - 1ns);
  CHECK(sim.terminated.empty());
  sim.advance(1ns);
  CHECK(sim.terminated.size() == 1);
  CHECK(sim.killed.empty());
  CHECK(sim.wake == sim.now + 10s);
  sim.advance(10s);
  CHECK(sim.killed.size() == 1);
  sim.advance(100s);
  CHECK(sim.killed.size() == 1);
  sim.end_slice(0, Outcome::killed);
  CHECK(sim.settled.back().ending.outcome == Outcome::timed_out);
  CHECK(sim.done == 1);
}

TEST_CASE("a slice that answers TERM with exit 0 after its timeout has timed out all the same") {
  JobPlan job = plan(1);
  job.timeout = 60s;
  Sim sim(job, 1);
  sim.begin();
  sim.advance(60s);
  sim.end_slice(0, Outcome::succeeded);
  CHECK(sim.settled.back().ending.outcome == Outcome::timed_out);
  CHECK(sim.killed.empty());
}

TEST_CASE("with no grace the kill follows at once") {
  JobPlan job = plan(1);
  job.timeout = 1s;
  job.grace = 0s;
  Sim sim(job, 1);
  sim.begin();
  sim.advance(1s);
  CHECK(sim.terminated.size() == 1);
  CHECK(sim.killed.size() == 1);
}

TEST_CASE("a tick that comes early asks to be woken again") {
  JobPlan job = plan(1);
  job.timeout = 60s;
  Sim sim(job, 1);
  sim.begin();
  sim.wake.reset();
  sim.advance(59s);
  CHECK(sim.wake == sim.now + 1s);
}

TEST_CASE("draining lets running slices end, starts none and takes claims back") {
  Sim sim(plan(100), 2);
  sim.begin();
  sim.end_slice(0, Outcome::succeeded);
  sim.end_slice(1, Outcome::succeeded);
  const auto ahead = sim.claimed.size() - sim.launched.size();
  REQUIRE(ahead > 0);
  sim.feed(Control::drain);
  CHECK(sim.unclaimed.size() == ahead);
  CHECK(sim.terminated.empty());
  sim.end_slice(2, Outcome::succeeded);
  CHECK(sim.launched.size() == 4);
  CHECK(sim.done == 0);
  sim.end_slice(3, Outcome::succeeded);
  CHECK(sim.done == 1);
  CHECK(sim.settled.back().ending.outcome == Outcome::succeeded);
}

TEST_CASE("slow slices are claimed only as slots are free") {
  Sim sim(plan(100), 2);
  sim.begin();
  CHECK(sim.claimed.size() == 2);
  for (const std::uint64_t slice : {0U, 1U, 2U, 3U}) {
    sim.now += 10s;
    sim.end_slice(slice, Outcome::succeeded);
    CHECK(sim.running.size() == 2);
    CHECK(sim.claimed.size() == sim.launched.size());
  }
}

TEST_CASE("an acknowledgement that comes after the claims were taken back launches nothing") {
  Sim sim(plan(100), 2);
  sim.start();
  const auto asked = sim.unacknowledged;
  sim.feed(Control::drain);
  CHECK(sim.done == 1);
  sim.feed(Claimed{asked});
  CHECK(sim.launched.empty());
  CHECK(sim.unclaimed.size() == asked);
}

TEST_CASE("terminate asks every running slice to end, kills after the grace, and they are cancelled") {
  JobPlan job = plan(3);
  job.grace = 5s;
  job.retry.retries = 3;
  Sim sim(job, 2);
  sim.begin();
  sim.feed(Control::terminate);
  CHECK(sim.terminated.size() == 2);
  sim.end_slice(0, Outcome::killed);
  CHECK(sim.settled.back().ending.outcome == Outcome::cancelled);
  CHECK_FALSE(sim.settled.back().retry_in);
  sim.advance(5s);
  REQUIRE(sim.killed.size() == 1);
  CHECK(sim.killed[0].slice == 1);
  sim.end_slice(1, Outcome::killed);
  CHECK(sim.done == 1);
}

TEST_CASE("drain, then terminate, then kill: each step goes further, never back") {
  Sim sim(plan(10), 2);
  sim.begin();
  sim.feed(Control::drain);
  CHECK(sim.terminated.empty());
  sim.feed(Control::terminate);
  CHECK(sim.terminated.size() == 2);
  sim.feed(Control::drain);
  sim.feed(Control::terminate);
  CHECK(sim.terminated.size() == 2);
  sim.feed(Control::kill);
  CHECK(sim.killed.size() == 2);
  sim.feed(Control::kill);
  CHECK(sim.killed.size() == 2);
}

TEST_CASE("a slice that has timed out already stays timed_out when the run is cancelled") {
  JobPlan job = plan(1);
  job.timeout = 1s;
  Sim sim(job, 1);
  sim.begin();
  sim.advance(1s);
  sim.feed(Control::terminate);
  CHECK(sim.terminated.size() == 1);
  sim.feed(Control::kill);
  CHECK(sim.killed.size() == 1);
  sim.end_slice(0, Outcome::killed);
  CHECK(sim.settled.back().ending.outcome == Outcome::timed_out);
}

TEST_CASE("more failures than max_failed halt the job: drain lets the others end") {
  JobPlan job = plan(100);
  job.max_failed = 2;
  Sim sim(job, 4);
  sim.begin();
  sim.end_slice(0, Outcome::failed, 1);
  sim.end_slice(1, Outcome::killed);
  CHECK(sim.halts.empty());
  const auto launched = sim.launched.size();
  sim.end_slice(2, Outcome::failed, 1);
  REQUIRE(sim.halts.size() == 1);
  CHECK(sim.halts[0] == "max_failed: 3 slices failed, 2 allowed");
  CHECK(sim.launched.size() == launched);
  CHECK(sim.terminated.empty());
  while (!sim.running.empty()) sim.end(sim.running.begin()->first, Outcome::failed, 1);
  CHECK(sim.halts.size() == 1);
  CHECK(sim.done == 1);
}

TEST_CASE("on_halt: kill terminates what runs when max_failed is passed") {
  JobPlan job = plan(100);
  job.max_failed = 0;
  job.on_halt = OnHalt::kill;
  Sim sim(job, 3);
  sim.begin();
  sim.end_slice(1, Outcome::not_started);
  CHECK(sim.halts.size() == 1);
  CHECK(sim.terminated.size() == 2);
}

TEST_CASE("a failure that is retried does not count towards max_failed") {
  JobPlan job = plan(10);
  job.max_failed = 0;
  job.retry.retries = 1;
  Sim sim(job, 1);
  sim.begin();
  sim.end_slice(0, Outcome::failed, 1);
  CHECK(sim.halts.empty());
}

TEST_CASE("stopping turns promised retries into final failures, said once each") {
  JobPlan job = plan(3);
  job.retry.retries = 2;
  Sim sim(job, 3);
  sim.begin();
  sim.end_slice(0, Outcome::failed, 7);
  sim.end_slice(1, Outcome::failed, 8);
  sim.feed(Control::drain);
  REQUIRE(sim.abandoned.size() == 2);
  CHECK(sim.abandoned[0].id == AttemptId{0, 0, 1});
  CHECK(sim.abandoned[0].ending.exit_code == 7);
  sim.end_slice(2, Outcome::failed, 9);
  CHECK_FALSE(sim.settled.back().retry_in);
  CHECK(sim.done == 1);
}

TEST_CASE("a retry that is claimed but not launched when the run stops is abandoned too") {
  JobPlan job = plan(2);
  job.retry.retries = 1;
  job.retry.delay = 0s;
  Sim sim(job, 2);
  sim.begin();
  sim.running.erase(sim.attempt_of(0));
  sim.feed(Finished{{0, 0, 1}, ending_with(Outcome::failed, 1)});
  CHECK(sim.claimed.back() == AttemptId{0, 0, 2});
  sim.feed(Control::drain);
  CHECK(sim.unclaimed == std::vector{AttemptId{0, 0, 2}});
  CHECK(sim.abandoned.size() == 1);
}

TEST_CASE("declared CPUs and memory keep slices back although slots are free") {
  JobPlan job = plan(10);
  job.need = {.slots = 1, .cpus_milli = 1500, .memory = 3};
  SUBCASE("cpus") {
    Sim sim({job}, {.slots = 8, .cpus_milli = 4000, .memory = 100});
    sim.begin();
    CHECK(sim.running.size() == 2);
    sim.end_slice(0, Outcome::succeeded);
    CHECK(sim.running.size() == 2);
  }
  SUBCASE("memory") {
    Sim sim({job}, {.slots = 8, .cpus_milli = 100000, .memory = 10});
    sim.begin();
    CHECK(sim.running.size() == 3);
  }
  SUBCASE("what is larger than the machine runs alone") {
    Sim sim({job}, {.slots = 8, .cpus_milli = 1000, .memory = 1});
    sim.begin();
    CHECK(sim.running.size() == 1);
    sim.end_slice(0, Outcome::succeeded);
    CHECK(sim.running.size() == 1);
  }
}

TEST_CASE("fast slices are claimed further ahead, slow ones leave few claims behind") {
  Sim sim(plan(1'000'000), 4);
  sim.start();
  // 20 ms from claim to acknowledgement, 1 ms a slice: 80 slices run in between.
  std::size_t most_ahead = 0;
  for (int commit = 0; commit < 100; ++commit) {
    for (int ms = 0; ms < 20; ++ms) {
      sim.now += 1ms;
      const auto running = sim.running;
      for (const auto& [id, slot] : running) {
        sim.running.erase(id);
        sim.feed(Finished{id, {}});
      }
    }
    sim.acknowledge();
    most_ahead = std::max(most_ahead, sim.claimed.size() - sim.launched.size());
  }
  CHECK(sim.launched.size() > 100 * 20 * 4 * 8 / 10);  // hardly ever starved
  CHECK(most_ahead < 2000);
  // Then they take 10 s each.
  for (int i = 0; i < 600; ++i) {
    sim.now += 10s;
    sim.settle();
    sim.end(sim.running.begin()->first, Outcome::succeeded);
  }
  CHECK(sim.claimed.size() == sim.launched.size());
}

TEST_CASE("whatever happens in whatever order, every slice ends exactly once or was never started") {
  for (unsigned seed = 0; seed < 300; ++seed) {
    std::mt19937 random(seed);
    const auto pick = [&](unsigned n) { return static_cast<unsigned>(random() % n); };
    JobPlan job = plan(40);
    job.retry.retries = pick(3);
    job.retry.delay = std::chrono::seconds(pick(3));
    if (pick(2) == 0) job.timeout = 5s;
    if (pick(3) == 0) job.max_failed = pick(10);
    if (pick(2) == 0) job.on_halt = OnHalt::kill;
    Sim sim(job, 1 + pick(6));
    sim.start();
    for (int step = 0; step < 2000 && sim.done == 0; ++step) {
      switch (pick(8)) {
        case 0:
        case 1:
          sim.acknowledge();
          break;
        case 2:
          sim.now += std::chrono::milliseconds(pick(4000));
          sim.feed(Tick{});
          break;
        case 3:
          if (pick(60) == 0) sim.feed(static_cast<Control>(pick(3)));
          break;
        default:
          if (!sim.running.empty()) {
            const auto it = std::next(sim.running.begin(), pick(static_cast<unsigned>(sim.running.size())));
            const AttemptId id = it->first;
            sim.running.erase(it);
            sim.feed(Finished{id, ending_with(static_cast<Outcome>(pick(7)), 1)});
          }
      }
    }
    CAPTURE(seed);
    REQUIRE(sim.done == 1);
    CHECK(sim.running.empty());
    std::map<std::uint64_t, int> finals;
    for (const auto& settle : sim.settled) finals[settle.id.slice] += settle.retry_in ? 0 : 1;
    for (const auto& abandon : sim.abandoned) ++finals[abandon.id.slice];
    std::set<AttemptId> launched(sim.launched.begin(), sim.launched.end());
    CHECK(launched.size() == sim.launched.size());
    for (const auto& id : sim.launched) CHECK(finals[id.slice] == 1);
    // Every claim was launched or taken back, and none both.
    CHECK(sim.claimed.size() == sim.launched.size() + sim.unclaimed.size());
    for (const auto& id : sim.unclaimed) CHECK_FALSE(launched.contains(id));
  }
}
