// Counters in the record: those of each slice's last success, exactly once.
#include <doctest/doctest.h>
#include <map>

#include "store_support.hpp"

using namespace runner;
using namespace runner::store;
using namespace runner::store::testing;

namespace {

using Rows = std::map<std::pair<std::uint64_t, std::string>, std::int64_t>;  // slice and name -> value

Rows counted(const std::string& path, const std::string& run_id = a_run().id) {
  Rows rows;
  const auto done = open_reader(path)->counted(run_id, [&](const core::AttemptId& id, const core::Counted& counted) {
    CHECK(rows.emplace(std::pair(id.slice, counted.name), counted.value).second);
  });
  REQUIRE(done.ok());
  return rows;
}

core::Ending counting(std::vector<core::Counted> counters, core::Outcome outcome = core::Outcome::succeeded) {
  core::Ending ending = an_ending(outcome);
  ending.counters = std::move(counters);
  return ending;
}

}  // namespace

TEST_CASE("only what succeeded counts, and of a slice only its last success") {
  const TemporaryDirectory dir;
  const std::string path = dir / "state.db";
  Listener listener;
  auto writer = begin_a_run(path, listener);
  const auto attempt = [&](std::uint64_t slice, std::uint32_t number, core::Ending ending) {
    writer->claim({0, slice, number}, std::to_string(slice));
    return writer->ended({0, slice, number}, std::move(ending));
  };
  attempt(1, 1, counting({{"rows", 100}}, core::Outcome::timed_out));
  attempt(1, 2, counting({{"bad", -3}, {"rows", 5}}));
  attempt(2, 1, counting({{"rows", INT64_MAX}}));
  attempt(3, 1, counting({}));
  attempt(4, 1, counting({{"rows", 7}}));
  REQUIRE(listener.wait_for(attempt(5, 1, counting({{"rows", 8}}))));
  CHECK(counted(path) ==
        Rows{{{1, "bad"}, -3}, {{1, "rows"}, 5}, {{2, "rows"}, INT64_MAX}, {{4, "rows"}, 7}, {{5, "rows"}, 8}});
  attempt(2, 2, counting({}));                                    // run again by somebody's choice
  attempt(4, 2, counting({{"rows", 9}}, core::Outcome::failed));  // the success stands
  REQUIRE(listener.wait_for(attempt(5, 2, counting({{"new", 1}}))));
  CHECK(counted(path) == Rows{{{1, "bad"}, -3}, {{1, "rows"}, 5}, {{4, "rows"}, 7}, {{5, "new"}, 1}});
}

TEST_CASE("counters move with their slices, stay behind with those that are gone, and go with their run") {
  const TemporaryDirectory dir;
  const std::string path = dir / "state.db";
  Listener listener;
  auto writer = begin_a_run(path, listener);
  Sequence last = 0;
  for (std::uint64_t slice = 0; slice < 3; ++slice) {
    writer->claim({0, slice, 1}, std::to_string(slice));
    last = writer->ended({0, slice, 1}, counting({{"rows", static_cast<std::int64_t>(slice) + 1}}));
  }
  REQUIRE(listener.wait_for(last));
  REQUIRE(writer->resume_run(a_run(), {}, {{.job = 0, .moves = {{.from = 0, .to = 1}, {.from = 2, .to = 0}}}}).ok());
  CHECK(counted(path) == Rows{{{1, "rows"}, 1}, {{0, "rows"}, 3}});
  CHECK(counted(path, a_run().id + "~1") == Rows{{{1, "rows"}, 2}});
  REQUIRE(writer->remove_runs({a_run().id}).ok());
  REQUIRE(writer->begin_run(a_run()).ok());  // gets the same number again
  CHECK(counted(path).empty());
}
