#include <random>

#include "fakes/scheduler_sim.hpp"

using namespace runner::core;
using runner::util::Duration;

namespace {

Steer all(Steering what) {
  return {.what = what, .by = "ada"};
}
Steer whole(Steering what, std::uint32_t j) {
  return {.what = what, .job = j, .by = "ada"};
}
Steer some(Steering what, std::uint32_t j, std::initializer_list<std::uint64_t> slices) {
  Steer steer{.what = what, .job = j, .slices = IntervalSet(), .by = "ada"};
  for (const std::uint64_t slice : slices) steer.slices->insert(slice);
  return steer;
}

/// Feeds it, and returns the refusal.
std::string ask(Sim& sim, const Steer& steer) {
  sim.feed(steer);
  sim.settle();
  return sim.answer.refusal;
}

std::vector<State> life(const Sim& sim, std::uint32_t j) {
  std::vector<State> states;
  for (const MoveJob& move : sim.moves) {
    if (move.job == j) states.push_back(move.state);
  }
  return states;
}

using Slices = std::set<std::uint64_t>;

}  // namespace

TEST_CASE("a suspended run stops what runs, starts nothing new, keeps the slots, and goes on where it was") {
  Sim sim(plan(6), 2);
  sim.begin();
  CHECK(ask(sim, all(Steering::suspend)).empty());
  CHECK(sim.answer.slices == 2);
  CHECK(sim.suspended.size() == 2);
  CHECK(sim.run_moves == std::vector<State>{State::suspended});
  CHECK(life(sim, 0).back() == State::suspended);
  CHECK(sim.claimed.size() - sim.unclaimed.size() == 2);  // a crash would name nothing that has not run
  sim.end_slice(0, Outcome::killed);                      // by somebody else
  CHECK(sim.running_slices() == Slices{1});
  CHECK(ask(sim, all(Steering::suspend)) ==
        "nothing to suspend: what is named has ended, is being ended or is suspended already");
  CHECK(ask(sim, all(Steering::resume)).empty());
  CHECK(sim.suspended.empty());
  CHECK(sim.run_moves.back() == State::running);
  CHECK(sim.running_slices() == Slices{1, 2});
  while (!sim.running.empty()) sim.end(sim.running.begin()->first, Outcome::succeeded);
  CHECK(sim.done == 1);
  CHECK(life(sim, 0) ==
        std::vector<State>{State::ready, State::running, State::suspended, State::running, State::terminated});
}

TEST_CASE("a timeout stands still while its slice is suspended, and only then") {
  JobPlan timed = plan(2);
  timed.timeout = 10s;
  Sim sim(timed, 2);
  sim.begin();
  sim.advance(4s);
  CHECK(ask(sim, some(Steering::suspend, 0, {0})).empty());
  sim.advance(100s);
  CHECK(sim.terminated == std::vector<AttemptId>{{0, 1, 1}});
  CHECK(ask(sim, some(Steering::resume, 0, {0})).empty());
  CHECK(sim.wake == sim.now + 6s);
  sim.advance(5999ms);
  CHECK(sim.terminated.size() == 1);
  sim.advance(1ms);
  CHECK(sim.terminated.size() == 2);
}

TEST_CASE("a slice that is suspended before it begins is passed over until it is resumed") {
  Sim sim(plan(4), 1);
  sim.begin();
  CHECK(ask(sim, some(Steering::suspend, 0, {1, 3})).empty());
  CHECK(sim.answer.slices == 2);
  sim.end_slice(0, Outcome::succeeded);
  CHECK(sim.running_slices() == Slices{2});
  sim.end_slice(2, Outcome::succeeded);
  CHECK(sim.running.empty());
  CHECK(sim.done == 0);
  CHECK(ask(sim, some(Steering::resume, 0, {3})).empty());
  CHECK(sim.running_slices() == Slices{3});
  CHECK(ask(sim, all(Steering::resume)).empty());
  sim.end_slice(3, Outcome::succeeded);
  sim.end_slice(1, Outcome::succeeded);
  CHECK(sim.done == 1);
}

TEST_CASE("what is terminated while it is suspended is not suspended any more") {
  Sim sim(plan(1), 1);
  sim.begin();
  CHECK(ask(sim, all(Steering::suspend)).empty());
  sim.feed(Control::terminate);
  CHECK(sim.terminated.size() == 1);
  CHECK(ask(sim, all(Steering::resume)).empty());  // the job was; nothing is sent to the slice
  sim.end_slice(0, Outcome::killed);
  CHECK(sim.settled.back().ending.outcome == Outcome::cancelled);
  CHECK(sim.done == 1);
}

