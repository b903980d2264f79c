// Several jobs: what needs what, shares and ranks, and how jobs end, with invented times.
#include <doctest/doctest.h>

#include "fakes/scheduler_sim.hpp"

using namespace runner;
using namespace runner::core;
using namespace std::chrono_literals;

namespace {

std::set<std::uint64_t> running_of(const Sim& sim, std::uint32_t job) {
  std::set<std::uint64_t> slices;
  for (const auto& [id, slot] : sim.running) {
    if (id.job == job) slices.insert(id.slice);
  }
  return slices;
}

void end(Sim& sim, std::uint32_t job, std::uint64_t slice, Outcome outcome = Outcome::succeeded) {
  sim.end({job, slice, 1}, outcome);
}

/// The states a job went through, in order.
std::vector<State> life(const Sim& sim, std::uint32_t job) {
  std::vector<State> states;
  for (const MoveJob& move : sim.moves) {
    if (move.job == job) states.push_back(move.state);
  }
  return states;
}

std::string last_reason(const Sim& sim, std::uint32_t job) {
  std::string reason;
  for (const MoveJob& move : sim.moves) {
    if (move.job == job) reason = move.reason;
  }
  return reason;
}

const std::vector<State> kWhole = {State::ready, State::running, State::completed};

}  // namespace

TEST_CASE("a job begins when all of what it needs has completed") {
  Sim sim({job("a", 2), job("b", 1, {after(0)})}, {4, 0, 0});
  sim.begin();
  CHECK(sim.running_slices() == std::set<std::uint64_t>{0, 1});
  end(sim, 0, 0);
  CHECK(running_of(sim, 1).empty());
  CHECK(life(sim, 1).empty());
  end(sim, 0, 1);
  CHECK(running_of(sim, 1) == std::set<std::uint64_t>{0});
  end(sim, 1, 0);
  CHECK(sim.done == 1);
  CHECK(life(sim, 0) == kWhole);
  CHECK(life(sim, 1) == kWhole);
}

TEST_CASE("a job whose need did not complete is disabled with the reason, and so is what needs that") {
  Sim sim({job("a", 2), job("b", 1, {after(0)}), job("c", 1, {after(1)}), job("d", 1)}, {1, 0, 0});
  sim.begin();
  end(sim, 0, 0, Outcome::failed);
  end(sim, 0, 1);
  CHECK(life(sim, 1) == std::vector<State>{State::disabled});
  CHECK(last_reason(sim, 1) == "it needs a, which did not complete (1 of 2 slices failed)");
  CHECK(last_reason(sim, 2) == "it needs b, which is disabled");
  CHECK(running_of(sim, 3) == std::set<std::uint64_t>{0});
  end(sim, 3, 0);
  CHECK(sim.done == 1);
  CHECK(life(sim, 0).back() == State::terminated);
}

TEST_CASE("allow_failures lets the jobs that need it go on, up to so many") {
  for (const std::uint64_t allowed : {1U, 2U}) {
    JobPlan first = job("a", 3);
    first.allow_failures = allowed;
    Sim sim({first, job("b", 1, {after(0)})}, {3, 0, 0});
    sim.begin();
    end(sim, 0, 0, Outcome::failed);
    end(sim, 0, 1, Outcome::killed);
    end(sim, 0, 2);
    CHECK(life(sim, 0).back() == State::terminated);
    CHECK(running_of(sim, 1).empty() == (allowed == 1));
  }
}

