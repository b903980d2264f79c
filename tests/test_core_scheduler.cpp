// The scheduler's rules with invented times: no process, no clock, no disk.
#include <doctest/doctest.h>

#include "fakes/scheduler_sim.hpp"

using namespace runner;
using namespace runner::core;
using namespace std::chrono_literals;

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

TEST_CASE("a timeout in percent is of the median, holds for what runs already, and needs five that succeeded") {
  JobPlan job = plan(9);
  job.timeout_percent = 300;
  Sim sim(job, 9);
  sim.begin();
  Ending quick;
  const auto succeed = [&](std::uint64_t slice, util::Duration runtime) {
    quick.runtime = runtime;
    const AttemptId id = sim.attempt_of(slice);
    sim.running.erase(id);
    sim.feed(Finished{id, quick});
  };
  for (std::uint64_t slice = 0; slice < 4; ++slice) succeed(slice, 10s * (slice + 1));
  sim.advance(1000s);
  CHECK(sim.terminated.empty());
  sim.now -= 1000s;
  succeed(4, 1000s);  // of 10, 20, 30, 40 and 1000 s the median is 30 s
  sim.advance(89s);
  CHECK(sim.terminated.empty());
  sim.advance(1s);
  CHECK(sim.terminated.size() == 4);
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

TEST_CASE("the timeout stands still while attempts are held, a grace does not") {
  JobPlan job = plan(2);
  job.timeout = 60s;
  job.grace = 10s;
  Sim sim(job, 1);
  sim.begin();
  sim.advance(50s);
  sim.feed(Hold{true});
  sim.advance(3600s);
  sim.feed(Hold{true});  // said twice it is held once
  CHECK(sim.terminated.empty());
  sim.feed(Hold{false});
  CHECK(sim.wake == sim.now + 10s);
  sim.advance(10s - 1ns);
  CHECK(sim.terminated.empty());
  sim.advance(1ns);
  CHECK(sim.terminated.size() == 1);
  sim.feed(Hold{true});
  sim.advance(10s);
  CHECK(sim.killed.size() == 1);
  sim.end_slice(0, Outcome::killed);
  sim.advance(5s);  // the next one began while all was held
  sim.feed(Hold{false});
  sim.advance(60s - 1ns);
  CHECK(sim.terminated.size() == 1);
  sim.advance(1ns);
  CHECK(sim.terminated.size() == 2);
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

TEST_CASE("a slice that cannot be made to end is lost, whatever it was to end for, and no attempt follows beside it") {
  JobPlan job = plan(1);
  job.timeout = 1s;
  job.retry.retries = 3;
  Sim sim(job, 1);
  sim.begin();
  sim.advance(2s);
  sim.end_slice(0, Outcome::lost);
  CHECK(sim.settled.back().ending.outcome == Outcome::lost);
  CHECK_FALSE(sim.settled.back().retry_in);
}

TEST_CASE("slices that ended in time but are heard of late, together, have not timed out") {
  JobPlan job = plan(2);
  job.timeout = 60s;
  Sim sim(job, 2);
  sim.begin();
  sim.now += 2h;  // nobody was there to listen
  sim.end_slice(0, Outcome::succeeded);
  CHECK(sim.terminated.empty());
  sim.end_slice(1, Outcome::succeeded);
  CHECK(sim.settled.back().ending.outcome == Outcome::succeeded);
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

TEST_CASE("draining withdraws what no process could be made for yet") {
  Sim sim(plan(3), 2);
  sim.starts_at_once = false;
  sim.begin();
  sim.feed(core::Started{sim.attempt_of(0)});
  sim.feed(Control::drain);
  REQUIRE(sim.withdrawn == std::vector{sim.attempt_of(1)});
  sim.end_slice(1, Outcome::cancelled);
  CHECK(sim.settled.back().ending.outcome == Outcome::cancelled);
  CHECK(sim.done == 0);
  sim.end_slice(0, Outcome::succeeded);
  CHECK(sim.done == 1);
}

TEST_CASE("nothing is launched while nothing can be recorded, whatever is claimed") {
  Sim sim(plan(100), 2);
  sim.begin();
  sim.run_slices_of_a_millisecond(20);
  sim.settle();
  const auto ahead = sim.claimed.size() - sim.launched.size();
  REQUIRE(ahead > 0);
  sim.feed(RecordWaits{true});
  const auto before = sim.launched.size();
  sim.run_slices_of_a_millisecond(3);
  CHECK(sim.launched.size() == before);
  CHECK(sim.running.empty());
  sim.feed(RecordWaits{false});
  CHECK(sim.running.size() == 2);
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
