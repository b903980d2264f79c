// Writer over SQLite: a queue, one thread, one transaction per batch.
#include <sqlite3.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <exception>
#include <filesystem>
#include <memory>
#include <mutex>
#include <new>
#include <thread>
#include <utility>

#include "store/attempt_table.hpp"
#include "store/batch.hpp"
#include "store/file_system.hpp"
#include "store/run_table.hpp"
#include "store/schema.hpp"
#include "store/sqlite.hpp"
#include "store/store.hpp"
#include "util/fd.hpp"
#include "util/signals.hpp"
#include "util/text.hpp"

namespace runner::store {

namespace {

using util::Result;

constexpr auto kRetryInterval = std::chrono::milliseconds(200);
// A commit may take one part in so many of the time, up to a gap that people would notice: what a commit costs differs
// by a factor of a hundred between a local disk and a busy shared one.
constexpr int kCommitShare = 32;
constexpr util::Duration kMaxCommitGap = std::chrono::milliseconds(100);
constexpr std::size_t kReserve = std::size_t{1}
                                 << 20U;  // beyond what malloc keeps for itself: given back to the system
constexpr auto kCustodyCheck = std::chrono::seconds(1);
constexpr int kCheckpointPages = 4000;  // 16 MB of WAL: an eighth of the default's checkpoints, a moment's recovery
constexpr int kLeastCheckpointPages = 64;
constexpr std::uint64_t kRoomPerPage = std::uint64_t{4} * 4096;  // bytes: four times what moving the WAL may take

/// WAL where its shared memory works, a rollback journal elsewhere; a commit is on disk before it returns.
Result<void> set_durability(Database& database, bool rollback_journal) {
  const auto shared = shared_file_system_of(database.path());
  if (!shared) return shared.error();
  const std::string wanted = rollback_journal || shared->has_value() ? "truncate" : "wal";
  const auto now = database.query_text("PRAGMA journal_mode");
  if (!now) return now.error();
  if (*now != wanted) {
    const auto mode = database.query_text("PRAGMA journal_mode=" + wanted);
    if (!mode) return mode.error();
    if (*mode != wanted) {
      return util::Error{database.path() + ": SQLite does not take journal mode " + wanted + " here: move the state " +
                         "directory to another file system (--state-dir)"};
    }
  }
  if (database.execute("PRAGMA synchronous=FULL") != SQLITE_OK) return database.error();
  return {};
}

class SqliteWriter final : public Writer {
 public:
  SqliteWriter(Database database, AttemptTable attempts, WriterEvents& events, WriterOptions options)
      : database_(std::move(database)), attempts_(std::move(attempts)), events_(events), options_(std::move(options)) {
    // Checkpoints come after the acknowledgement, not before it as SQLite's own would.
    sqlite3_wal_hook(database_.handle(), &SqliteWriter::note_wal_size, this);
    const util::BlockedSignals blocked;
    thread_ = std::thread([this] { run(); });
  }
  ~SqliteWriter() override { (void)close(); }
  SqliteWriter(const SqliteWriter&) = delete;
  SqliteWriter& operator=(const SqliteWriter&) = delete;

  Result<void> begin_run(const NewRun& run) override;
  Result<void> resume_run(const NewRun& run, const std::vector<core::AttemptId>& lost, const std::vector<Remap>& remaps,
                          const std::vector<Outdated>& outdated) override;
  Result<void> remove_runs(const std::vector<std::string>& run_ids) override;
  Result<void> close() override;

  Sequence claim(const core::AttemptId& id, std::string key) override { return push({id, Claimed{std::move(key)}}); }
  Sequence unclaim(const core::AttemptId& id) override { return push({id, Unclaimed{}}); }
  Sequence started(const core::AttemptId& id, util::WallTime at, int pid, std::string log) override {
    return push({id, Started{at, pid, std::move(log)}});
  }
  Sequence reported(const core::AttemptId& id, core::Report report) override { return push({id, std::move(report)}); }
  Sequence ended(const core::AttemptId& id, core::Ending ending) override { return push({id, std::move(ending)}); }
  Sequence run_state(core::State state, util::WallTime at, std::string reason) override {
    return push({{}, RunMoved{state, at, std::move(reason)}});
  }
  Sequence job_state(std::uint32_t job, core::State state, util::WallTime at, std::string reason) override {
    return push({{.job = job, .slice = 0, .number = 0}, JobMoved{state, at, std::move(reason)}});
  }
  Sequence steered(SteeringRecord record) override { return push({{}, std::move(record)}); }