TEST_CASE("with needs_each slice i follows slice i, and does not run where that failed") {
  Sim sim({job("a", 3), job("b", 3, {after_each(0)}), job("c", 3, {after_each(1)})}, {4, 0, 0});
  sim.begin();
  CHECK(running_of(sim, 1).empty());
  end(sim, 0, 1);
  CHECK(running_of(sim, 1) == std::set<std::uint64_t>{1});
  end(sim, 0, 0, Outcome::failed);
  CHECK(running_of(sim, 1) == std::set<std::uint64_t>{1});
  REQUIRE(sim.disabled.size() == 2);
  CHECK(sim.disabled[0].job == 1);
  CHECK(sim.disabled[0].slice == 0);
  CHECK(sim.disabled[0].reason == "it needs the same slice of a, which failed");
  CHECK(sim.disabled[1].job == 2);
  CHECK(sim.disabled[1].reason == "it needs the same slice of b, which is disabled");
  end(sim, 1, 1);
  CHECK(running_of(sim, 2) == std::set<std::uint64_t>{1});
  end(sim, 0, 2);
  end(sim, 1, 2);
  end(sim, 2, 1);
  end(sim, 2, 2);
  CHECK(sim.done == 1);
  CHECK(life(sim, 2).back() == State::terminated);
  CHECK(last_reason(sim, 2) == "1 of 3 slices did not run");
}

TEST_CASE("what succeeded before a resume releases its counterparts at once") {
  JobPlan first = job("a", 0);
  first.todo.insert(2);
  first.succeeded = IntervalSet::first_n(2);
  Sim sim({first, job("b", 3, {after_each(0)})}, {4, 0, 0});
  sim.begin();
  CHECK(running_of(sim, 1) == std::set<std::uint64_t>{0, 1});
  end(sim, 0, 2);
  CHECK(running_of(sim, 1) == std::set<std::uint64_t>{0, 1, 2});
}

TEST_CASE("a slice whose counterpart is not to run this time does not wait for ever") {
  Sim sim({job("a", 2), job("b", 4, {after_each(0)})}, {4, 0, 0});
  sim.begin();
  end(sim, 0, 0);
  end(sim, 0, 1);
  end(sim, 1, 0);
  end(sim, 1, 1);
  CHECK(sim.done == 1);
  CHECK(life(sim, 0) == kWhole);
  REQUIRE(sim.disabled.size() == 2);
  CHECK(sim.disabled[0].slice == 2);
  CHECK(last_reason(sim, 1) == "2 of 4 slices did not run");
}

TEST_CASE("what has been released runs, also when the rest of what its job needs is disabled") {
  JobPlan first = job("a", 0, {after(2)});
  first.todo.insert(2);
  first.succeeded = IntervalSet::first_n(2);
  JobPlan prepare = job("prepare", 1);
  prepare.priority = 1;
  Sim sim({first, job("b", 3, {after_each(0)}), prepare}, {2, 0, 0});
  sim.start();
  --sim.unacknowledged;
  sim.feed(Claimed{1});  // only prepare's claim is durable, and b has one
  end(sim, 2, 0, Outcome::failed);
  while (!sim.running.empty()) sim.end(sim.running.begin()->first, Outcome::succeeded);
  CHECK(sim.done == 1);
  CHECK(life(sim, 0) == std::vector<State>{State::disabled});
  CHECK(life(sim, 1) == std::vector<State>{State::ready, State::running, State::terminated});
}

TEST_CASE("a job that has nothing to do here is passed over in silence") {
  JobPlan before = job("a", 0);
  before.closed = true;
  before.succeeded = IntervalSet::first_n(2);
  JobPlan left_out = job("x", 0);
  left_out.closed = left_out.left_out = true;
  Sim sim({before, job("b", 2, {after(0)}), job("c", 2, {after_each(0)}), left_out, job("y", 2, {after_each(3)})},
          {6, 0, 0});
  sim.begin();
  CHECK(sim.running.size() == 6);
  CHECK(life(sim, 0).empty());
  CHECK(life(sim, 3).empty());
}

TEST_CASE("slices that wait for those which a job that was done before had left out are disabled") {
  JobPlan before = job("a", 0);
  before.closed = true;
  before.succeeded = IntervalSet::first_n(1);
  Sim sim({before, job("b", 2, {after_each(0)}), job("c", 2, {after_each(1)})}, {4, 0, 0});
  sim.begin();
  CHECK(running_of(sim, 1) == std::set<std::uint64_t>{0});
  while (!sim.running.empty()) sim.end(sim.running.begin()->first, Outcome::succeeded);
  CHECK(sim.done == 1);
  CHECK(sim.settled.size() == 2);
}

