// The scheduler under load: admission, how far ahead it claims, and invariants over random histories.
#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>

#include "fakes/scheduler_sim.hpp"

using namespace runner;
using namespace runner::core;
using namespace std::chrono_literals;

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
    sim.run_slices_of_a_millisecond(20);
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

TEST_CASE("slots do not go on starving where commits take longer than slices by far") {
  Sim sim(plan(1'000'000), 4);
  sim.start();
  // 1 s from claim to acknowledgement, 1 ms a slice: 4,000 slices could run in between.
  std::size_t launched_before = 0;
  for (int commit = 0; commit < 20; ++commit) {
    launched_before = sim.launched.size();
    sim.run_slices_of_a_millisecond(1000);
    sim.acknowledge();
  }
  CHECK(sim.launched.size() - launched_before > 3900);
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