 private:
  struct Failure {
    std::string message;
    bool may_pass = false;
    bool is_busy = false;  ///< another process has it locked: that passes without anybody's doing
  };

  void hurry() override;
  void lose_patience() override { is_patient_ = false; }
  [[nodiscard]] Sequence taken() const override { return taken_; }
  Sequence push(Operation operation);
  void run();
  void work();
  enum class Taken : std::uint8_t { some, nothing_yet, the_end };
  Taken take(std::vector<Operation>& taken, Sequence& through);
  bool commit(const Batch& batch);
  std::optional<Failure> try_commit(const Batch& batch);
  std::optional<Failure> check_custody();
  int write(const Batch& batch);
  void give_up(const std::string& message);
  [[nodiscard]] bool is_tight() const;
  Result<void> checkpoint();
  Result<void> move_wal();
  template <class Work>
  Result<void> in_transaction(Work work);
  static int note_wal_size(void* self, sqlite3* handle, const char* name, int pages);

  std::mutex database_mutex_;  // the synchronous calls and the thread share the connection
  Database database_;
  AttemptTable attempts_;
  std::int64_t run_ = 0;  // run.number
  std::string host_;
  std::atomic<Sequence> taken_ = 0;  // changes with the queue
  std::atomic<int> wal_pages_ = 0;   // counted by whoever commits
  std::atomic<bool> is_patient_ = true;
  // What it takes to say that there is no memory left. Costs none as long as nobody writes to it.
  std::unique_ptr<char[]> reserve_ = std::make_unique_for_overwrite<char[]>(kReserve);

  WriterEvents& events_;
  const WriterOptions options_;
  util::TimePoint last_commit_{};  // when it began
  util::Duration commit_gap_{};    // from there to the next

  std::mutex mutex_;  // what follows
  std::condition_variable wake_;
  std::vector<Operation> queue_;
  Sequence last_ = 0;
  bool idle_ = false;      // the thread sleeps until something is queued
  bool hurried_ = false;   // somebody waits for what is queued
  bool stopping_ = false;  // no more calls will come
  bool given_up_ = false;

