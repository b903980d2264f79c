// Reader over SQLite.
#include <sqlite3.h>
#include <sys/stat.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <utility>

#include "store/attempt_table.hpp"
#include "store/run_table.hpp"
#include "store/schema.hpp"
#include "store/sqlite.hpp"
#include "store/store.hpp"
#include "util/text.hpp"

namespace runner::store {

namespace {

using util::Result;

core::State state_from_name(std::string_view text) {
  for (std::size_t i = 0; i < core::kStateCount; ++i) {
    const auto state = static_cast<core::State>(i);
    if (core::name(state) == text) return state;
  }
  return core::State::initial;
}

/// The columns that read_run() expects, of a file with that version of the schema.
std::string select_runs(int version) {
  return std::string("SELECT number, id, name, spec_path, spec, host, pid, state, started_at, ended_at, resumes, ") +
         "reason, settings, " + (version < 2 ? "NULL, NULL, NULL" : "boot_id, containment, place") + ", " +
         (version < 6 ? "NULL" : "spec_since") + " FROM run ";
}

std::string select_jobs(int version) {
  return std::string("SELECT name, slices, fingerprint, selection, ") +
         (version < 3 ? "NULL, NULL, NULL, NULL" : "kind, state, state_at, reason") +
         " FROM job WHERE run = ? ORDER BY job";
}

std::string and_job(std::optional<std::uint32_t> job) {
  return job ? "AND job = " + std::to_string(*job) : "";
}

/// An id is shown, and names a directory: nothing but what new_run_id() makes of it, and "~1" behind.
bool is_run_id(std::string_view id) {
  const auto is_good = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '~';
  };
  return !id.empty() && id.size() <= 100 && id.front() != '-' && std::all_of(id.begin(), id.end(), is_good);
}

Result<StoredRun> read_run(const Statement& row, const std::string& path) {
  StoredRun run;
  run.info.id = row.text(1);
  if (!is_run_id(run.info.id)) {
    return util::Error{path + ": the record is damaged: \"" + util::escape_for_display(run.info.id, 60) +
                       "\" is no run's id; move the directory away and start anew"};
  }
  run.info.name = row.text(2);
  run.info.spec_path = row.text(3);
  run.spec_text = row.text(4);
  run.info.host = row.text(5);
  run.info.pid = static_cast<int>(row.integer(6));
  run.info.state = state_from_name(row.text(7));
  run.info.started_at = util::from_unix_seconds(row.real(8));
  if (!row.is_null(9)) run.info.ended_at = util::from_unix_seconds(row.real(9));
  run.info.resumes = static_cast<std::uint32_t>(row.integer(10));
  run.info.reason = row.text(11);
  run.settings = row.text(12);
  run.boot_id = row.text(13);
  run.info.containment = row.text(14);
  run.place = row.text(15);
  if (!row.is_null(16)) run.spec_since = util::from_unix_seconds(row.real(16));
  return run;
}

class SqliteReader final : public Reader {
 public:
  SqliteReader(Database database, int version)
      : database_(std::move(database)),
        version_(version),
        select_runs_(select_runs(version)),
        select_jobs_(select_jobs(version)),
        attempt_columns_(attempt_columns(version)) {}

  Result<std::optional<StoredRun>> find_run(const std::optional<std::string>& id) override;
  Result<std::vector<StoredRun>> runs() override;
  Result<void> last_attempts(const std::string& run_id, const std::function<void(const core::AttemptRecord&)>& visit,
                             std::optional<std::uint32_t> job) override;
  Result<void> ended_attempts(const std::string& run_id,
                              const std::function<void(const core::AttemptRecord&)>& visit) override;
  Result<void> counted(const std::string& run_id,
                       const std::function<void(const core::AttemptId&, const core::Counted&)>& visit,
                       std::optional<std::uint32_t> job) override;
  Result<std::vector<core::AttemptRecord>> attempts_of(const std::string& run_id, std::uint32_t job,
                                                       std::uint64_t slice) override;

 private:
  Result<std::vector<NewRun::Job>> read_jobs(std::int64_t run);
  [[nodiscard]] util::Error damaged(const core::AttemptId& id) const;
  Result<Statement> select_attempts(const std::string& columns, const std::string& run_id, std::string_view rest);
  /// Calls `on_row` for every row of `statement`.
  template <class OnRow>
  Result<void> each(Statement& statement, OnRow on_row);

