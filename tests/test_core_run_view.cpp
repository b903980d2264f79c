#include "core/run_view.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <random>

using namespace runner::core;
namespace util = runner::util;
using namespace std::chrono_literals;

namespace {

util::WallTime at(int second) {
  return util::WallTime(std::chrono::seconds(1'000'000 + second));
}

Ending ending_of(Outcome outcome, int number = 0) {
  Ending ending;
  ending.outcome = outcome;
  if (outcome == Outcome::failed) ending.exit_code = number;
  if (outcome == Outcome::killed || outcome == Outcome::timed_out) ending.signal = number;
  ending.runtime = 3s;
  return ending;
}

AttemptRecord record_of(std::uint64_t slice, std::uint32_t number, std::optional<Ending> ending) {
  AttemptRecord record;
  record.id = {0, slice, number};
  record.key = std::to_string(slice);
  record.pid = 100;
  record.started_at = at(1);
  record.ending = std::move(ending);
  return record;
}

Event start_of(std::uint64_t slice, std::uint32_t number) {
  Event event;
  event.state = State::running;
  event.id = {0, slice, number};
  event.key = std::to_string(slice);
  event.pid = 100;
  event.at = at(1);
  return event;
}

Event end_of(std::uint64_t slice, std::uint32_t number, const Ending& ending) {
  Event event = start_of(slice, number);
  event.state = ending.outcome == Outcome::succeeded ? State::completed : State::terminated;
  event.ending = ending;
  return event;
}

void check_same(const JobView& a, const JobView& b) {
  CHECK(a.succeeded_slices() == b.succeeded_slices());
  CHECK(a.failed_slices() == b.failed_slices());
  CHECK(a.lost_slices() == b.lost_slices());
  CHECK(a.waiting() == b.waiting());
  CHECK(a.retries() == b.retries());
  CHECK(a.total_runtime() == b.total_runtime());
  for (const Outcome outcome : kOutcomes) CHECK(a.count(outcome) == b.count(outcome));

  REQUIRE(a.running().size() == b.running().size());
  for (const auto& [slice, attempt] : a.running()) {
    REQUIRE(b.running().contains(slice));
    const AttemptRecord& other = b.running().at(slice).record;
    CHECK(attempt.record.id == other.id);
    CHECK(attempt.record.key == other.key);
    CHECK(attempt.record.pid == other.pid);
    CHECK(attempt.record.log == other.log);
    CHECK(attempt.record.started_at == other.started_at);
  }
  const auto groups = a.failure_groups();
  const auto others = b.failure_groups();
  REQUIRE(groups.size() == others.size());
  for (std::size_t i = 0; i < groups.size(); ++i) {
    CHECK(groups[i].cause == others[i].cause);
    CHECK(groups[i].outcome == others[i].outcome);
    CHECK(groups[i].exit_code == others[i].exit_code);
    CHECK(groups[i].signal == others[i].signal);
    CHECK(groups[i].slices == others[i].slices);
    CHECK(groups[i].example.id == others[i].example.id);
    CHECK(groups[i].example.key == others[i].example.key);
    CHECK(groups[i].example.log == others[i].example.log);
  }
}

/// A made-up history of one session: what the store's rows end up as, and the events on the way there.
struct History {
  std::map<std::uint64_t, AttemptRecord> rows;
  std::vector<Event> events;
  std::mt19937 random;

  explicit History(unsigned seed) : random(seed) {}
  unsigned draw(unsigned n) { return static_cast<unsigned>(random() % n); }

  Ending random_ending(std::uint64_t slice) {
    const Outcome outcome = kOutcomes[draw(kOutcomes.size() - 1)];  // `lost` is the last: only rows can be that
    Ending ending = ending_of(outcome, static_cast<int>(1 + draw(3)));
    ending.detail = "detail of " + std::to_string(slice);
    if (draw(2) == 0) ending.log = "slices/" + std::to_string(slice) + ".log";
    return ending;
  }

  void attempt(std::uint64_t slice, std::uint32_t number, bool may_stay_open) {
    Ending ending = random_ending(slice);
    const bool starts = ending.outcome != Outcome::not_started;
    AttemptRecord row = record_of(slice, number, ending);
    row.log = "slots/3.log";
    if (starts) {
      events.push_back(start_of(slice, number));
      events.back().log = row.log;
    } else {
      row.pid = 0;
      row.started_at.reset();
    }
    if (starts && may_stay_open && draw(5) == 0) {
      row.ending.reset();
      rows[slice] = row;
      return;
    }
    row.log = ending.log;
    rows[slice] = row;
    events.push_back(end_of(slice, number, ending));
    if (ending.outcome == Outcome::succeeded || draw(2) == 0) return;
    events.back().retry_in = 5s;
    events.back().state = State::running;
    if (draw(4) == 0) {  // given up after all: the same ending, final now
      events.push_back(end_of(slice, number, ending));
      events.back().pid = 0;
      return;
    }
    attempt(slice, number + 1, may_stay_open);
  }

  [[nodiscard]] JobView from_rows(std::uint64_t total, bool live) {
    std::vector<AttemptRecord> shuffled;
    for (const auto& [slice, row] : rows) shuffled.push_back(row);
    std::ranges::shuffle(shuffled, random);
    JobView view("job", total);
    for (const auto& row : shuffled) view.add_record(row, live);
    return view;
  }
};

}  // namespace