  std::thread thread_;
};

Result<void> SqliteWriter::close() {
  if (!thread_.joinable()) return {};
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
  thread_.join();
  Result<void> result;
  if (!given_up_) result = checkpoint();
  if (!result) given_up_ = true;
  // After a failed fsync nothing more may be moved between WAL and database: the next one to open it recovers.
  if (given_up_) sqlite3_db_config(database_.handle(), SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
  return result;
}

// ---- the loop's side

Sequence SqliteWriter::push(Operation operation) {
  bool idle = false;
  Sequence sequence = 0;
  {
    const std::lock_guard lock(mutex_);
    if (given_up_) return last_;
    queue_.push_back(std::move(operation));
    sequence = ++last_;
    idle = std::exchange(idle_, false);
  }
  if (idle) wake_.notify_one();
  return sequence;
}

void SqliteWriter::hurry() {
  {
    const std::lock_guard lock(mutex_);
    if (queue_.empty() || std::exchange(hurried_, true)) return;
  }
  wake_.notify_one();
}

template <class Work>
Result<void> SqliteWriter::in_transaction(Work work) {
  const std::lock_guard lock(database_mutex_);
  if (database_.execute("BEGIN IMMEDIATE") != SQLITE_OK) return database_.error();
  Result<void> result = work();
  if (result && database_.execute("COMMIT") != SQLITE_OK) result = database_.error();
  if (!result) database_.rollback();
  return result;
}

Result<void> SqliteWriter::begin_run(const NewRun& run) {
  return in_transaction([&]() -> Result<void> {
    const auto number = insert_run(database_, run);
    if (!number) return number.error();
    run_ = *number;
    host_ = run.host;
    return {};
  });
}

Result<void> SqliteWriter::resume_run(const NewRun& run, const std::vector<core::AttemptId>& lost,
                                      const std::vector<Remap>& remaps, const std::vector<Outdated>& outdated) {
  return in_transaction([&]() -> Result<void> {
    const auto number = update_resumed_run(database_, run, lost, remaps, outdated);
    if (!number) return number.error();
    run_ = *number;
    host_ = run.host;
    return {};
  });
}

Result<void> SqliteWriter::remove_runs(const std::vector<std::string>& run_ids) {
  return in_transaction([&] { return delete_runs(database_, run_ids); });
}

// ---- the thread's side

/// Without memory there is no record either, and so no run; an exception here would end the process without a word.
void SqliteWriter::run() {
  try {
    work();
  } catch (const std::bad_alloc&) {
    reserve_.reset();
    give_up(database_.path() + ": cannot be written: out of memory");
  } catch (const std::exception& error) {
    give_up(database_.path() + ": cannot be written: " + error.what());
  }
}

void SqliteWriter::work() {
  std::vector<Operation> taken;
  Batch batch;
  Sequence through = 0;
  for (Taken what = take(taken, through); what != Taken::the_end; what = take(taken, through)) {
    if (what == Taken::nothing_yet) {
      if (const auto lost = check_custody()) return give_up(lost->message);
      continue;
    }
    for (Operation& operation : taken) batch.add(std::move(operation));
    taken.clear();
    if (!commit(batch)) return;
    const util::Duration affordable = (util::steady_now() - last_commit_) * kCommitShare;
    commit_gap_ = std::max(options_.min_commit_gap, std::min(affordable, kMaxCommitGap));
    batch.clear();
    events_.committed(through);
    if (wal_pages_ < kCheckpointPages && !is_tight()) continue;
    if (const auto moved = checkpoint(); !moved) return give_up(moved.error().message);
  }
}

/// The disk is so full that the WAL had better be used again than grow: once there is no room, there is none for moving
/// it to the database either.
bool SqliteWriter::is_tight() const {
  struct statvfs disk {};
  if (wal_pages_ < kLeastCheckpointPages || ::statvfs(database_.path().c_str(), &disk) != 0) return false;
  return std::uint64_t{disk.f_bavail} * disk.f_frsize < kRoomPerPage * static_cast<std::uint64_t>(wal_pages_);
}

/// Waits for work, at most a second, and for the gap since the last commit.
SqliteWriter::Taken SqliteWriter::take(std::vector<Operation>& taken, Sequence& through) {
  std::unique_lock lock(mutex_);
  if (queue_.empty()) {
    idle_ = true;
    const bool woken = wake_.wait_for(lock, kCustodyCheck, [&] { return !queue_.empty() || stopping_; });
    idle_ = false;
    if (!woken) return Taken::nothing_yet;
  }
  wake_.wait_until(lock, last_commit_ + commit_gap_, [&] { return stopping_ || hurried_; });
  hurried_ = false;
  if (queue_.empty() || given_up_) return Taken::the_end;
  taken.swap(queue_);
  taken_ = through = last_;
  last_commit_ = util::steady_now();
  return Taken::some;
}

/// Tries until it is done, patience is at its end, or it is known that it cannot be done.
bool SqliteWriter::commit(const Batch& batch) {
  std::optional<util::TimePoint> failing_since;
  while (true) {
    const auto failure = try_commit(batch);
    if (!failure) {
      if (failing_since) events_.recovered();
      return true;
    }
    const util::TimePoint now = util::steady_now();
    const bool waits =
        (is_patient_ || failure->is_busy) && (!failing_since || now - *failing_since < options_.patience);
    if (!failure->may_pass || !waits) {
      give_up(failure->message);
      return false;
    }
    if (!failing_since) {
      failing_since = now;
      events_.trouble(failure->message + " (tried again for " +
                          util::format_count(static_cast<std::uint64_t>(util::seconds(options_.patience))) + " s)",
                      true);
    }
    std::this_thread::sleep_for(kRetryInterval);
  }
}

std::optional<SqliteWriter::Failure> SqliteWriter::try_commit(const Batch& batch) {
  if (auto lost = check_custody()) return lost;
  int code = SQLITE_OK;
  Failure failure;
  {
    const std::lock_guard lock(database_mutex_);
    code = write(batch);
    if (code == SQLITE_MISUSE) {
      failure.message = database_.path() + ": an attempt ended that was never claimed (a bug in runner)";
    } else if (code != SQLITE_OK) {
      failure = {.message = database_.error().message,
                 .may_pass = may_pass(code, database_.system_errno()),
                 .is_busy = (code & 0xff) == SQLITE_BUSY};
    }
    if (code != SQLITE_OK) database_.rollback();
  }
  if (auto lost = check_custody()) return lost;
  return code == SQLITE_OK ? std::nullopt : std::optional(std::move(failure));
}

/// Whether what is committed can be found by the next runner, and nobody else writes.
std::optional<SqliteWriter::Failure> SqliteWriter::check_custody() {
  const std::lock_guard lock(database_mutex_);
  if (const auto lost = database_.lost_file()) {
    // If only the WAL is gone, what it holds can still be moved to where it will be found.
    if (lost->can_still_be_read) (void)move_wal();
    return Failure{lost->path + ": was " + std::string(lost->what) + " while the run was live, and the record with it"};
  }
  if (!options_.keep) return std::nullopt;
  const auto kept = options_.keep();
  return kept ? std::nullopt : std::optional(Failure{kept.error().message});
}

int SqliteWriter::write(const Batch& batch) {
  if (const int code = database_.execute("BEGIN IMMEDIATE"); code != SQLITE_OK) return code;
  for (const Change& change : batch.changes()) {
    if (const int code = attempts_.write(database_, run_, host_, change); code != SQLITE_OK) return code;
  }
  for (const auto& [job, moved] : batch.jobs_moved()) {
    if (const int code = write_job_state(database_, run_, job, moved); code != SQLITE_OK) return code;
  }
  for (const SteeringRecord& record : batch.steered()) {
    if (const int code = write_steering(database_, run_, record); code != SQLITE_OK) return code;
  }
  if (batch.run_moved()) {
    if (const int code = write_run_state(database_, run_, *batch.run_moved()); code != SQLITE_OK) return code;
  }
  return database_.execute("COMMIT");
}

void SqliteWriter::give_up(const std::string& message) {
  {
    const std::lock_guard lock(mutex_);
    given_up_ = true;
    queue_ = {};
  }
  events_.trouble(message, false);
}

int SqliteWriter::note_wal_size(void* self, sqlite3* /*handle*/, const char* /*name*/, int pages) {
  static_cast<SqliteWriter*>(self)->wal_pages_ = pages;
  return SQLITE_OK;
}

Result<void> SqliteWriter::checkpoint() {
  const std::lock_guard lock(database_mutex_);
  return move_wal();
}

/// What a checkpoint fails to move stays in the WAL, where it is safe, and is moved by the next one: no error, unless a
/// sync failed.
Result<void> SqliteWriter::move_wal() {
  wal_pages_ = 0;
  errno = 0;
  const int code = sqlite3_wal_checkpoint_v2(database_.handle(), nullptr, SQLITE_CHECKPOINT_PASSIVE, nullptr, nullptr);
  if (is_failed_sync(code)) return database_.error();
  return {};
}

}  // namespace

Result<std::unique_ptr<Writer>> Writer::open(const std::string& path, WriterEvents& events, WriterOptions options) {
  auto database = Database::open(path, Access::read_write);
  if (!database) return database.error();
  // A file that is not ours to change is refused before its journal mode is.
  if (auto known = check_schema(*database); !known && known.error().errno_value != ENOENT) return known.error();
  if (auto set = set_durability(*database, options.rollback_journal); !set) return set.error();
  if (auto made = create_or_upgrade_schema(*database); !made) return made.error();
  auto attempts = AttemptTable::prepare(*database);
  if (!attempts) return attempts.error();
  // SQLite syncs the directory of its files, too, but passes over it when that fails.
  const std::string directory = std::filesystem::path(path).parent_path().string();
  if (auto synced = util::sync_directory(directory.empty() ? "." : directory); !synced) return synced.error();
  return std::unique_ptr<Writer>(
      std::make_unique<SqliteWriter>(std::move(*database), std::move(*attempts), events, std::move(options)));
}

}  // namespace runner::store
