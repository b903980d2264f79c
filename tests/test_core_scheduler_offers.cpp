// The scheduler where slices are short: what it offers to be launched ahead of it, and what becomes of that.
#include <doctest/doctest.h>

#include <algorithm>
#include <vector>

#include "fakes/scheduler_sim.hpp"

using namespace runner;
using namespace runner::core;
using namespace std::chrono_literals;

namespace {

JobPlan short_slices(std::uint64_t slices) {
  JobPlan job = plan(slices);
  job.name = "short";
  job.may_follow = true;
  return job;
}

/// Has run slices of 1 ms for a while, with 20 ms from claim to acknowledgement, so that it knows that they are short.
struct Quick : Sim {
  explicit Quick(JobPlan job, std::uint32_t slots = 2, bool allowed = true) : Quick(std::vector{job}, slots, allowed) {}
  Quick(std::vector<JobPlan> jobs, std::uint32_t slots, bool allowed = true, std::vector<std::uint32_t> limits = {})
      : Sim(std::move(jobs), Resources{slots, 0, 0}, std::move(limits)) {
    start();
    for (int commit = 0; commit < 40; ++commit) {
      run_slices_of_a_millisecond(20);
      acknowledge();
    }
    scheduler().allow_offers(allowed);
    run_slices_of_a_millisecond(1);
  }
};

std::vector<AttemptId> ids(const std::deque<AttemptId>& all) {
  return {all.begin(), all.end()};
}

}  // namespace

