// What the writer is told comes back from the reader.
#include <doctest/doctest.h>
#include <sys/stat.h>

#include "store/sqlite.hpp"
#include "store_support.hpp"

using namespace runner;
using namespace runner::store;
using namespace runner::store::testing;

TEST_CASE("a run comes back as it was begun") {
  const TemporaryDirectory dir;
  Listener listener;
  auto writer = begin_a_run(dir / "state.db", listener);

  auto reader = open_reader(dir / "state.db");
  const auto found = reader->find_run(std::nullopt);
  REQUIRE(found.ok());
  REQUIRE(found->has_value());
  const StoredRun& run = **found;
  CHECK(run.info.id == "20261121-164328-k3xa");
  CHECK(run.info.name == "correlate");
  CHECK(run.info.spec_path == "/data/jobs.yaml");
  CHECK(run.info.host == "node7");
  CHECK(run.info.pid == 4711);
  CHECK(run.boot_id == a_run().boot_id);
  CHECK(run.place == a_run().place);
  CHECK(run.info.containment == "guard, death signal");
  CHECK(run.info.state == core::State::initial);
  CHECK(run.info.started_at == at(0));
  CHECK_FALSE(run.info.ended_at.has_value());
  CHECK(run.info.resumes == 0);
  CHECK(run.spec_text == "slices: 0-99\n");
  CHECK(run.settings == "m_factor=2");
  REQUIRE(run.jobs.size() == 1);
  CHECK(run.jobs[0].name == "correlate");
  CHECK(run.jobs[0].slices == 100);
  CHECK(run.jobs[0].fingerprint == 0xFEDCBA9876543210U);
  CHECK(run.jobs[0].selection == "3,7-9");
}

TEST_CASE("the database is private whatever the umask") {
  const TemporaryDirectory dir;
  Listener listener;
  const mode_t before = ::umask(0);
  auto writer = begin_a_run(dir / "state.db", listener);
  ::umask(before);
  for (const char* name : {"state.db", "state.db-wal", "state.db-shm"}) {
    struct stat info {};
    REQUIRE(::stat((dir / name).c_str(), &info) == 0);
    CHECK((info.st_mode & 0777U) == 0600U);
  }
}

TEST_CASE("an attempt is followed from its claim to its end") {
  const TemporaryDirectory dir;
  Listener listener;
  auto writer = begin_a_run(dir / "state.db", listener);
  auto reader = open_reader(dir / "state.db");
  const core::AttemptId id{0, 17, 1};

  REQUIRE(listener.wait_for(writer->claim(id, "data/a 17.h5")));
  auto records = last_attempts(*reader, a_run().id);
  REQUIRE(records.size() == 1);
  CHECK(records[0].id == id);
  CHECK(records[0].key == "data/a 17.h5");
  CHECK(records[0].pid == 0);
  CHECK_FALSE(records[0].started_at.has_value());
  CHECK_FALSE(records[0].ending.has_value());

  REQUIRE(listener.wait_for(writer->started(id, at(1.25), 900, "slices/slot-3.log")));
  records = last_attempts(*reader, a_run().id);
  REQUIRE(records.size() == 1);
  CHECK(records[0].pid == 900);
  CHECK(records[0].host == "node7");
  CHECK(records[0].log == "slices/slot-3.log");
  CHECK(records[0].started_at == at(1.25));
  CHECK_FALSE(records[0].ending.has_value());

  core::Ending ending = an_ending(core::Outcome::failed);
  ending.exit_code = 9;
  ending.log = "slices/0000/17.1.log";
  ending.detail = "it said no";
  REQUIRE(listener.wait_for(writer->ended(id, ending)));
  records = last_attempts(*reader, a_run().id);
  REQUIRE(records.size() == 1);
  CHECK(records[0].pid == 900);
  CHECK(records[0].log == "slices/0000/17.1.log");
  REQUIRE(records[0].ending.has_value());
  CHECK(records[0].ending->outcome == core::Outcome::failed);
  CHECK(records[0].ending->exit_code == 9);
  CHECK(records[0].ending->signal == 0);
  CHECK(records[0].ending->started_at == at(1.25));
  CHECK(records[0].ending->ended_at == at(3.5));
  CHECK(records[0].ending->runtime == std::chrono::milliseconds(2250));
  CHECK(records[0].ending->usage.user == std::chrono::milliseconds(1500));
  CHECK(records[0].ending->usage.system == std::chrono::milliseconds(125));
  CHECK(records[0].ending->usage.max_rss_kib == 20480);
  CHECK(records[0].ending->log == "slices/0000/17.1.log");
  CHECK(records[0].ending->detail == "it said no");
}

