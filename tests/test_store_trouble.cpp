// A disk that is full, or broken: nothing that was acknowledged is lost, and the messages say what to do.
#include <doctest/doctest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>

#include "faulty_disk.hpp"
#include "store_support.hpp"

using namespace runner;
using namespace runner::store;
using namespace runner::store::testing;

namespace {

std::size_t rows_in(const std::string& path) {
  auto reader = open_reader(path);
  return last_attempts(*reader, a_run().id).size();
}

/// Checks at every acknowledgement that a power cut would take nothing.
class PowerCutChecker final : public WriterEvents {
 public:
  explicit PowerCutChecker(FaultyDisk& disk) : disk_(disk) {}
  void committed(Sequence through) override {
    ++acknowledgements;
    if (!disk_.unsynced().empty()) ++unsafe;
    listener.committed(through);
  }
  void trouble(const std::string& message, bool waiting) override { listener.trouble(message, waiting); }
  void recovered() override { listener.recovered(); }

  Listener listener;
  int acknowledgements = 0;
  int unsafe = 0;

 private:
  FaultyDisk& disk_;
};

}  // namespace

TEST_CASE("nothing is acknowledged before it is synced, with either journal") {
  for (const bool rollback_journal : {false, true}) {
    CAPTURE(rollback_journal);
    const TemporaryDirectory dir;
    FaultyDisk disk;
    PowerCutChecker checker(disk);
    auto writer = begin_a_run(dir / "state.db", checker,
                              {.min_commit_gap = std::chrono::milliseconds(0), .rollback_journal = rollback_journal});
    for (std::uint64_t slice = 0; slice < 50; ++slice) {
      writer->claim({0, slice, 1}, std::to_string(slice));
      REQUIRE(checker.listener.wait_for(writer->ended({0, slice, 1}, an_ending())));
    }
    writer.reset();
    CHECK(checker.acknowledgements >= 50);
    CHECK(checker.unsafe == 0);
    CHECK(rows_in(dir / "state.db") == 50);
  }
}

TEST_CASE("a full disk is waited for, and what had queued is written when there is space again") {
  for (const int failure : {ENOSPC, EDQUOT}) {
    CAPTURE(failure);
    const TemporaryDirectory dir;
    FaultyDisk disk;
    Listener listener;
    auto writer = begin_a_run(dir / "state.db", listener);
    REQUIRE(listener.wait_for(writer->claim({0, 0, 1}, "0")));
    disk.write_errno = failure;
    writer->claim({0, 1, 1}, "1");
    REQUIRE(listener.wait_for_waiting());
    const Sequence last = writer->claim({0, 2, 1}, "2");
    disk.wait_for_failed_writes(3);  // it has been tried again
    CHECK(listener.waiting_messages().size() == 1);
    CHECK(contains(listener.waiting_messages()[0], dir / "state.db"));
    CHECK(contains(listener.waiting_messages()[0], "free some"));
    CHECK(listener.acknowledged() == 1);
    CHECK(listener.recoveries() == 0);
    disk.write_errno = 0;
    REQUIRE(listener.wait_for(last));
    CHECK(listener.recoveries() == 1);
    CHECK(listener.final_messages().empty());
    CHECK(rows_in(dir / "state.db") == 3);
  }
}

TEST_CASE("a disk that stays full is given up on when patience ends, and later calls queue nothing") {
  const TemporaryDirectory dir;
  FaultyDisk disk;
  Listener listener;
  auto writer = begin_a_run(dir / "state.db", listener, {.patience = std::chrono::milliseconds(1)});
  REQUIRE(listener.wait_for(writer->claim({0, 0, 1}, "0")));
  disk.write_errno = ENOSPC;
  const Sequence last = writer->claim({0, 1, 1}, "1");
  REQUIRE(listener.wait_for_final());
  CHECK(listener.waiting_messages().size() == 1);
  CHECK(writer->claim({0, 2, 1}, "2") == last);
  disk.write_errno = 0;
  writer.reset();
  CHECK(listener.acknowledged() == 1);
  CHECK(listener.final_messages().size() == 1);
  CHECK(rows_in(dir / "state.db") == 1);
}