TEST_CASE("short slices are offered in their order, while every slot is taken") {
  Quick sim(short_slices(100'000));
  REQUIRE(sim.running.size() == 2);
  REQUIRE(sim.offered.size() >= 8);
  CHECK(sim.scheduler().has_offers());
  const auto offers = ids(sim.offered);
  CHECK(std::ranges::is_sorted(offers));
  CHECK(std::ranges::all_of(offers, [&](const AttemptId& id) { return std::ranges::count(sim.claimed, id) == 1; }));
  CHECK(std::ranges::find_first_of(offers, sim.launched) == offers.end());
}

TEST_CASE("nothing is offered where the executor takes no offers, or slices are long") {
  Quick refused(short_slices(100'000), 2, false);
  CHECK(refused.offered.empty());
  Sim slow(short_slices(100'000), 2);
  slow.scheduler().allow_offers(true);
  slow.begin();
  for (int i = 0; i < 100; ++i) {
    slow.now += 50ms;
    slow.end(slow.running.begin()->first, Outcome::succeeded);
  }
  CHECK(slow.offered.empty());
}

TEST_CASE("what follows has the slot, runs, and counts as launched") {
  Quick sim(short_slices(100'000));
  const auto [ended, slot] = *sim.running.begin();
  const AttemptId next = sim.end_and_follow(ended);
  CHECK(sim.running.at(next) == slot);
  CHECK(sim.scheduler().running() == 2);
  CHECK(sim.settled.back().id == ended);
  sim.end(next, Outcome::failed, 3);
  CHECK(sim.settled.back().id == next);
  CHECK(sim.settled.back().ending.exit_code == 3);
}

TEST_CASE("before a failure the offers are recalled, and none are made until others have succeeded") {
  Quick sim(short_slices(100'000));
  CHECK_FALSE(sim.scheduler().wants_recall());
  const auto offers = ids(sim.offered);
  const AttemptId id = sim.running.begin()->first;
  CHECK_FALSE(sim.scheduler().wants_recall_before(Finished{id, {}}));
  CHECK(sim.scheduler().wants_recall_before(Finished{id, ending_with(Outcome::failed, 1)}));
  CHECK(sim.scheduler().wants_recall_before(Tick{}));
  sim.end(id, Outcome::failed, 1);
  CHECK_FALSE(sim.scheduler().has_offers());
  CHECK(sim.running.size() == 2);
  sim.run_slices_of_a_millisecond(4);
  CHECK(sim.offered.empty());
  // None is lost, none comes twice.
  for (const AttemptId& offer : offers) CHECK(std::ranges::count(sim.launched, offer) == (offer < offers[9] ? 1 : 0));
  sim.run_slices_of_a_millisecond(8);
  CHECK_FALSE(sim.offered.empty());
}

TEST_CASE("offers are taken back where a slot is free and nothing else is there for it") {
  Quick sim(short_slices(1400), 2);
  REQUIRE_FALSE(sim.offered.empty());
  const auto offers = ids(sim.offered);
  while (!sim.scheduler().wants_recall()) {
    REQUIRE_FALSE(sim.running.empty());
    sim.now += 1ms;
    sim.end(sim.running.begin()->first, Outcome::succeeded);
  }
  sim.recall();
  CHECK(sim.running.contains(offers.front()));
}

TEST_CASE("what is recalled is claimed still, and goes first") {
  Quick sim(short_slices(100'000));
  const auto offers = ids(sim.offered);
  const auto claims = sim.claimed.size();
  sim.recall();
  CHECK(sim.unclaimed.empty());
  CHECK(sim.claimed.size() == claims);
  sim.scheduler().allow_offers(false);
  const auto before = sim.launched.size();
  sim.run_slices_of_a_millisecond(1);
  REQUIRE(sim.launched.size() == before + 2);
  CHECK(sim.launched[before] == offers[0]);
  CHECK(sim.launched[before + 1] == offers[1]);
}

TEST_CASE("nothing but an end or a claim brings offers, so that a recall lasts") {
  Quick sim(short_slices(100'000));
  sim.recall();
  sim.feed(Tick{});
  sim.feed(Hold{true});
  sim.feed(Hold{false});
  sim.feed(Throttle{std::nullopt});
  CHECK(sim.offered.empty());
  sim.run_slices_of_a_millisecond(1);
  CHECK_FALSE(sim.offered.empty());
}

TEST_CASE("a halt takes back what was offered") {
  JobPlan job = short_slices(100'000);
  job.max_failed = 0;
  Quick sim(job);
  const auto offers = ids(sim.offered);
  const auto launched = sim.launched.size();
  sim.end(sim.running.begin()->first, Outcome::failed, 1);
  for (const AttemptId& id : offers)
    CHECK(std::ranges::count(sim.unclaimed, id) + std::ranges::count(sim.launched, id) == 1);
  CHECK(sim.launched.size() == launched);
  sim.end(sim.running.begin()->first, Outcome::succeeded);
  CHECK(sim.done == 1);
}

TEST_CASE("a halt by one that was ended and then exits with 0 takes back what was offered") {
  JobPlan job = short_slices(100'000);
  job.max_failed = 0;
  job.timeout = 1s;
  job.grace = 20s;
  SUBCASE("draining") {
    job.on_halt = OnHalt::drain;
  }
  SUBCASE("ending what runs") {
    job.on_halt = OnHalt::kill;
  }
  Quick sim(job);
  const AttemptId deaf = sim.running.begin()->first;
  sim.now += 1s;
  const AttemptId other = sim.running.rbegin()->first;
  sim.end(other, Outcome::succeeded);
  sim.feed(Tick{});
  REQUIRE(sim.terminated == std::vector{deaf});
  while (sim.offered.empty()) {
    sim.now += 1ms;
    sim.end(sim.running.rbegin()->first, Outcome::succeeded);
  }
  const auto offers = ids(sim.offered);
  const auto launched = sim.launched.size();
  sim.end(deaf, Outcome::succeeded);
  CHECK(sim.settled.back().ending.outcome == Outcome::timed_out);
  CHECK(sim.halts.size() == 1);
  CHECK(sim.launched.size() == launched);
  for (const AttemptId& id : offers) CHECK(std::ranges::count(sim.unclaimed, id) == 1);
}

TEST_CASE("a service that nothing needs any more is ended while slices of another job follow each other") {
  JobPlan user = job("user", 1, {{.job = 2, .after = Need::After::up}});
  user.may_follow = true;
  user.priority = 1;
  JobPlan service = job("service", 1);
  service.is_service = true;
  Sim sim({short_slices(100'000), user, service}, Resources{3, 0, 0});
  sim.scheduler().allow_offers(true);
  sim.begin();
  sim.feed(ServiceReady{2});
  sim.settle();
  const auto run_short_ones = [&] {
    sim.now += 1ms;
    for (const auto& [id, slot] : std::map(sim.running)) {
      if (id.job != 0) continue;
      sim.running.erase(id);
      sim.feed(Finished{id, {}});
    }
  };
  for (int round = 0; sim.offered.empty() && round < 1000; ++round) {
    run_short_ones();
    if (round % 20 == 0) sim.acknowledge();
  }
  REQUIRE_FALSE(sim.offered.empty());
  REQUIRE(sim.running.contains({1, 0, 1}));
  sim.end({1, 0, 1}, Outcome::succeeded);
  CHECK(sim.terminated == std::vector{AttemptId{2, 0, 1}});
  CHECK(sim.unclaimed.empty());
}

TEST_CASE("what was offered is soon taken back where nothing follows it any more, as slices are long now") {
  Quick sim(short_slices(100'000));
  REQUIRE_FALSE(sim.offered.empty());
  const AttemptId first = sim.offered.front();
  const auto launched = sim.launched.size();
  for (int i = 0; i < 20 && !sim.running.contains(first); ++i) {
    sim.now += 50ms;
    sim.end(sim.running.begin()->first, Outcome::succeeded);
    if (sim.scheduler().wants_recall()) sim.recall();
  }
  CHECK(sim.running.contains(first));
  CHECK(sim.launched.size() <= launched + 6);
}

TEST_CASE("nothing is offered before a number of slices have been short again") {
  Quick sim(short_slices(2000));
  sim.recall();
  Ending slow;
  slow.runtime = 50ms;
  sim.now += 50ms;
  const AttemptId id = sim.running.begin()->first;
  sim.running.erase(id);
  sim.feed(Finished{id, slow});
  sim.run_slices_of_a_millisecond(7);
  CHECK(sim.offered.empty());
  sim.run_slices_of_a_millisecond(2);
  CHECK_FALSE(sim.offered.empty());
}

TEST_CASE("what was offered goes before the slices of a job that comes after it") {
  JobPlan second = short_slices(100'000);
  second.name = "second";
  Quick sim({short_slices(1700), second}, 2);
  REQUIRE_FALSE(sim.offered.empty());
  const auto offers = ids(sim.offered);
  REQUIRE(offers.front().job == 0);
  const auto is_of_second = [](const AttemptId& id) { return id.job == 1; };
  while (std::ranges::none_of(sim.launched, is_of_second)) {
    sim.now += 50ms;
    sim.end(sim.running.begin()->first, Outcome::succeeded);
    if (sim.scheduler().wants_recall()) sim.recall();
  }
  for (const AttemptId& id : offers) CHECK(std::ranges::count(sim.launched, id) == 1);
}

TEST_CASE("while launches are paused none is made, and then they are") {
  Quick sim(short_slices(100'000));
  sim.scheduler().pause_launches(true);
  sim.run_slices_of_a_millisecond(1);
  CHECK(sim.running.empty());
  sim.scheduler().pause_launches(false);
  sim.recall();
  CHECK(sim.running.size() == 2);
}

TEST_CASE("after a scale down nothing is offered before the slots that are no more are empty") {
  Quick sim(short_slices(100'000), 4);
  sim.feed(Scale{2});
  const auto first = std::ranges::find_if(sim.running, [](const auto& one) { return one.second == 0; })->first;
  const auto second = std::ranges::find_if(sim.running, [](const auto& one) { return one.second == 1; })->first;
  sim.end(first, Outcome::succeeded);
  sim.end(second, Outcome::succeeded);
  CHECK(sim.running.size() == 2);  // in slots 2 and 3
  CHECK(sim.offered.empty());
  sim.run_slices_of_a_millisecond(2);
  CHECK_FALSE(sim.offered.empty());
  for (const auto& [id, slot] : sim.running) CHECK(slot < 2);
}

TEST_CASE("only what needs nothing but a slot is offered") {
  const auto offers_of = [](JobPlan job, std::vector<std::uint32_t> limits = {}) {
    Quick sim(std::vector{std::move(job)}, 2, true, std::move(limits));
    return sim.offered.size();
  };
  CHECK(offers_of(short_slices(100'000)) > 0);
  JobPlan job = short_slices(100'000);
  SUBCASE("a share of its own") {
    job.n_procs = 2;
  }
  SUBCASE("CPUs") {
    job.need.cpus_milli = 1;
  }
  SUBCASE("memory") {
    job.need.memory = 1;
  }
  SUBCASE("what is no slice") {
    job.may_follow = false;
  }
  CHECK(offers_of(job) == 0);
  job = short_slices(100'000);
  job.uses = {{.limit = 0, .amount = 1}};
  CHECK(offers_of(job, {2}) == 0);
}

TEST_CASE("nothing is offered past a job that goes first") {
  JobPlan first = plan(100'000);
  first.name = "first";
  first.priority = 1;
  first.may_follow = false;
  JobPlan second = short_slices(100'000);
  Quick sim({second, first}, 2);
  CHECK(sim.offered.empty());
}

TEST_CASE("the run is not done while something that was offered may still come") {
  Quick sim(short_slices(2000));
  sim.settle();
  std::size_t followed = 0;
  for (int i = 0; i < 10'000 && sim.done == 0; ++i) {
    sim.now += 1ms;
    const AttemptId id = sim.running.begin()->first;
    if (sim.offered.empty()) {
      sim.end(id, Outcome::succeeded);
    } else {
      sim.end_and_follow(id);
      ++followed;
      sim.settle();
    }
    if (sim.scheduler().wants_recall()) sim.recall();
  }
  CHECK(sim.done == 1);
  CHECK(followed > 100);
  CHECK(sim.settled.size() == 2000);
}