TEST_CASE("every outcome, exit code and signal comes back, in one batch or in several") {
  const TemporaryDirectory dir;
  Listener listener;
  auto writer = begin_a_run(dir / "state.db", listener, {.min_commit_gap = std::chrono::milliseconds(0)});
  std::vector<core::Ending> endings;
  for (const core::Outcome outcome : core::kOutcomes) endings.push_back(an_ending(outcome));
  for (int code = 1; code < 256; ++code) {
    endings.push_back(an_ending(core::Outcome::failed));
    endings.back().exit_code = code;
  }
  for (int signal = 1; signal < 65; ++signal) {
    endings.push_back(an_ending(core::Outcome::killed));
    endings.back().signal = signal;
  }
  Sequence last = 0;
  for (std::uint64_t slice = 0; slice < endings.size(); ++slice) {
    last = writer->claim({0, slice, 1}, std::to_string(slice));
    if (slice % 3 == 0) REQUIRE(listener.wait_for(last));
    last = writer->ended({0, slice, 1}, endings[slice]);
  }
  REQUIRE(listener.wait_for(last));

  auto reader = open_reader(dir / "state.db");
  const auto records = last_attempts(*reader, a_run().id);
  REQUIRE(records.size() == endings.size());
  for (std::size_t i = 0; i < records.size(); ++i) {
    REQUIRE(records[i].ending.has_value());
    CHECK(records[i].ending->outcome == endings[i].outcome);
    CHECK(records[i].ending->exit_code == endings[i].exit_code);
    CHECK(records[i].ending->signal == endings[i].signal);
  }
}

TEST_CASE("a claim that is taken back leaves no row, and may be made again") {
  const TemporaryDirectory dir;
  Listener listener;
  auto writer = begin_a_run(dir / "state.db", listener);
  REQUIRE(listener.wait_for(writer->claim({0, 1, 1}, "1")));
  writer->claim({0, 2, 1}, "2");
  writer->unclaim({0, 2, 1});
  REQUIRE(listener.wait_for(writer->unclaim({0, 1, 1})));
  auto reader = open_reader(dir / "state.db");
  CHECK(last_attempts(*reader, a_run().id).empty());

  REQUIRE(listener.wait_for(writer->claim({0, 1, 1}, "1")));
  writer->unclaim({0, 1, 1});
  REQUIRE(listener.wait_for(writer->claim({0, 1, 1}, "one")));
  const auto records = last_attempts(*reader, a_run().id);
  REQUIRE(records.size() == 1);
  CHECK(records[0].key == "one");
}

TEST_CASE("the last attempts of one job are those of the whole run that are its own") {
  const TemporaryDirectory dir;
  Listener listener;
  auto writer = begin_a_run(dir / "state.db", listener);
  for (std::uint32_t job = 0; job < 4; ++job) {
    for (std::uint64_t slice = 0; slice < 9; ++slice) {
      const bool fails = slice % 4 == job;  // one is the job's first, another its last
      writer->claim({job, slice, 1}, std::to_string(job));
      writer->ended({job, slice, 1}, an_ending(fails ? core::Outcome::failed : core::Outcome::succeeded));
      if (!fails) continue;
      writer->claim({job, slice, 2}, std::to_string(job));
      if (slice < 4) writer->ended({job, slice, 2}, an_ending(core::Outcome::killed));
    }
  }
  REQUIRE(listener.wait_for(writer->run_state(core::State::running, at(9), "")));
  auto reader = open_reader(dir / "state.db");
  const auto all = last_attempts(*reader, a_run().id);
  REQUIRE(all.size() == 36);
  for (std::uint32_t job = 0; job < 4; ++job) {
    const auto own = last_attempts(*reader, a_run().id, job);
    REQUIRE(own.size() == 9);
    for (std::size_t i = 0; i < own.size(); ++i) {
      const auto& same = all[job * 9 + i];
      CHECK(own[i].id == same.id);
      CHECK(own[i].id.number == (i % 4 == job ? 2 : 1));
      REQUIRE(own[i].ending.has_value() == same.ending.has_value());
      CHECK(own[i].ending.has_value() == (i % 4 != job || i < 4));
      if (own[i].ending) CHECK(own[i].ending->outcome == same.ending->outcome);
    }
  }
}

TEST_CASE("of several attempts of a slice the last one counts") {
  const TemporaryDirectory dir;
  Listener listener;
  auto writer = begin_a_run(dir / "state.db", listener);
  for (std::uint32_t number : {1U, 2U, 3U}) {
    for (std::uint64_t slice : {0U, 1U, 2U}) {
      if (number > slice + 1) continue;
      writer->claim({0, slice, number}, "k" + std::to_string(slice));
      writer->ended({0, slice, number}, an_ending(core::Outcome::failed));
    }
  }
  REQUIRE(listener.wait_for(writer->run_state(core::State::running, at(9), "")));
  auto reader = open_reader(dir / "state.db");
  const auto records = last_attempts(*reader, a_run().id);
  REQUIRE(records.size() == 3);
  for (std::uint32_t slice = 0; slice < 3; ++slice) {
    CHECK(records[slice].id == core::AttemptId{0, slice, slice + 1});
    CHECK(records[slice].key == "k" + std::to_string(slice));
  }
  const auto attempts = reader->attempts_of(a_run().id, 0, 2);
  REQUIRE(attempts.ok());
  REQUIRE(attempts->size() == 3);
  CHECK((*attempts)[0].id.number == 1);
  CHECK((*attempts)[2].id.number == 3);
}