TEST_CASE("a cancelled slice is terminated without a retry, or disabled if it has not begun") {
  JobPlan retried = plan(3);
  retried.retry.retries = 5;
  Sim sim(retried, 1);
  sim.begin();
  CHECK(ask(sim, some(Steering::cancel, 0, {0, 2})).empty());
  CHECK(sim.answer.slices == 2);
  REQUIRE(sim.disabled.size() == 1);
  CHECK(sim.disabled[0].slice == 2);
  CHECK(sim.disabled[0].reason == "cancelled by ada");
  sim.end_slice(0, Outcome::killed);
  CHECK(sim.settled.back().ending.outcome == Outcome::cancelled);
  CHECK_FALSE(sim.settled.back().retry_in);
  CHECK(sim.running_slices() == Slices{1});
  CHECK(ask(sim, some(Steering::cancel, 0, {0, 2})) == "nothing to cancel: what is named has ended, or is disabled");
  sim.end_slice(1, Outcome::succeeded);
  CHECK(sim.done == 1);
}

TEST_CASE("a cancelled slice that waits for its retry has failed for good") {
  JobPlan retried = plan(2);
  retried.retry.retries = 5;
  Sim sim(retried, 1);
  sim.begin();
  sim.end_slice(0, Outcome::failed, 3);
  CHECK(ask(sim, some(Steering::cancel, 0, {0})).empty());
  REQUIRE(sim.abandoned.size() == 1);
  CHECK(sim.abandoned[0].ending.exit_code == 3);
  sim.end_slice(1, Outcome::succeeded);
  CHECK(sim.done == 1);
}

TEST_CASE("to cancel the run is to stop it, with who did it as the reason") {
  Sim sim({job("a", 3), job("b", 1, {after(0)})}, {1, 0, 0});
  sim.begin();
  CHECK(ask(sim, all(Steering::cancel)).empty());
  CHECK(sim.halts == std::vector<std::string>{"cancelled by ada"});
  CHECK(sim.terminated.size() == 1);
  sim.end_slice(0, Outcome::killed);
  CHECK(sim.done == 1);
  REQUIRE(sim.moves.size() == 4);
  CHECK(sim.moves[2].reason == "cancelled by ada");  // b
  CHECK(sim.moves[3].reason == "cancelled by ada; 3 of 3 slices did not run");
  CHECK_FALSE(ask(sim, all(Steering::cancel)).empty());
}

TEST_CASE("to cancel a run twice spares what clears up, which is ended by name") {
  JobPlan teardown = job("teardown", 1, {{.job = 0, .after = Need::After::over}});
  teardown.is_teardown = true;
  Sim sim({job("a", 2), teardown}, Resources{2, 0, 0});
  sim.begin();
  CHECK(ask(sim, all(Steering::cancel)).empty());
  CHECK(ask(sim, all(Steering::cancel)) == "nothing to cancel: the run is being ended already");
  while (sim.running.begin()->first.job == 0) sim.end(sim.running.begin()->first, Outcome::killed);
  CHECK(ask(sim, all(Steering::cancel)) == "nothing to cancel: the run is being ended already");
  CHECK(life(sim, 1) == std::vector<State>{State::ready, State::running});
  CHECK(ask(sim, whole(Steering::cancel, 1)).empty());
  sim.end(sim.running.begin()->first, Outcome::killed);
  CHECK(sim.done == 1);
}

TEST_CASE("a disabled slice does not change when the retry of another is waited for") {
  JobPlan retried = plan(3);
  retried.retry.retries = 1;
  retried.retry.delay = 60s;
  Sim sim(retried, 1);
  sim.begin();
  sim.end_slice(0, Outcome::failed);
  CHECK(ask(sim, some(Steering::disable, 0, {0})) ==
        "nothing to disable: what is named has begun, has ended or is disabled already");
  CHECK(ask(sim, some(Steering::disable, 0, {0, 2})).empty());
  sim.end_slice(1, Outcome::succeeded);
  CHECK(sim.running.empty());  // the retry is not due yet
}

TEST_CASE("a cancelled job disables what needs it, and leaves the others alone") {
  Sim sim({job("a", 3), job("b", 1, {after(0)}), job("c", 1)}, {2, 0, 0});
  sim.begin();
  CHECK(ask(sim, whole(Steering::cancel, 0)).empty());
  sim.end({0, 0, 1}, Outcome::killed);
  sim.end({0, 1, 1}, Outcome::killed);
  CHECK(life(sim, 1) == std::vector<State>{State::disabled});
  CHECK(sim.running_slices() == Slices{0});
  sim.end({2, 0, 1}, Outcome::succeeded);
  CHECK(sim.done == 1);
  CHECK(life(sim, 2).back() == State::completed);
}