TEST_CASE("a job without slices completes, and what needs it begins") {
  Sim sim({job("a", 0), job("b", 1, {after(0)})}, {1, 0, 0});
  sim.begin();
  CHECK(life(sim, 0) == kWhole);
  CHECK(running_of(sim, 1) == std::set<std::uint64_t>{0});
}

TEST_CASE("ready slices start by priority, then in the order of the spec") {
  JobPlan urgent = job("c", 1);
  urgent.priority = 1;
  Sim sim({job("a", 2), job("b", 1), urgent}, {1, 0, 0});
  sim.begin();
  std::vector<std::uint32_t> order;
  while (!sim.running.empty()) {
    const AttemptId id = sim.running.begin()->first;
    order.push_back(id.job);
    sim.end(id, Outcome::succeeded);
  }
  CHECK(order == std::vector<std::uint32_t>{2, 0, 0, 1});
}

TEST_CASE("a job's own n_procs is its share of the slots; others use the rest") {
  JobPlan narrow = job("a", 5);
  narrow.n_procs = 2;
  Sim sim({narrow, job("b", 5)}, {4, 0, 0});
  sim.begin();
  CHECK(running_of(sim, 0).size() == 2);
  CHECK(running_of(sim, 1).size() == 2);
  end(sim, 1, 0);
  CHECK(running_of(sim, 0).size() == 2);
  CHECK(running_of(sim, 1).size() == 2);
  end(sim, 0, 0);
  CHECK(running_of(sim, 0) == std::set<std::uint64_t>{1, 2});
}

TEST_CASE("what does not fit beside what runs is not overtaken for ever") {
  JobPlan big = job("big", 1);
  big.need.memory = 8;
  big.priority = 1;
  JobPlan small = job("small", 10);
  small.need.memory = 3;
  Sim sim({job("a", 1), small, big}, {4, 0, 8});
  sim.begin();
  CHECK(running_of(sim, 2) == std::set<std::uint64_t>{0});  // alone at first, by its rank
  end(sim, 2, 0);
  CHECK(running_of(sim, 1).size() == 2);
}

TEST_CASE("limits hold across jobs, and a slice that needs more of one is not overtaken for ever") {
  JobPlan one = job("one", 6);
  one.uses = {{.limit = 0, .amount = 1}};
  JobPlan two = job("two", 1);
  two.uses = {{.limit = 0, .amount = 2}};
  two.priority = 1;
  JobPlan free = job("free", 1);
  two.needs = {after(2)};
  Sim sim({one, two, free}, {8, 0, 0}, {2});
  sim.begin();
  CHECK(running_of(sim, 0).size() == 2);
  end(sim, 2, 0);
  end(sim, 0, 0);
  CHECK(running_of(sim, 0).size() == 1);  // not refilled: it is two's turn
  CHECK(running_of(sim, 1).empty());
  end(sim, 0, 1);
  CHECK(running_of(sim, 1).size() == 1);
  CHECK(running_of(sim, 0).empty());
  end(sim, 1, 0);
  CHECK(running_of(sim, 0).size() == 2);
}

TEST_CASE("a job that has its share of the slots keeps nothing of a limit from others") {
  JobPlan narrow = job("narrow", 3);
  narrow.n_procs = 1;
  narrow.uses = {{.limit = 0, .amount = 1}};
  JobPlan other = job("other", 3);
  other.uses = {{.limit = 0, .amount = 1}};
  Sim sim({narrow, other}, {4, 0, 0}, {2});
  sim.begin();
  CHECK(running_of(sim, 0).size() == 1);
  CHECK(running_of(sim, 1).size() == 1);
}

TEST_CASE("when it is given up nothing clears up any more") {
  Sim sim({job("a", 1), job("t", 1, {{.job = 0, .after = Need::After::over}})}, {1, 0, 0});
  sim.begin();
  sim.feed(Control::give_up);
  CHECK(sim.terminated.size() == 1);
  end(sim, 0, 0, Outcome::killed);
  CHECK(sim.done == 1);
  CHECK(life(sim, 1) == std::vector<State>{State::disabled});
}