TEST_CASE("rows and events of the same history give the same view") {
  for (unsigned seed = 0; seed < 200; ++seed) {
    CAPTURE(seed);
    History history(seed);
    JobView by_events("job", 80);
    for (std::uint64_t slice = 0; slice < 80; ++slice) {
      if (history.draw(6) != 0) history.attempt(slice, 1, true);
    }
    for (const Event& event : history.events) by_events.apply(event);
    check_same(history.from_rows(80, true), by_events);
  }
}

TEST_CASE("a view resumed from rows and continued by events is the view of the final rows") {
  for (unsigned seed = 0; seed < 200; ++seed) {
    CAPTURE(seed);
    History history(seed);
    for (std::uint64_t slice = 0; slice < 60; ++slice) {
      if (history.draw(6) != 0) history.attempt(slice, 1, true);
    }
    JobView view = history.from_rows(60, false);
    history.events.clear();
    for (std::uint64_t slice = 0; slice < 60; ++slice) {
      const auto row = history.rows.find(slice);
      if (row == history.rows.end()) {
        history.attempt(slice, 1, true);
      } else if (!row->second.ending) {
        row->second.ending = ending_of(Outcome::lost);  // as the store marks it on resume
        row->second.ending->log = row->second.log;
        if (history.draw(3) != 0) history.attempt(slice, row->second.id.number + 1, true);
      } else if (row->second.ending->outcome != Outcome::succeeded && history.draw(3) != 0) {
        history.attempt(slice, row->second.id.number + 1, true);
      }
    }
    for (const Event& event : history.events) view.apply(event);
    check_same(history.from_rows(60, true), view);
  }
}

TEST_CASE("an attempt without an end runs while the run is live and is lost when it is not") {
  JobView live("job", 10);
  live.add_record(record_of(3, 1, std::nullopt), true);
  CHECK(live.running().size() == 1);
  CHECK(live.waiting() == 9);
  CHECK(live.failed() == 0);

  JobView dead("job", 10);
  dead.add_record(record_of(3, 1, std::nullopt), false);
  CHECK(dead.running().empty());
  CHECK(dead.lost_slices() == IntervalSet::range(3, 3));
  CHECK(dead.count(Outcome::lost) == 1);
  CHECK(dead.failed() == 1);
}

TEST_CASE("a claim that was never seen to start waits while the run is live and may have run when it is not") {
  AttemptRecord claim;
  claim.id = {0, 4, 2};
  claim.key = "4";
  JobView live("job", 10);
  live.add_record(claim, true);
  CHECK(live.waiting() == 10);
  CHECK(live.retries() == 0);

  JobView dead("job", 10);
  dead.add_record(claim, false);
  CHECK(dead.lost_slices() == IntervalSet::range(4, 4));
}

TEST_CASE("a slice that waits for its retry is waiting, and failed only if the retry does not come") {
  JobView view("job", 2);
  view.apply(start_of(0, 1));
  Event again = end_of(0, 1, ending_of(Outcome::failed, 3));
  again.retry_in = 5s;
  view.apply(again);
  CHECK(view.waiting() == 2);
  CHECK(view.failed() == 0);
  view.apply(end_of(0, 1, ending_of(Outcome::failed, 3)));
  CHECK(view.failed() == 1);
  CHECK(view.retries() == 0);
}

TEST_CASE("failures are grouped by cause, the most frequent first, and what names a slice does not split a group") {
  JobView view("job", 100);
  for (std::uint64_t slice = 0; slice < 5; ++slice) {
    Ending ending = ending_of(Outcome::missing_output);
    ending.detail = "missing output out/" + std::to_string(slice) + ".csv";
    view.add_record(record_of(slice, 1, ending), false);
  }
  for (const std::uint64_t slice : {50U, 20U, 60U, 21U, 22U, 30U, 31U}) {
    view.add_record(record_of(slice, 1, ending_of(Outcome::killed, 9)), false);
  }
  view.add_record(record_of(70, 1, ending_of(Outcome::failed, 3)), false);
  const auto groups = view.failure_groups();
  REQUIRE(groups.size() == 3);
  CHECK(groups[0].cause == "signal 9 (SIGKILL)");
  CHECK(groups[0].slices.to_string() == "20-22,30-31,50,60");
  CHECK(groups[0].example.id.slice == 20);
  CHECK(groups[1].cause == "missing output");
  CHECK(groups[1].slices.count() == 5);
  CHECK(groups[2].cause == "exit code 3");
}

TEST_CASE("a hundred thousand failures of one cause are remembered by their numbers only") {
  JobView view("job", 100'000);
  for (std::uint64_t slice = 100'000; slice-- > 0;) {
    view.add_record(record_of(slice, 1, ending_of(Outcome::failed, 1)), false);
  }
  REQUIRE(view.failure_groups().size() == 1);
  CHECK(view.failure_groups()[0].slices.count() == 100'000);
  CHECK(view.failure_groups()[0].example.key == "0");
  for (std::uint64_t slice = 0; slice < 1'000; ++slice) view.apply(start_of(slice, 2));
  const FailureGroup group = view.failure_groups()[0];
  CHECK(group.slices.count() == 99'000);
  CHECK(group.example.id.slice == 1'000);  // forgotten by name, known by number
  CHECK(group.example.key.empty());
}

TEST_CASE("the runtimes of a million long slices add up to more than can be counted, and stop there") {
  JobView view("j", 10);
  AttemptRecord record;
  record.ending.emplace().runtime = util::Duration::max() - util::Duration(1);
  record.id.number = 1;
  for (record.id.slice = 0; record.id.slice < 3; ++record.id.slice) view.add_record(record, false);
  CHECK(view.total_runtime() == util::Duration::max());
}