TEST_CASE("a slice that failed for good is retried at once, with all its retries again") {
  JobPlan retried = plan(2);
  retried.retry.retries = 1;
  retried.retry.delay = 0s;
  Sim sim(retried, 2);
  sim.begin();
  sim.end_slice(0, Outcome::failed);
  sim.end_slice(0, Outcome::failed);
  CHECK(sim.running_slices() == Slices{1});
  CHECK(ask(sim, all(Steering::retry)).empty());
  CHECK(sim.attempt_of(0).number == 3);
  sim.end_slice(0, Outcome::failed);
  CHECK(sim.attempt_of(0).number == 4);
  sim.end_slice(0, Outcome::failed);
  CHECK(sim.running_slices() == Slices{1});
  CHECK(ask(sim, some(Steering::retry, 0, {1})) == "nothing to retry: nothing of it has failed for good");
  CHECK(ask(sim, some(Steering::retry, 0, {0})).empty());
  CHECK(sim.attempt_of(0).number == 5);
  sim.end_slice(0, Outcome::succeeded);
  sim.end_slice(1, Outcome::succeeded);
  CHECK(sim.done == 1);
  CHECK(sim.moves.back().state == State::completed);
}

TEST_CASE("a retried slice brings back those that were disabled for its sake") {
  Sim sim({job("a", 2), job("b", 2, {after_each(0)})}, {2, 0, 0});
  sim.begin();
  sim.end({0, 0, 1}, Outcome::failed);
  CHECK(sim.disabled.size() == 1);
  CHECK(ask(sim, some(Steering::retry, 0, {0})).empty());
  REQUIRE(sim.enabled.size() == 1);
  CHECK(sim.enabled[0].job == 1);
  sim.end({0, 0, 2}, Outcome::succeeded);
  sim.end({0, 1, 1}, Outcome::succeeded);
  sim.end({1, 0, 1}, Outcome::succeeded);
  sim.end({1, 1, 1}, Outcome::succeeded);
  CHECK(sim.done == 1);
  CHECK(life(sim, 1).back() == State::completed);
}

TEST_CASE("a job that is over is not retried, which is said") {
  Sim sim({job("a", 1), job("b", 1)}, {1, 0, 0});
  sim.begin();
  sim.end({0, 0, 1}, Outcome::failed);
  CHECK(ask(sim, whole(Steering::retry, 0)) == "a is over (terminated)");
  CHECK(ask(sim, some(Steering::suspend, 0, {0})) == "a is over (terminated)");
}

TEST_CASE("a slice that is disabled does not run, and runs when it is enabled again") {
  Sim sim(plan(4), 1);
  sim.begin();
  CHECK(ask(sim, some(Steering::disable, 0, {0, 1, 3})).empty());
  CHECK(sim.answer.slices == 2);  // slice 0 has begun
  sim.end_slice(0, Outcome::succeeded);
  CHECK(sim.running_slices() == Slices{2});
  CHECK(ask(sim, some(Steering::enable, 0, {1})).empty());
  sim.end_slice(2, Outcome::succeeded);
  CHECK(sim.running_slices() == Slices{1});
  sim.end_slice(1, Outcome::succeeded);
  CHECK(sim.done == 1);
  CHECK(sim.moves.back().reason == "1 of 4 slices did not run");
}

TEST_CASE("a job that is disabled takes along what needs it, and brings that back") {
  Sim sim({job("a", 1), job("b", 2), job("c", 1, {after(1)}), job("d", 2, {after_each(1)})}, {1, 0, 0});
  sim.begin();
  CHECK(ask(sim, whole(Steering::disable, 0)) == "a has begun: name the slices to disable, or cancel it");
  CHECK(ask(sim, whole(Steering::disable, 1)).empty());
  CHECK(life(sim, 1).back() == State::disabled);
  CHECK(life(sim, 2).back() == State::disabled);
  CHECK(ask(sim, whole(Steering::enable, 2)) == "it needs b, which is disabled");
  CHECK(ask(sim, whole(Steering::enable, 1)).empty());
  CHECK(life(sim, 2).back() == State::ready);
  while (!sim.running.empty()) {
    const AttemptId id = sim.running.begin()->first;
    if (id.job == 2) CHECK(life(sim, 1).back() == State::completed);
    sim.end(id, Outcome::succeeded);
  }
  CHECK(sim.done == 1);
  for (std::uint32_t j = 0; j < 4; ++j) CHECK(life(sim, j).back() == State::completed);
}

