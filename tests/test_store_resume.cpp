// A run taken up again: lost attempts, changed specs.
#include <doctest/doctest.h>

#include <map>

#include "store_support.hpp"

using namespace runner;
using namespace runner::store;
using namespace runner::store::testing;

namespace {

/// Slice -> key, of the last attempts.
std::map<std::uint64_t, std::string> keys_by_slice(Reader& reader, const std::string& run_id) {
  std::map<std::uint64_t, std::string> keys;
  for (const auto& record : last_attempts(reader, run_id)) keys[record.id.slice] = record.key;
  return keys;
}

/// A run with one succeeded attempt for each key, in order from slice 0.
void write_run_with_keys(Writer& writer, Listener& listener, const std::vector<std::string>& keys) {
  REQUIRE(writer.begin_run(a_run()).ok());
  Sequence last = 0;
  for (std::uint64_t slice = 0; slice < keys.size(); ++slice) {
    writer.claim({0, slice, 1}, keys[slice]);
    last = writer.ended({0, slice, 1}, an_ending());
  }
  REQUIRE(listener.wait_for(last));
}

}  // namespace

TEST_CASE("resuming marks the attempts without an end as lost and counts") {
  const TemporaryDirectory dir;
  {
    Listener listener;
    auto writer = begin_a_run(dir / "state.db", listener);
    writer->claim({0, 1, 1}, "1");
    writer->claim({0, 2, 1}, "2");
    writer->started({0, 2, 1}, at(5), 900, "slot.log");
    writer->claim({0, 3, 1}, "3");
    writer->ended({0, 3, 1}, an_ending());
    writer->run_state(core::State::terminated, at(9), "cancelled");
  }
  Listener listener;
  auto writer = open_writer(dir / "state.db", listener);
  NewRun again = a_run();
  again.host = "node8";
  again.pid = 5000;
  again.boot_id = "";
  again.containment = "cookie";
  again.spec_text = "slices: 0-49\n";
  again.started_at = at(1000);
  again.jobs[0].slices = 50;
  REQUIRE(writer->resume_run(again, {{0, 1, 1}, {0, 2, 1}, {0, 3, 1}}).ok());
  writer->claim({0, 1, 2}, "1");
  REQUIRE(listener.wait_for(writer->started({0, 1, 2}, at(1001), 901, "slot.log")));

  auto reader = open_reader(dir / "state.db");
  const auto run = reader->find_run(std::nullopt);
  REQUIRE((run.ok() && run->has_value()));
  CHECK((*run)->info.resumes == 1);
  CHECK((*run)->info.host == "node8");
  CHECK((*run)->info.pid == 5000);
  CHECK((*run)->boot_id.empty());
  CHECK((*run)->info.containment == "cookie");
  CHECK((*run)->info.started_at == at(0));
  CHECK((*run)->info.state == core::State::initial);
  CHECK_FALSE((*run)->info.ended_at.has_value());
  CHECK((*run)->info.reason.empty());
  CHECK((*run)->spec_text == "slices: 0-49\n");
  REQUIRE((*run)->jobs.size() == 1);
  CHECK((*run)->jobs[0].slices == 50);

  const auto records = last_attempts(*reader, a_run().id);
  REQUIRE(records.size() == 3);
  CHECK(records[0].id.number == 2);
  CHECK(records[0].host == "node8");
  REQUIRE(records[1].ending.has_value());
  CHECK(records[1].ending->outcome == core::Outcome::lost);
  CHECK(records[1].pid == 900);
  REQUIRE(records[2].ending.has_value());
  CHECK_MESSAGE(records[2].ending->outcome == core::Outcome::succeeded, "an end that is known is not overwritten");
  const auto attempts = reader->attempts_of(a_run().id, 0, 1);
  REQUIRE(attempts.ok());
  REQUIRE(attempts->size() == 2);
  REQUIRE((*attempts)[0].ending.has_value());
  CHECK((*attempts)[0].ending->outcome == core::Outcome::lost);
  CHECK_FALSE((*attempts)[0].started_at.has_value());
}

TEST_CASE("resuming a run that is not there is an error that names it") {
  const TemporaryDirectory dir;
  Listener listener;
  auto writer = open_writer(dir / "state.db", listener);
  const auto resumed = writer->resume_run(a_run("nowhere"), {});
  REQUIRE_FALSE(resumed.ok());
  CHECK(resumed.error().message.find("nowhere") != std::string::npos);
}

TEST_CASE("slices of a changed spec keep their records by key, even where they change places") {
  const TemporaryDirectory dir;
  Listener listener;
  auto writer = open_writer(dir / "state.db", listener);
  write_run_with_keys(*writer, listener, {"a", "b", "c", "d"});
  // The new list is: b, a, x, c - and d is gone.
  const Remap remap{.job = 0, .moves = {{0, 1}, {1, 0}, {2, 3}}};
  REQUIRE(writer->resume_run(a_run(), {}, {remap}).ok());

  auto reader = open_reader(dir / "state.db");
  CHECK(keys_by_slice(*reader, a_run().id) == std::map<std::uint64_t, std::string>{{0, "b"}, {1, "a"}, {3, "c"}});
  CHECK(keys_by_slice(*reader, a_run().id + "~1") == std::map<std::uint64_t, std::string>{{3, "d"}});
  const auto newest = reader->find_run(std::nullopt);
  REQUIRE((newest.ok() && newest->has_value()));
  CHECK((*newest)->info.id == a_run().id);
  const auto runs = reader->runs();
  REQUIRE(runs.ok());
  CHECK_MESSAGE(runs->size() == 1, "what was split off is no run of its own");

  SUBCASE("a second change splits off a second part") {
    REQUIRE(writer->resume_run(a_run(), {}, {{.job = 0, .moves = {{0, 0}, {1, 1}}}}).ok());
    CHECK(keys_by_slice(*reader, a_run().id) == std::map<std::uint64_t, std::string>{{0, "b"}, {1, "a"}});
    CHECK(keys_by_slice(*reader, a_run().id + "~2") == std::map<std::uint64_t, std::string>{{3, "c"}});
  }
  SUBCASE("when nothing is gone nothing is split off") {
    REQUIRE(writer->resume_run(a_run(), {}, {{.job = 0, .moves = {{0, 0}, {1, 1}, {3, 3}}}}).ok());
    const auto part = reader->find_run(a_run().id + "~2");
    REQUIRE(part.ok());
    CHECK_FALSE(part->has_value());
  }
  SUBCASE("removing the run removes its parts") {
    REQUIRE(writer->remove_runs({a_run().id}).ok());
    CHECK(keys_by_slice(*reader, a_run().id + "~1").empty());
  }
}

TEST_CASE("a resume that fails half way changes nothing") {
  const TemporaryDirectory dir;
  Listener listener;
  auto writer = open_writer(dir / "state.db", listener);
  write_run_with_keys(*writer, listener, {"a", "b"});
  // Two slices cannot become one: the second move breaks the primary key.
  REQUIRE_FALSE(writer->resume_run(a_run(), {}, {{.job = 0, .moves = {{0, 5}, {1, 5}}}}).ok());
  auto reader = open_reader(dir / "state.db");
  CHECK(keys_by_slice(*reader, a_run().id) == std::map<std::uint64_t, std::string>{{0, "a"}, {1, "b"}});
  const auto run = reader->find_run(std::nullopt);
  REQUIRE((run.ok() && run->has_value()));
  CHECK((*run)->info.resumes == 0);
}