  Database database_;
  int version_;
  std::string select_runs_;
  std::string select_jobs_;
  std::string attempt_columns_;
};

template <class OnRow>
Result<void> SqliteReader::each(Statement& statement, OnRow on_row) {
  int code = SQLITE_OK;
  while ((code = statement.step()) == SQLITE_ROW) on_row(statement);
  if (code == SQLITE_DONE) return {};
  return database_.error();
}

Result<std::vector<NewRun::Job>> SqliteReader::read_jobs(std::int64_t run) {
  auto statement = database_.prepare(select_jobs_);
  if (!statement) return statement.error();
  statement->bind(run);
  std::vector<NewRun::Job> jobs;
  auto done = each(*statement, [&](const Statement& row) {
    jobs.push_back({.name = std::string(row.text(0)),
                    .slices = static_cast<std::uint64_t>(row.integer(1)),
                    .fingerprint = std::bit_cast<std::uint64_t>(row.integer(2)),
                    .selection = std::string(row.text(3)),
                    .kind = core::job_kind_from_name(row.text(4)),
                    .state = state_from_name(row.text(5)),
                    .reason = std::string(row.text(7))});
    if (!row.is_null(6)) jobs.back().state_at = util::from_unix_seconds(row.real(6));
  });
  if (!done) return done.error();
  return jobs;
}

Result<std::optional<StoredRun>> SqliteReader::find_run(const std::optional<std::string>& id) {
  const std::string sql =
      select_runs_ + (id ? "WHERE id = ?" : "WHERE part_of IS NULL") + " ORDER BY number DESC LIMIT 1";
  auto statement = database_.prepare(sql);
  if (!statement) return statement.error();
  if (id) statement->bind(*id);
  const int code = statement->step();
  if (code == SQLITE_DONE) return std::optional<StoredRun>();
  if (code != SQLITE_ROW) return database_.error();
  auto run = read_run(*statement, database_.path());
  if (!run) return run.error();
  auto jobs = read_jobs(statement->integer(0));
  if (!jobs) return jobs.error();
  run->jobs = std::move(*jobs);
  return std::optional<StoredRun>(std::move(*run));
}

Result<std::vector<StoredRun>> SqliteReader::runs() {
  auto statement = database_.prepare(select_runs_ + "WHERE part_of IS NULL ORDER BY number DESC");
  if (!statement) return statement.error();
  std::vector<StoredRun> runs;
  int code = SQLITE_OK;
  while ((code = statement->step()) == SQLITE_ROW) {
    auto run = read_run(*statement, database_.path());
    if (!run) return run.error();
    runs.push_back(std::move(*run));
    auto jobs = read_jobs(statement->integer(0));
    if (!jobs) return jobs.error();
    runs.back().jobs = std::move(*jobs);
  }
  if (code != SQLITE_DONE) return database_.error();
  return runs;
}

/// Of a run that does not exist: no rows.
Result<Statement> SqliteReader::select_attempts(const std::string& columns, const std::string& run_id,
                                                std::string_view rest) {
  const auto number = find_run_number(database_, run_id);
  if (!number) return number.error();
  return database_.prepare("SELECT " + columns + " FROM attempt WHERE run = " + std::to_string(number->value_or(-1)) +
                           " " + std::string(rest));
}

Result<void> SqliteReader::last_attempts(const std::string& run_id,
                                         const std::function<void(const core::AttemptRecord&)>& visit,
                                         std::optional<std::uint32_t> job) {
  // Most rows are successes, and every column costs: a second scan, of the same snapshot, has what else there is of the
  // others, and begins with the first of them.
  const std::string in_order = " ORDER BY job, slice, number";
  auto statement = select_attempts(success_columns(), run_id, and_job(job) + in_order);
  if (!statement) return statement.error();
  const std::string from_there = job ? " AND (slice, number) >= (?, ?)" : " AND (job, slice, number) >= (?, ?, ?)";
  auto others = select_attempts(attempt_columns_, run_id,
                                and_job(job) + from_there + " AND outcome IS NOT '" +
                                    std::string(core::name(core::Outcome::succeeded)) + "'" + in_order);
  if (!others) return others.error();
  const auto begin_others = [&](const core::AttemptId& at) {
    job ? others->bind(at.slice, at.number) : others->bind(at.job, at.slice, at.number);
  };

  core::AttemptRecord success;
  core::AttemptRecord other;
  success.ending.emplace();
  bool has_begun = false;
  const core::AttemptRecord* last = nullptr;
  int code = SQLITE_OK;
  // The scan of the primary key is in order; a record is the slice's last when the next row is another slice's.
  while ((code = statement->step()) == SQLITE_ROW) {
    const core::AttemptId id = read_id(*statement);
    const bool same_slice = last != nullptr && last->id.job == id.job && last->id.slice == id.slice;
    if (last != nullptr && !same_slice) visit(*last);
    const std::uint32_t never_started = same_slice ? last->never_started : 0;
    const bool has_succeeded = same_slice && (last == &success || last->outdated);
    if (read_success(*statement, success)) {
      success.never_started = never_started;
      last = &success;
      continue;
    }
    if (!std::exchange(has_begun, true)) begin_others(id);
    const int other_code = others->step();
    if (other_code != SQLITE_ROW && other_code != SQLITE_DONE) return database_.error();
    if (other_code == SQLITE_DONE || read_id(*others) != id) return damaged(id);
    read_attempt(*others, other);
    const bool not_started = other.was_cancelled_before_start();
    other.never_started = never_started + (not_started ? 1 : 0);
    other.outdated = not_started && has_succeeded;
    last = &other;
  }
  if (code != SQLITE_DONE) return database_.error();
  if (last != nullptr) visit(*last);
  return {};
}

/// One of its rows, or the one before, is not as this program writes it.
util::Error SqliteReader::damaged(const core::AttemptId& id) const {
  return {database_.path() + ": the record is damaged at job " + std::to_string(id.job) + ", slice " +
          std::to_string(id.slice) + ", attempt " + std::to_string(id.number) +
          ": its rows do not fit together; move the directory away and start anew"};
}

Result<void> SqliteReader::ended_attempts(const std::string& run_id,
                                          const std::function<void(const core::AttemptRecord&)>& visit) {
  auto statement = select_attempts(attempt_columns_, run_id, "AND ended_at IS NOT NULL ORDER BY ended_at");
  if (!statement) return statement.error();
  core::AttemptRecord record;
  return each(*statement, [&](const Statement& row) {
    read_attempt(row, record);
    visit(record);
  });
}

Result<void> SqliteReader::counted(const std::string& run_id,
                                   const std::function<void(const core::AttemptId&, const core::Counted&)>& visit,
                                   std::optional<std::uint32_t> job) {
  if (version_ < 4) return {};
  const auto number = find_run_number(database_, run_id);
  if (!number) return number.error();
  auto statement =
      database_.prepare("SELECT job, slice, number, name, value FROM counter WHERE run = ? " + and_job(job));
  if (!statement) return statement.error();
  statement->bind(number->value_or(-1));
  core::Counted counted;
  return each(*statement, [&](const Statement& row) {
    counted.name = row.text(3);
    counted.value = row.integer(4);
    visit({.job = static_cast<std::uint32_t>(row.integer(0)),
           .slice = static_cast<std::uint64_t>(row.integer(1)),
           .number = static_cast<std::uint32_t>(row.integer(2))},
          counted);
  });
}

Result<std::vector<core::AttemptRecord>> SqliteReader::attempts_of(const std::string& run_id, std::uint32_t job,
                                                                   std::uint64_t slice) {
  auto statement = select_attempts(attempt_columns_, run_id, "AND job = ? AND slice = ? ORDER BY number");
  if (!statement) return statement.error();
  statement->bind(job, slice);
  std::vector<core::AttemptRecord> attempts;
  auto done = each(*statement, [&](const Statement& row) { read_attempt(row, attempts.emplace_back()); });
  if (!done) return done.error();
  return attempts;
}

bool has_wal(const std::string& path) {
  struct stat info {};
  return ::lstat((path + "-wal").c_str(), &info) == 0 && info.st_size > 0;
}

}  // namespace