TEST_CASE("a failed fsync ends the record at once, and what was acknowledged before is there") {
  for (const bool rollback_journal : {false, true}) {
    CAPTURE(rollback_journal);
    const TemporaryDirectory dir;
    FaultyDisk disk;
    Listener listener;
    auto writer = begin_a_run(dir / "state.db", listener, {.rollback_journal = rollback_journal});
    REQUIRE(listener.wait_for(writer->claim({0, 0, 1}, "0")));
    disk.sync_errno = EIO;
    writer->claim({0, 1, 1}, "1");
    REQUIRE(listener.wait_for_final());
    CHECK(listener.waiting_messages().empty());
    CHECK(contains(listener.final_messages()[0], "fsync"));
    INFO(listener.final_messages()[0]);
    CHECK(contains(listener.final_messages()[0], "Input/output error"));
    CHECK(listener.acknowledged() == 1);
    writer.reset();
    disk.sync_errno = 0;
    Listener next;
    auto again = open_writer(dir / "state.db", next);
    auto reader = open_reader(dir / "state.db");
    const auto records = last_attempts(*reader, a_run().id);
    REQUIRE(records.size() >= 1);
    CHECK(records[0].key == "0");
  }
}

TEST_CASE("an fsync that says 'no space' is as final as any other") {
  const TemporaryDirectory dir;
  FaultyDisk disk;
  Listener listener;
  auto writer = begin_a_run(dir / "state.db", listener);
  disk.sync_errno = ENOSPC;
  writer->claim({0, 1, 1}, "1");
  REQUIRE(listener.wait_for_final());
  CHECK(listener.waiting_messages().empty());
}

TEST_CASE("an fsync that fails while the WAL is moved ends the record, and what was acknowledged is in the WAL") {
  const TemporaryDirectory dir;
  FaultyDisk disk;
  Listener listener;
  auto writer = begin_a_run(dir / "state.db", listener);
  disk.spare_wal = true;
  disk.sync_errno = EIO;
  core::Ending ending = an_ending(core::Outcome::failed);
  ending.detail = std::string(20 << 20, 'x');  // more than a checkpoint is put off for
  writer->claim({0, 0, 1}, "0");
  REQUIRE(listener.wait_for(writer->ended({0, 0, 1}, std::move(ending))));
  REQUIRE(listener.wait_for_final());
  CHECK(contains(listener.final_messages()[0], "fsync"));
  CHECK(writer->close().ok());  // that it has been told
  writer.reset();
  disk.sync_errno = 0;
  CHECK(rows_in(dir / "state.db") == 1);
}

TEST_CASE("an fsync that fails as the record is closed is told") {
  const TemporaryDirectory dir;
  FaultyDisk disk;
  Listener listener;
  auto writer = begin_a_run(dir / "state.db", listener);
  REQUIRE(listener.wait_for(writer->claim({0, 0, 1}, "0")));
  disk.sync_errno = EIO;
  const auto closed = writer->close();
  REQUIRE_FALSE(closed.ok());
  CHECK(contains(closed.error().message, "fsync: Input/output error"));
  CHECK_MESSAGE(writer->close().ok(), "once");
  writer.reset();
  disk.sync_errno = 0;
  CHECK(rows_in(dir / "state.db") == 1);
}

TEST_CASE("a database that did not take its journal mode is not written to") {
  const TemporaryDirectory dir;
  FaultyDisk disk;
  Listener listener;
  disk.sync_errno = EIO;
  disk.syncs_that_fail = 1;
  const auto writer = Writer::open(dir / "state.db", listener);
  REQUIRE_FALSE(writer.ok());
  CHECK(contains(writer.error().message, "fsync: Input/output error"));
  CHECK_MESSAGE(Writer::open(dir / "state.db", listener).ok(), "and can be once the disk is well");
}

TEST_CASE("a run is not begun on a full disk: the error comes at once") {
  const TemporaryDirectory dir;
  FaultyDisk disk;
  Listener listener;
  auto writer = open_writer(dir / "state.db", listener);
  disk.write_errno = ENOSPC;
  const auto begun = writer->begin_run(a_run());
  REQUIRE_FALSE(begun.ok());
  CHECK(contains(begun.error().message, "no space left"));
  CHECK(begun.error().errno_value == ENOSPC);
  disk.write_errno = 0;
  CHECK_MESSAGE(writer->begin_run(a_run()).ok(), "and can be once there is space");
}