TEST_CASE("a job that is enabled too late for some slices it needs goes on without them") {
  Sim sim({job("a", 2), job("b", 2, {after_each(0)}), job("c", 1)}, {1, 0, 0});
  sim.begin();
  CHECK(ask(sim, whole(Steering::disable, 1)).empty());
  sim.end({0, 0, 1}, Outcome::failed);
  sim.end({0, 1, 1}, Outcome::succeeded);
  CHECK(ask(sim, whole(Steering::enable, 1)).empty());
  sim.end({2, 0, 1}, Outcome::succeeded);
  sim.end({1, 1, 1}, Outcome::succeeded);
  CHECK(sim.done == 1);
  CHECK(life(sim, 1).back() == State::terminated);
}

TEST_CASE("a job is not enabled any more when what clears up after it has begun, or its service is gone") {
  JobPlan teardown =
      job("teardown", 1, {{.job = 0, .after = Need::After::over}, {.job = 1, .after = Need::After::over}});
  teardown.is_teardown = true;
  JobPlan service = job("db", 1);
  service.is_service = true;
  Sim sim(
      {job("a", 1), job("b", 1, {after(0)}), teardown, service, job("c", 1, {{.job = 3, .after = Need::After::up}})},
      Resources{1, 0, 0});
  sim.begin();
  CHECK(ask(sim, whole(Steering::disable, 1)).empty());
  CHECK(ask(sim, whole(Steering::disable, 4)).empty());
  CHECK(ask(sim, whole(Steering::enable, 4)) == "it needs db, which was ended when nothing needed it any more");
  sim.end({0, 0, 1}, Outcome::succeeded);
  CHECK(life(sim, 2) == std::vector<State>{State::ready, State::running});
  CHECK(ask(sim, whole(Steering::enable, 1)) ==
        "teardown has begun: run what is left with --resume when this run is over");
  sim.end({2, 0, 1}, Outcome::succeeded);
  sim.end({3, 0, 1}, Outcome::killed);
  CHECK(sim.done == 1);
}

TEST_CASE("a teardown is not held back by a run that was suspended before it was stopped") {
  JobPlan last = job("teardown", 1, {{.job = 0, .after = Need::After::over}});
  last.is_teardown = true;
  Sim sim({job("a", 1), last}, {1, 0, 0});
  sim.begin();
  CHECK(ask(sim, all(Steering::suspend)).empty());
  sim.feed(Control::terminate);
  sim.end({0, 0, 1}, Outcome::killed);
  REQUIRE(sim.running.contains({1, 0, 1}));
  sim.end({1, 0, 1}, Outcome::succeeded);
  CHECK(sim.done == 1);
}

TEST_CASE("more slots are used at once; fewer are waited for, and the numbers stay below") {
  Sim sim(plan(20), 2);
  sim.begin();
  sim.feed(Scale{4});
  sim.settle();
  CHECK(sim.running.size() == 4);
  sim.feed(Scale{2});
  for (const std::uint64_t slice : {0U, 1U}) sim.end_slice(slice, Outcome::succeeded);
  CHECK(sim.running.size() == 2);  // in slots 2 and 3
  sim.end_slice(2, Outcome::succeeded);
  sim.end_slice(3, Outcome::succeeded);
  CHECK(sim.running.size() == 2);
  for (const auto& [id, slot] : sim.running) CHECK(slot < 2);
  sim.feed(Scale{3});
  sim.settle();
  CHECK(sim.running.size() == 3);
}

TEST_CASE("a million slots more are there at once") {
  Sim sim(plan(4), 1);
  sim.begin();
  sim.feed(Scale{1'000'000});
  sim.settle();
  CHECK(sim.running_slices() == Slices{0, 1, 2, 3});
}

TEST_CASE("a throttled run starts nothing beside so many, but always one") {
  Sim sim(plan(10), 4);
  sim.feed(Throttle{0});
  sim.begin();
  CHECK(sim.running.size() == 1);
  sim.end_slice(0, Outcome::succeeded);
  CHECK(sim.running.size() == 1);
  sim.feed(Throttle{3});
  sim.settle();
  CHECK(sim.running.size() == 3);
  sim.feed(Throttle{});
  sim.settle();
  CHECK(sim.running.size() == 4);
}