TEST_CASE("max_failed halts its own job only, and disables what needs it") {
  JobPlan first = job("a", 4);
  first.max_failed = 0;
  Sim sim({first, job("b", 1, {after(0)}), job("c", 2), job("d", 4, {after_each(0)})}, {2, 0, 0});
  sim.begin();
  end(sim, 0, 0);
  end(sim, 0, 1, Outcome::failed);
  CHECK(sim.halts == std::vector<std::string>{"a: max_failed: 1 slice failed, 0 allowed"});
  for (const AttemptId& id : std::vector(sim.launched)) {  // more are, meanwhile
    if (id.job == 0 && id.slice == 2 && sim.running.contains(id)) sim.end(id, Outcome::succeeded);
  }
  while (!sim.running.empty()) sim.end(sim.running.begin()->first, Outcome::succeeded);
  CHECK(sim.done == 1);
  CHECK(life(sim, 1) == std::vector<State>{State::disabled});
  CHECK(life(sim, 2) == kWhole);
  CHECK(life(sim, 3).back() == State::terminated);
  CHECK(sim.disabled.size() == 2);  // the one that failed, and the one that was not begun
}

TEST_CASE("a stopped run disables what has not begun and terminates what has") {
  Sim sim({job("a", 2), job("b", 1, {after(0)}), job("c", 1)}, {1, 0, 0});
  sim.begin();
  sim.feed(Control::drain);
  CHECK(sim.done == 0);
  end(sim, 0, 0);
  CHECK(sim.done == 1);
  CHECK(life(sim, 0).back() == State::terminated);
  CHECK(life(sim, 1) == std::vector<State>{State::disabled});
  CHECK(life(sim, 2) == std::vector<State>{State::ready, State::disabled});
}

namespace {

JobPlan service(const std::string& name, std::vector<Need> needs = {}) {
  JobPlan made = job(name, 1, std::move(needs));
  made.is_service = true;
  made.timeout = 30s;
  return made;
}
constexpr Need while_up(std::uint32_t job) {
  return {.job = job, .after = Need::After::up};
}

}  // namespace

TEST_CASE("what needs a service begins when that is ready, and the last one is ended first") {
  Sim sim({service("x"), service("y", {while_up(0)}), job("a", 2, {while_up(0), while_up(1)})}, {1, 0, 0});
  sim.begin();
  CHECK(running_of(sim, 0).size() == 1);
  CHECK(running_of(sim, 1).empty());
  sim.feed(ServiceReady{0});
  sim.settle();
  CHECK(running_of(sim, 1).size() == 1);
  CHECK(running_of(sim, 2).empty());
  sim.feed(ServiceReady{1});
  sim.settle();
  CHECK(running_of(sim, 2) == std::set<std::uint64_t>{0});
  sim.advance(60s);  // the time to become ready is over, and was met
  end(sim, 2, 0);
  CHECK(sim.terminated.empty());
  end(sim, 2, 1);
  CHECK(sim.terminated == std::vector<AttemptId>{{1, 0, 1}});
  sim.end({1, 0, 1}, Outcome::killed);
  CHECK(sim.settled.back().ending.outcome == Outcome::succeeded);
  CHECK(sim.terminated.back() == AttemptId{0, 0, 1});
  sim.end({0, 0, 1}, Outcome::failed, 143);
  CHECK(sim.done == 1);
  CHECK(life(sim, 0) == kWhole);
}

TEST_CASE("a service that dies is started again, and while it is away nothing new begins") {
  JobPlan keeper = service("x");
  keeper.retry.retries = 1;
  keeper.retry.delay = 1s;
  Sim sim({keeper, job("a", 3, {while_up(0)}), job("t", 1, {{.job = 1, .after = Need::After::over}})}, {1, 0, 0});
  sim.begin();
  sim.feed(ServiceReady{0});
  sim.settle();
  sim.end({0, 0, 1}, Outcome::succeeded);  // it ended although it was needed
  CHECK(sim.settled.back().ending.outcome == Outcome::failed);
  end(sim, 1, 0);
  CHECK(running_of(sim, 1).empty());
  sim.advance(2s);
  CHECK(running_of(sim, 0).size() == 1);
  CHECK(running_of(sim, 1).empty());
  sim.feed(ServiceReady{0});
  sim.settle();
  CHECK(running_of(sim, 1) == std::set<std::uint64_t>{1});
  sim.end({0, 0, 2}, Outcome::killed);
  CHECK(sim.halts.size() == 1);
  CHECK(sim.terminated == std::vector<AttemptId>{{1, 1, 1}});
  end(sim, 1, 1, Outcome::killed);
  CHECK(running_of(sim, 2) == std::set<std::uint64_t>{0});
  end(sim, 2, 0);
  CHECK(sim.done == 1);
}