TEST_CASE("an end without a claim is a bug that is not passed over") {
  const TemporaryDirectory dir;
  Listener listener;
  auto writer = begin_a_run(dir / "state.db", listener);
  writer->ended({0, 1, 1}, an_ending());
  REQUIRE(listener.wait_for_final());
  CHECK(contains(listener.final_messages()[0], "bug"));
}

TEST_CASE("a file that is no database, or is damaged, is refused with the next step") {
  const TemporaryDirectory dir;
  const std::string path = dir / "state.db";
  Listener listener;
  SUBCASE("no database") {
    std::ofstream(path) << std::string(8192, 'x');
    const auto writer = Writer::open(path, listener);
    REQUIRE_FALSE(writer.ok());
    CHECK(contains(writer.error().message, path + ": not a database"));
    const auto reader = Reader::open(path);
    REQUIRE_FALSE(reader.ok());
    CHECK(reader.error().message == writer.error().message);
  }
  SUBCASE("damaged") {
    {
      auto writer = begin_a_run(path, listener);
      for (std::uint64_t slice = 0; slice < 2000; ++slice) writer->claim({0, slice, 1}, std::to_string(slice));
    }
    {
      std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
      file.seekp(12 * 4096);  // behind the schema
      file << std::string(12 * 4096UL, '\xa5');
    }
    auto reader = open_reader(path);
    const auto read = reader->last_attempts(a_run().id, [](const core::AttemptRecord&) {});
    REQUIRE_FALSE(read.ok());
    CHECK(contains(read.error().message, "damaged (database disk image is malformed)"));
    CHECK(contains(read.error().message, ".recover"));
  }
}

// ---- a real file system of 2 MB, where this process may mount one

namespace {

/// In a child of its own: fills the disk under a live writer, frees it, and compares. 0: fine; 77: no mount here.
int run_on_a_small_disk(const std::string& path) {
  if (::unshare(CLONE_NEWNS) != 0 && ::unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) return 77;
  if (::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return 77;
  if (::mount("tmpfs", path.c_str(), "tmpfs", 0, "size=2m") != 0) return 77;
  const std::string database = path + "/state.db";
  const std::string ballast = path + "/ballast";
  Listener listener;
  {
    auto writer = Writer::open(database, listener);
    if (!writer || !(*writer)->begin_run(a_run())) return 1;
    std::ofstream(ballast) << std::string(1'000'000, 'b');
    Sequence last = 0;
    std::uint64_t slice = 0;
    while (listener.waiting_messages().empty()) {
      if (slice > 100'000) return 2;
      for (int i = 0; i < 100; ++i, ++slice) last = (*writer)->claim({0, slice, 1}, std::string(40, 'k'));
      if (!listener.wait_for_one_of(last)) return 3;
    }
    const Sequence acknowledged = listener.acknowledged();
    auto reader = Reader::open(database);
    if (!reader) return 4;
    Sequence rows = 0;
    if (!(*reader)->last_attempts(a_run().id, [&](const core::AttemptRecord&) { ++rows; })) return 5;
    if (rows < acknowledged) return 6;
    std::filesystem::remove(ballast);
    if (!listener.wait_for(last) || listener.recoveries() != 1) return 7;
  }
  return listener.final_messages().empty() ? 0 : 8;
}

}  // namespace

TEST_CASE("on a file system that fills up and is freed again no acknowledged record is lost") {
  const TemporaryDirectory dir;
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) ::_exit(run_on_a_small_disk(dir.path()));
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  REQUIRE(WIFEXITED(status));
  if (WEXITSTATUS(status) == 77) {
    MESSAGE("not run: no file system can be mounted here");
    return;
  }
  CHECK(WEXITSTATUS(status) == 0);
}

TEST_CASE("a record that is removed while the run is live is acknowledged no more") {
  const TemporaryDirectory dir;
  Listener listener;
  auto writer = begin_a_run(dir / "state.db", listener);
  const Sequence kept = writer->claim({0, 0, 1}, "0");
  REQUIRE(listener.wait_for(kept));
  std::filesystem::remove(dir / "state.db");
  writer->claim({0, 1, 1}, "1");
  REQUIRE(listener.wait_for_final());
  CHECK(contains(listener.final_messages().front(), "was removed or replaced"));
  CHECK(listener.acknowledged() == kept);
}