TEST_CASE("whatever is asked of a run while it runs, it comes to its end when all is resumed") {
  std::mt19937 engine(20261122);
  const auto random = [&](std::uint32_t below) { return static_cast<std::uint32_t>(engine() % below); };
  int steered = 0;
  for (int round = 0; round < 3000; ++round) {
    const std::uint32_t jobs = 1 + random(4);
    const std::uint64_t slices = 1 + random(6);
    std::vector<JobPlan> plans;
    for (std::uint32_t j = 0; j < jobs; ++j) {
      JobPlan made = job("job" + std::to_string(j), slices);
      for (std::uint32_t other = 0; other < j; ++other) {
        if (random(100) < 40) made.needs.push_back(random(2) == 0 ? after_each(other) : after(other));
      }
      made.retry.retries = random(3);
      made.retry.delay = std::chrono::seconds(random(3));
      if (random(3) == 0) made.timeout = 20s;
      if (random(4) == 0) made.allow_failures = 1;
      plans.push_back(made);
    }
    std::uint32_t slots = 1 + random(4);
    Sim sim(plans, {slots, 0, 0});
    sim.begin();
    std::vector<std::string> history;
    for (int step = 0; sim.done == 0 && step < 400; ++step) {
      const std::set<AttemptId> before(sim.launched.begin(), sim.launched.end());
      const std::size_t ended_by_us = sim.terminated.size();
      const auto was_suspended = sim.suspended;
      const bool closing = step > 100;  // all is resumed from here on
      const std::uint32_t choice = random(100);
      if (closing && step == 101) {
        sim.feed(all(Steering::resume));
        sim.settle();
      } else if (choice < 40 && !closing) {
        Steer steer{.what = static_cast<Steering>(random(6)), .by = "ada"};
        if (random(4) != 0) steer.job = random(jobs);
        if (steer.job && random(3) != 0) {
          steer.slices.emplace();
          for (std::uint64_t s = 0; s < slices; ++s) {
            if (random(2) == 0) steer.slices->insert(s);
          }
        }
        if (steer.what == Steering::cancel && !steer.slices && random(10) != 0) continue;
        sim.feed(steer);
        if (random(2) == 0) sim.settle();
        if (sim.answer.refusal.empty()) ++steered;
        history.push_back(std::string(name(steer.what)) + " " + (steer.job ? std::to_string(*steer.job) : "-") + "/" +
                          (steer.slices ? steer.slices->to_string() : "-") + " " + sim.answer.refusal);
      } else if (choice < 45) {
        slots = 1 + random(4);
        sim.feed(Scale{slots});
        sim.settle();
      } else if (choice < 60 || sim.running.size() == sim.suspended.size()) {
        sim.advance(std::chrono::seconds(1 + random(5)));
        for (std::size_t i = ended_by_us; i < sim.terminated.size(); ++i)
          REQUIRE_FALSE(was_suspended.contains(sim.terminated[i]));  // no timeout of what stands still
      } else {
        std::vector<AttemptId> active;
        for (const auto& [id, slot] : sim.running) {
          if (!sim.suspended.contains(id)) active.push_back(id);
        }
        const AttemptId id = active[random(static_cast<std::uint32_t>(active.size()))];
        const Outcome outcome = random(100) < 70 ? Outcome::succeeded : Outcome::failed;
        sim.end(id, outcome);
        history.push_back("end " + std::to_string(id.job) + "/" + std::to_string(id.slice) + "." +
                          std::to_string(id.number) + " " + std::string(name(outcome)));
      }
      // What was launched in this step found a slot below n.
      for (const auto& [id, slot] : sim.running) REQUIRE((before.contains(id) || slot < slots));
      if (sim.launched.size() > before.size()) REQUIRE(sim.running.size() <= slots);
      REQUIRE(std::set<AttemptId>(sim.launched.begin(), sim.launched.end()).size() == sim.launched.size());
    }
    std::string where = "round " + std::to_string(round) + ":";
    for (std::uint32_t j = 0; j < jobs; ++j) {
      where += " " + (life(sim, j).empty() ? std::string("initial") : std::string(name(life(sim, j).back())));
      for (const Need& need : plans[j].needs)
        where += (need.after == Need::After::each ? " each " : " needs ") + std::to_string(need.job);
    }
    for (const auto& line : history) where += "\n" + line;
    INFO(where);
    REQUIRE(sim.done == 1);
    REQUIRE(sim.running.empty());
    for (std::uint32_t j = 0; j < jobs; ++j) {
      const State last = life(sim, j).back();
      REQUIRE((last == State::completed || last == State::terminated || last == State::disabled));
    }
  }
  CHECK(steered > 10'000);
}
