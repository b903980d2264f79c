// What queued for one attempt between two commits becomes one change of its row.
#include <doctest/doctest.h>

#include "store/batch.hpp"
#include "store_support.hpp"

using namespace runner;
using namespace runner::store;
using namespace runner::store::testing;

namespace {
constexpr core::AttemptId kId{0, 17, 1};
}

TEST_CASE("claim, start and end of one attempt in one batch are one insert") {
  Batch batch;
  batch.add({kId, Claimed{"17"}});
  batch.add({kId, Started{at(1), 900, "slot.log"}});
  batch.add({kId, an_ending()});
  REQUIRE(batch.changes().size() == 1);
  CHECK(batch.changes()[0].kind == Change::Kind::insert);
  CHECK(batch.changes()[0].key == "17");
  CHECK(batch.changes()[0].started->pid == 900);
  CHECK(batch.changes()[0].ending.has_value());
}

TEST_CASE("start and end of an attempt claimed earlier are one update") {
  Batch batch;
  batch.add({kId, Started{at(1), 900, "slot.log"}});
  batch.add({kId, an_ending()});
  REQUIRE(batch.changes().size() == 1);
  CHECK(batch.changes()[0].kind == Change::Kind::update);
}

TEST_CASE("attempts that differ only in job, slice or number are kept apart") {
  Batch batch;
  for (std::uint32_t job : {0U, 1U}) {
    for (std::uint64_t slice : {0ULL, 1ULL, 1ULL << 40U}) {
      for (std::uint32_t number : {1U, 2U}) batch.add({{job, slice, number}, Claimed{"k"}});
    }
  }
  CHECK(batch.changes().size() == 12);
}

TEST_CASE("a claim taken back in the same batch writes nothing") {
  Batch batch;
  batch.add({kId, Claimed{"17"}});
  batch.add({kId, Unclaimed{}});
  REQUIRE(batch.changes().size() == 1);
  CHECK(batch.changes()[0].kind == Change::Kind::none);
}

TEST_CASE("an old claim taken back and made again is deleted before it is inserted") {
  Batch batch;
  batch.add({kId, Unclaimed{}});
  batch.add({kId, Claimed{"17"}});
  batch.add({kId, Started{at(1), 900, ""}});
  REQUIRE(batch.changes().size() == 2);
  CHECK(batch.changes()[0].kind == Change::Kind::erase);
  CHECK(batch.changes()[1].kind == Change::Kind::insert);
  CHECK(batch.changes()[1].started.has_value());
}

TEST_CASE("of several moves of the run the last one is written, and clearing forgets everything") {
  Batch batch;
  batch.add({{}, RunMoved{core::State::ready, at(1), ""}});
  batch.add({{}, RunMoved{core::State::running, at(2), "go"}});
  batch.add({kId, Claimed{"17"}});
  REQUIRE(batch.run_moved().has_value());
  CHECK(batch.run_moved()->state == core::State::running);
  CHECK(batch.run_moved()->reason == "go");
  batch.clear();
  CHECK(batch.changes().empty());
  CHECK_FALSE(batch.run_moved().has_value());
  batch.add({kId, an_ending()});
  CHECK(batch.changes()[0].kind == Change::Kind::update);
}
