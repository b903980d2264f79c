// The record under SIGKILL, beside readers in other processes, and where only reading is allowed.
#include <doctest/doctest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <map>
#include <random>

#include "store/file_system.hpp"
#include "store/sqlite.hpp"
#include "store_support.hpp"
#include "util/fd.hpp"

using namespace runner;
using namespace runner::store;
using namespace runner::store::testing;
namespace fs = std::filesystem;

namespace {

/// Tells a pipe what is acknowledged; in a process that will be killed.
class PipeEvents final : public WriterEvents {
 public:
  explicit PipeEvents(int fd) : fd_(fd) {}
  void committed(Sequence through) override {
    if (::write(fd_, &through, sizeof through) != sizeof through) ::_exit(3);
    const std::lock_guard lock(mutex_);
    through_ = through;
    changed_.notify_one();
  }
  void trouble(const std::string& /*message*/, bool /*waiting*/) override { ::_exit(4); }
  void recovered() override {}
  void wait_for(Sequence sequence) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return through_ >= sequence; });
  }

 private:
  int fd_;
  std::mutex mutex_;
  std::condition_variable changed_;
  Sequence through_ = 0;
};

/// Claims (odd sequences) and ends (even ones) slice after slice until it is killed.
[[noreturn]] void write_for_ever(const std::string& path, int fd, WriterOptions options) {
  PipeEvents events(fd);
  auto writer = Writer::open(path, events, options);
  if (!writer || !(*writer)->begin_run(a_run())) ::_exit(2);
  for (std::uint64_t slice = 0;; ++slice) {
    (*writer)->claim({0, slice, 1}, std::to_string(slice));
    const Sequence last = (*writer)->ended({0, slice, 1}, an_ending());
    if (slice % 50 == 49) events.wait_for(last - 60);
  }
}

/// Lets a writer acknowledge so many sequences, kills it, and gives the last that it acknowledged.
Sequence kill_a_writer_after(const std::string& path, Sequence enough, WriterOptions options) {
  auto pipe = util::make_pipe();
  REQUIRE(pipe.ok());
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) write_for_ever(path, pipe->write.get(), options);
  pipe->write.reset();
  Sequence acknowledged = 0;
  Sequence next = 0;
  bool killed = false;
  while (::read(pipe->read.get(), &next, sizeof next) == sizeof next) {
    acknowledged = next;
    if (acknowledged < enough || killed) continue;
    REQUIRE(::kill(child, SIGKILL) == 0);
    killed = true;
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  REQUIRE(WIFSIGNALED(status));
  return acknowledged;
}

struct Counts {
  Sequence claims = 0;
  Sequence ends = 0;
};
Counts count_rows(const std::string& path) {
  auto reader = open_reader(path);
  Counts counts;
  int gaps = 0;
  for (const auto& record : last_attempts(*reader, a_run().id)) {
    gaps += record.id.slice != counts.claims ? 1 : 0;
    ++counts.claims;
    counts.ends += record.ending ? 1 : 0;
  }
  CHECK(gaps == 0);
  return counts;
}

/// A copy of the database as a crash would leave it: made while a writer has it open.
std::string crashed_copy(const TemporaryDirectory& dir) {
  Listener listener;
  auto writer = begin_a_run(dir / "state.db", listener);
  REQUIRE(listener.wait_for(writer->claim({0, 0, 1}, "0")));
  fs::create_directory(dir / "copy");
  for (const char* name : {"state.db", "state.db-wal", "state.db-shm"}) fs::copy(dir / name, dir / "copy");
  return dir / "copy/state.db";
}

/// In a child without root's rights: how many rows it reads there (100 + n), or 1 where opening fails.
int read_as_nobody(const std::string& path) {
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    if (::geteuid() == 0 && ::setresuid(65534, 65534, 65534) != 0) ::_exit(77);
    auto reader = Reader::open(path);
    if (!reader) ::_exit(reader.error().message.find("write access") != std::string::npos ? 2 : 1);
    int rows = 0;
    const auto read = (*reader)->last_attempts(a_run().id, [&](const core::AttemptRecord&) { ++rows; });
    ::_exit(read ? 100 + rows : 3);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  REQUIRE(WIFEXITED(status));
  return WEXITSTATUS(status);
}

/// Everybody may read, nobody may write.
void make_read_only(const fs::path& directory) {
  for (const auto& entry : fs::directory_iterator(directory)) fs::permissions(entry, fs::perms(0444));
  fs::permissions(directory, fs::perms(0555));
}

}  // namespace

TEST_CASE("a reader takes back what a rollback journal left half written") {
  const TemporaryDirectory dir;
  {
    Listener listener;
    auto writer = begin_a_run(dir / "state.db", listener, {.rollback_journal = true});
    REQUIRE(listener.wait_for(writer->claim({0, 0, 1}, "0")));
  }
  auto database = Database::open(dir / "state.db", Access::read_write);
  REQUIRE(database.ok());
  // A cache of ten pages spills: journal and database are written before the commit that never comes.
  for (const char* sql : {"PRAGMA journal_mode=truncate", "PRAGMA cache_size=10", "BEGIN",
                          "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000) "
                          "INSERT INTO attempt (run, job, slice, number, key) SELECT 1, 0, i, 1, hex(zeroblob(500)) "
                          "FROM n"}) {
    REQUIRE(database->execute(sql) == 0);
  }
  fs::create_directory(dir / "copy");
  for (const char* name : {"state.db", "state.db-journal"}) fs::copy(dir / name, dir / "copy");
  REQUIRE(fs::file_size(dir / "copy/state.db-journal") > 0);
  auto reader = open_reader(dir / "copy/state.db");
  CHECK(last_attempts(*reader, a_run().id).size() == 1);
}