TEST_CASE("ended attempts come in the order of their ends, without those that have none") {
  const TemporaryDirectory dir;
  Listener listener;
  auto writer = begin_a_run(dir / "state.db", listener);
  for (const std::uint64_t slice : {0U, 1U, 2U, 3U}) {
    writer->claim({0, slice, 1}, std::to_string(slice));
    if (slice == 2) continue;
    core::Ending ending = an_ending();
    ending.ended_at = at(100 - static_cast<double>(slice));
    writer->ended({0, slice, 1}, ending);
  }
  REQUIRE(listener.wait_for(writer->run_state(core::State::running, at(9), "")));
  auto reader = open_reader(dir / "state.db");
  std::vector<std::uint64_t> slices;
  REQUIRE(reader->ended_attempts(a_run().id, [&](const core::AttemptRecord& r) { slices.push_back(r.id.slice); }).ok());
  CHECK(slices == std::vector<std::uint64_t>{3, 1, 0});
}

TEST_CASE("the run's last state is kept, with its end and reason once it is over") {
  const TemporaryDirectory dir;
  Listener listener;
  auto writer = begin_a_run(dir / "state.db", listener);
  auto reader = open_reader(dir / "state.db");
  writer->run_state(core::State::ready, at(1), "");
  REQUIRE(listener.wait_for(writer->run_state(core::State::running, at(2), "")));
  auto run = reader->find_run(a_run().id);
  REQUIRE((run.ok() && run->has_value()));
  CHECK((*run)->info.state == core::State::running);
  CHECK_FALSE((*run)->info.ended_at.has_value());
  REQUIRE(listener.wait_for(writer->run_state(core::State::terminated, at(3), "max_failed: 6 slices failed")));
  run = reader->find_run(a_run().id);
  REQUIRE((run.ok() && run->has_value()));
  CHECK((*run)->info.state == core::State::terminated);
  CHECK((*run)->info.ended_at == at(3));
  CHECK((*run)->info.reason == "max_failed: 6 slices failed");
}

TEST_CASE("runs are listed newest first, and removing one removes its attempts") {
  const TemporaryDirectory dir;
  Listener listener;
  auto writer = open_writer(dir / "state.db", listener);
  for (const char* id : {"a", "b", "c"}) {
    REQUIRE(writer->begin_run(a_run(id)).ok());
    REQUIRE(listener.wait_for(writer->claim({0, 1, 1}, id)));
  }
  REQUIRE(writer->remove_runs({"a", "never there"}).ok());
  auto reader = open_reader(dir / "state.db");
  const auto runs = reader->runs();
  REQUIRE(runs.ok());
  REQUIRE(runs->size() == 2);
  CHECK((*runs)[0].info.id == "c");
  CHECK((*runs)[1].info.id == "b");
  CHECK((*runs)[1].jobs.size() == 1);
  CHECK(last_attempts(*reader, "a").empty());
  CHECK(last_attempts(*reader, "b").size() == 1);
  const auto gone = reader->find_run("a");
  REQUIRE(gone.ok());
  CHECK_FALSE(gone->has_value());
}

TEST_CASE("what is queued when the writer goes is on disk afterwards") {
  const TemporaryDirectory dir;
  Listener listener;
  {
    auto writer = begin_a_run(dir / "state.db", listener);
    for (std::uint64_t slice = 0; slice < 5000; ++slice) writer->claim({0, slice, 1}, std::to_string(slice));
  }
  CHECK(listener.acknowledged() == 5000);
  auto reader = open_reader(dir / "state.db");
  CHECK(last_attempts(*reader, a_run().id).size() == 5000);
}

TEST_CASE("the views tell slices, failures and the job log by the run's id and the job's name") {
  const TemporaryDirectory dir;
  Listener listener;
  {
    auto writer = open_writer(dir / "state.db", listener);
    REQUIRE(writer->begin_run(a_run("r")).ok());
    core::Ending failed = an_ending(core::Outcome::failed);
    failed.exit_code = 3;
    writer->claim({0, 0, 1}, "a");
    writer->ended({0, 0, 1}, failed);
    writer->claim({0, 0, 2}, "a");
    writer->ended({0, 0, 2}, an_ending());
    writer->claim({0, 1, 1}, "b");
    writer->ended({0, 1, 1}, failed);
    writer->claim({0, 2, 1}, "c");
  }
  auto database = Database::open(dir / "state.db", Access::read_only);
  REQUIRE(database.ok());
  const auto first = [&](const char* sql) {
    const auto text = database->query_text(sql);
    REQUIRE_MESSAGE(text.ok(), sql);
    return text->value_or("no row");
  };
  CHECK(first("SELECT group_concat(run || ' ' || job || ' ' || key || ' ' || state || ' ' || attempts) "
              "FROM slice_state") == "r correlate a completed 2,r correlate b terminated 1,r correlate c ready 1");
  CHECK(first("SELECT group_concat(key || ' ' || outcome || ' ' || exit_code) FROM failure") == "b failed 3");
  CHECK(first("SELECT count(*) || ' ' || sum(Exitval) || ' ' || min(Seq) || ' ' || max(Starttime) FROM joblog") ==
        "3 6 1 1700000001.25");
}