Result<std::unique_ptr<Reader>> Reader::open(const std::string& path) {
  auto database = Database::open(path, Access::read_only);
  if (!database) return database.error();
  // What is in a WAL is for a writer to move, who can tell of a failure; the empty one that reading makes goes again.
  if (has_wal(path)) sqlite3_db_config(database->handle(), SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
  auto checked = check_schema(*database);
  const int kind = database->code() & 0xff;
  const bool no_space = !checked && (checked.error().errno_value == ENOSPC || checked.error().errno_value == EDQUOT);
  if (!checked && checked.error().errno_value == ELOOP) return checked.error();
  if (!checked && (kind == SQLITE_CANTOPEN || kind == SQLITE_READONLY || no_space)) {
    // A directory that we may not write to, or a full disk: SQLite cannot make the -shm file. Without a WAL nothing is
    // lost by reading the file as it is; with one the newest records would be missing, so say what is needed instead.
    if (has_wal(path)) {
      if (no_space) return checked.error();
      return util::Error{path + ": was not closed in order and needs write access to be read: copy the directory to " +
                         "where you may write, and look there"};
    }
    database = Database::open(path, Access::immutable);
    if (!database) return database.error();
    checked = check_schema(*database);
  }
  if (!checked) return checked.error();
  return std::unique_ptr<Reader>(std::make_unique<SqliteReader>(std::move(*database), *checked));
}

}  // namespace runner::store