TEST_CASE("reading a record that was closed leaves no files") {
  const TemporaryDirectory dir;
  {
    Listener listener;
    auto writer = begin_a_run(dir / "state.db", listener);
  }
  REQUIRE(open_reader(dir / "state.db")->runs()->size() == 1);
  for (const auto& entry : fs::directory_iterator(dir.path())) CHECK(entry.path().filename() == "state.db");
}

TEST_CASE("whenever the writer is killed, everything it acknowledged is in the record") {
  std::mt19937 random(20261121);
  for (int round = 0; round < 24; ++round) {
    const WriterOptions options{.min_commit_gap = std::chrono::milliseconds(round % 3),
                                .rollback_journal = round % 4 == 3};
    const TemporaryDirectory dir;
    const Sequence acknowledged = kill_a_writer_after(dir / "state.db", 1 + random() % 2000, options);
    CAPTURE(round);
    CAPTURE(acknowledged);
    const Counts counts = count_rows(dir / "state.db");
    CHECK(counts.claims >= (acknowledged + 1) / 2);
    CHECK(counts.ends >= acknowledged / 2);
  }
}

TEST_CASE("a killed writer's run is taken up by the next one") {
  const TemporaryDirectory dir;
  const Sequence acknowledged = kill_a_writer_after(dir / "state.db", 500, {});
  std::vector<core::AttemptId> lost;
  {
    auto reader = open_reader(dir / "state.db");
    for (const auto& record : last_attempts(*reader, a_run().id)) {
      if (!record.ending) lost.push_back(record.id);
    }
  }
  Listener listener;
  auto writer = open_writer(dir / "state.db", listener);
  REQUIRE(writer->resume_run(a_run(), lost).ok());
  auto reader = open_reader(dir / "state.db");
  Sequence ended = 0;
  for (const auto& record : last_attempts(*reader, a_run().id)) {
    REQUIRE(record.ending.has_value());
    ended += record.ending->outcome == core::Outcome::succeeded ? 1 : 0;
  }
  CHECK(ended >= acknowledged / 2);
}

TEST_CASE("a reader beside a live writer sees whole records that only grow, with either journal") {
  for (const bool rollback_journal : {false, true}) {
    CAPTURE(rollback_journal);
    const TemporaryDirectory dir;
    auto pipe = util::make_pipe();
    REQUIRE(pipe.ok());
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
      write_for_ever(dir / "state.db", pipe->write.get(),
                     {.min_commit_gap = std::chrono::milliseconds(5), .rollback_journal = rollback_journal});
    }
    pipe->write.reset();
    Counts before;
    Sequence acknowledged = 0;
    for (int i = 0; i < 15; ++i) {
      REQUIRE(::read(pipe->read.get(), &acknowledged, sizeof acknowledged) == sizeof acknowledged);
      const Counts now = count_rows(dir / "state.db");
      CHECK(now.claims >= before.claims);
      CHECK(now.ends >= before.ends);
      CHECK(now.ends >= acknowledged / 2);
      before = now;
    }
    ::kill(child, SIGKILL);
    int status = 0;
    ::waitpid(child, &status, 0);
    CHECK(WIFSIGNALED(status));
  }
}

TEST_CASE("without a database there is an error that names it, and none is made") {
  const TemporaryDirectory dir;
  const auto reader = Reader::open(dir / "state.db");
  REQUIRE_FALSE(reader.ok());
  CHECK(reader.error().message.find(dir / "state.db") != std::string::npos);
  CHECK(reader.error().errno_value == ENOENT);
  CHECK_FALSE(fs::exists(dir / "state.db"));
}

TEST_CASE("a record in a directory that cannot be written to is read, ended or crashed") {
  const TemporaryDirectory dir;
  fs::permissions(dir.path(), fs::perms(0755));
  const std::string copy = crashed_copy(dir);
  SUBCASE("ended") {
    Listener listener;
    open_writer(copy, listener).reset();
    REQUIRE_FALSE(fs::exists(copy + "-wal"));
    make_read_only(dir / "copy");
    CHECK(read_as_nobody(copy) == 101);
  }
  SUBCASE("crashed") {
    make_read_only(dir / "copy");
    CHECK(read_as_nobody(copy) == 101);
  }
  SUBCASE("crashed, and copied without its -shm file: the newest records are not passed over in silence") {
    fs::remove(copy + "-shm");
    make_read_only(dir / "copy");
    CHECK(read_as_nobody(copy) == 2);
  }
  fs::permissions(dir / "copy", fs::perms(0755));
}

TEST_CASE("file systems that hosts share are told from local ones") {
  CHECK(shared_file_system(0x6969) == "NFS");
  CHECK(shared_file_system(0x0BD00BD0) == "Lustre");
  CHECK(shared_file_system(0x47504653) == "GPFS");
  CHECK(shared_file_system(0xFF534D42) == "CIFS");
  CHECK(shared_file_system(0x65735546) == "FUSE");
  CHECK_FALSE(shared_file_system(0xEF53).has_value());      // ext4
  CHECK_FALSE(shared_file_system(0x58465342).has_value());  // XFS
  CHECK_FALSE(shared_file_system(0x01021994).has_value());  // tmpfs
  CHECK_FALSE(shared_file_system(0x794C7630).has_value());  // overlayfs
  CHECK_FALSE(shared_file_system_of("/no/such/place").ok());
}
