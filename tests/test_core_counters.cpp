// What attempts counted, summed up.
#include <doctest/doctest.h>
#include <cstdint>
#include <vector>

#include "core/run_view.hpp"

namespace runner::core {
namespace {

using Values = std::vector<Counted>;

AttemptRecord success(std::uint32_t number, Values counters) {
  AttemptRecord record;
  record.id = {.job = 0, .slice = 0, .number = number};
  record.ending.emplace().counters = std::move(counters);
  return record;
}

}  // namespace

TEST_CASE("totals that 64 bits do not hold are marked, and stay so") {
  CounterTotals totals;
  totals.add(Values{{"a", INT64_MAX}, {"b", -5}});
  CHECK(totals.by_name().at("a") == CounterTotal{INT64_MAX, false});
  totals.add(Values{{"a", 1}, {"b", 5}});
  totals.add(Values{{"a", -1000}});
  CHECK(totals.by_name().at("a").overflowed);
  CHECK(totals.by_name().at("b") == CounterTotal{0, false});
  CounterTotals all;
  all.add(totals);
  CHECK(all.by_name().at("a").overflowed);
}

TEST_CASE("what failed counts nothing, and a hook that runs again counts anew") {
  JobView hook("jobs:prepare", 1, JobKind::hook);
  hook.add_record(success(1, {{"made", 5}, {"tried", 1}}), false);
  hook.add_record(success(2, {{"made", 6}}), false);
  CHECK(hook.counters().by_name().size() == 1);
  CHECK(hook.counters().by_name().at("made").value == 6);
  JobView job("jobs", 1, JobKind::slices);
  AttemptRecord failed = success(1, {{"rows", 5}});
  failed.ending->outcome = Outcome::timed_out;
  job.add_record(failed, false);
  CHECK(job.counters().by_name().empty());
}

}  // namespace runner::core