TEST_CASE("a service that is not ready in time is ended, and what needs it is disabled") {
  Sim sim({service("x"), job("a", 1, {while_up(0)})}, {1, 0, 0});
  sim.begin();
  sim.advance(30s);
  CHECK(sim.terminated == std::vector<AttemptId>{{0, 0, 1}});
  sim.feed(ServiceReady{0});  // too late
  sim.end({0, 0, 1}, Outcome::killed);
  CHECK(sim.settled.back().ending.outcome == Outcome::timed_out);
  CHECK(life(sim, 1) == std::vector<State>{State::disabled});
  CHECK(sim.done == 1);
}

TEST_CASE("any plan without cycles comes to its end, and no order is broken") {
  std::mt19937 engine(20261121);
  const auto random = [&] { return static_cast<std::uint32_t>(engine()); };
  const auto chance = [&](unsigned percent) { return random() % 100 < percent; };
  for (int round = 0; round < 3000; ++round) {
    const std::uint32_t count = 1 + random() % 5;
    const std::uint64_t slices = random() % 6;
    std::vector<JobPlan> plans;
    for (std::uint32_t j = 0; j < count; ++j) {
      JobPlan made = job("job" + std::to_string(j), slices);
      for (std::uint32_t other = 0; other < j; ++other) {
        if (chance(40)) made.needs.push_back(chance(50) ? after_each(other) : after(other));
      }
      if (chance(30)) made.allow_failures = random() % 3;
      if (chance(30)) made.n_procs = 1 + random() % 2;
      if (chance(30)) made.max_failed = random() % 3;
      if (chance(30)) made.retry.retries = 1;
      if (chance(20)) made.on_halt = OnHalt::kill;
      made.retry.delay = 0s;
      made.priority = static_cast<int>(random() % 3);
      plans.push_back(made);
    }
    const auto copies = plans;
    Sim sim(std::move(plans), {1 + random() % 4, 0, 0});
    sim.begin();
    std::map<std::uint32_t, std::set<std::uint64_t>> succeeded;
    for (int step = 0; !sim.running.empty() && step < 1000; ++step) {
      for (const auto& [id, slot] : sim.running) {
        for (const Need& need : copies[id.job].needs) {
          if (need.after == Need::After::each) REQUIRE(succeeded[need.job].contains(id.slice));
          if (need.after == Need::After::completed)
            REQUIRE(slices - succeeded[need.job].size() <= copies[need.job].allow_failures);
        }
        if (copies[id.job].n_procs) REQUIRE(running_of(sim, id.job).size() <= *copies[id.job].n_procs);
      }
      auto chosen = sim.running.begin();
      std::advance(chosen, random() % sim.running.size());
      const AttemptId id = chosen->first;
      const bool ended_by_us = std::ranges::find(sim.terminated, id) != sim.terminated.end();
      const bool good = chance(75);
      if (good && !ended_by_us) succeeded[id.job].insert(id.slice);
      if (chance(2)) sim.feed(Control::drain);
      sim.end(id, good ? Outcome::succeeded : Outcome::failed);
      if (sim.running.empty() && sim.done == 0) sim.advance(1s);
    }
    REQUIRE(sim.done == 1);
    for (std::uint32_t j = 0; j < count; ++j) {
      const auto states = life(sim, j);
      REQUIRE_FALSE(states.empty());
      REQUIRE((states.back() == State::completed || states.back() == State::terminated ||
               states.back() == State::disabled));
      REQUIRE((states.back() == State::completed) == (succeeded[j].size() == slices));
    }
  }
}
