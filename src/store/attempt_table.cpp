#include "store/attempt_table.hpp"

#include <sqlite3.h>

#include <string_view>
#include <utility>

namespace runner::store {

namespace {

using util::unix_seconds;

/// An Ending as columns: what means nothing is NULL.
struct EndColumns {
  explicit EndColumns(const core::Ending& ending) : outcome(core::name(ending.outcome)) {
    const bool ran = ending.outcome != core::Outcome::not_started;
    if (ending.signal != 0) {
      signal = ending.signal;
    } else if (ran) {
      exit_code = ending.exit_code;
    }
    if (ending.started_at != util::WallTime{}) started_at = unix_seconds(ending.started_at);
    if (!ending.log.empty()) log = ending.log;
    if (!ending.detail.empty()) detail = ending.detail;
  }

  std::string_view outcome;
  std::optional<int> exit_code;
  std::optional<int> signal;
  std::optional<double> started_at;
  std::optional<std::string_view> log;
  std::optional<std::string_view> detail;
};

}  // namespace

util::Result<AttemptTable> AttemptTable::prepare(Database& database) {
  AttemptTable table;
  const std::pair<Statement*, std::string_view> statements[] = {
      {&table.insert_,
       "INSERT INTO attempt (run, job, slice, number, key, started_at, host, pid, log, outcome, exit_code, signal, "
       "ended_at, runtime_s, user_s, system_s, max_rss_kib, detail) "
       "VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"},
      {&table.start_,
       "UPDATE attempt SET started_at = ?, host = ?, pid = ?, log = ? "
       "WHERE run = ? AND job = ? AND slice = ? AND number = ?"},
      {&table.report_,
       "UPDATE attempt SET progress = ?, status = ? WHERE run = ? AND job = ? AND slice = ? AND number = ?"},
      {&table.end_,
       "UPDATE attempt SET started_at = ifnull(?, started_at), host = ifnull(?, host), pid = ifnull(?, pid), log = ?, "
       "outcome = ?, exit_code = ?, signal = ?, ended_at = ?, runtime_s = ?, user_s = ?, system_s = ?, "
       "max_rss_kib = ?, detail = ? WHERE run = ? AND job = ? AND slice = ? AND number = ?"},
      {&table.erase_, "DELETE FROM attempt WHERE run = ? AND job = ? AND slice = ? AND number = ?"},
      {&table.count_, "INSERT INTO counter (run, job, slice, number, name, value) VALUES (?,?,?,?,?,?)"},
      {&table.uncount_, "DELETE FROM counter WHERE run = ? AND job = ? AND slice = ?"},
  };
  for (const auto& [statement, sql] : statements) {
    auto prepared = database.prepare(sql);
    if (!prepared) return prepared.error();
    *statement = std::move(*prepared);
  }
  return table;
}

int AttemptTable::write(Database& database, std::int64_t run, const std::string& host, const Change& change) {
  const auto& [job, slice, number] = change.id;
  const auto& started = change.started;
  const auto pid = started ? std::optional<int>(started->pid) : std::nullopt;
  const auto host_seen = started ? std::optional<std::string_view>(host) : std::nullopt;
  const auto started_at = started ? std::optional<double>(unix_seconds(started->at)) : std::nullopt;

  int code = SQLITE_OK;
  if (change.kind == Change::Kind::none) return code;
  if (change.kind == Change::Kind::erase) {
    code = erase_.run(run, job, slice, number);
  } else if (change.ending) {
    const EndColumns end(*change.ending);
    const core::Usage& usage = change.ending->usage;
    const auto begin = end.started_at ? end.started_at : started_at;
    const double ended_at = unix_seconds(change.ending->ended_at);
    const double runtime = util::seconds(change.ending->runtime);
    const double user = util::seconds(usage.user);
    const double system = util::seconds(usage.system);
    code = change.kind == Change::Kind::insert
               ? insert_.run(run, job, slice, number, change.key, begin, host_seen, pid, end.log, end.outcome,
                             end.exit_code, end.signal, ended_at, runtime, user, system, usage.max_rss_kib, end.detail)
               : end_.run(begin, host_seen, pid, end.log, end.outcome, end.exit_code, end.signal, ended_at, runtime,
                          user, system, usage.max_rss_kib, end.detail, run, job, slice, number);
  } else if (change.kind == Change::Kind::update && !started) {
    return report(run, change);
  } else {
    const auto log = started ? std::optional<std::string_view>(started->log) : std::nullopt;
    const std::nullptr_t null{};
    code = change.kind == Change::Kind::insert
               ? insert_.run(run, job, slice, number, change.key, started_at, host_seen, pid, log, null, null, null,
                             null, null, null, null, null, null)
               : start_.run(started_at, host_seen, pid, log, run, job, slice, number);
  }
  if (code == SQLITE_OK && database.changes() != 1) return SQLITE_MISUSE;
  const bool counts = change.ending && change.ending->outcome == core::Outcome::succeeded;
  if (code == SQLITE_OK && counts) code = write_counters(run, change.id, change.ending->counters);
  return code == SQLITE_OK && change.kind != Change::Kind::erase ? report(run, change) : code;
}

int AttemptTable::write_counters(std::int64_t run, const core::AttemptId& id,
                                 const std::vector<core::Counted>& counters) {
  int code = id.number > 1 ? uncount_.run(run, id.job, id.slice) : SQLITE_OK;
  for (const auto& [name, value] : counters) {
    if (code == SQLITE_OK) code = count_.run(run, id.job, id.slice, id.number, name, value);
  }
  return code;
}

int AttemptTable::report(std::int64_t run, const Change& change) {
  if (!change.report || change.ending) return SQLITE_OK;
  const auto& [job, slice, number] = change.id;
  const auto& status = change.report->status;
  return report_.run(change.report->progress, status ? std::optional<std::string_view>(*status) : std::nullopt, run,
                     job, slice, number);
}

std::string success_columns() {
  return "job, slice, number, key, outcome, runtime_s";
}

std::string attempt_columns(int schema_version) {
  return success_columns() +
         ", started_at, pid, ended_at, exit_code, signal, user_s, system_s, max_rss_kib, host, log, detail, " +
         (schema_version < 3 ? "NULL, NULL" : "progress, status");
}

namespace {

enum Column : int {  // as attempt_columns() has them
  kJob,
  kSlice,
  kNumber,
  kKey,
  kOutcome,
  kRuntime,
  kStartedAt,
  kPid,
  kEndedAt,
  kExitCode,
  kSignal,
  kUser,
  kSystem,
  kMaxRss,
  kHost,
  kLog,
  kDetail,
  kProgress,
  kStatus,
};

}  // namespace

core::AttemptId read_id(const Statement& row) {
  return {.job = static_cast<std::uint32_t>(row.integer(kJob)),
          .slice = static_cast<std::uint64_t>(row.integer(kSlice)),
          .number = static_cast<std::uint32_t>(row.integer(kNumber))};
}

void read_attempt(const Statement& row, core::AttemptRecord& record) {
  record.id = read_id(row);
  record.key = row.text(kKey);
  record.started_at.reset();
  if (!row.is_null(kStartedAt)) record.started_at = util::from_unix_seconds(row.real(kStartedAt));
  record.pid = static_cast<int>(row.integer(kPid));
  record.host = row.text(kHost);
  record.log = row.text(kLog);
  record.report = {};
  if (row.is_null(kOutcome)) {
    record.ending.reset();
    if (!row.is_null(kProgress)) record.report.progress = row.real(kProgress);
    if (!row.is_null(kStatus)) record.report.status = std::string(row.text(kStatus));
    return;
  }
  core::Ending& ending = record.ending ? *record.ending : record.ending.emplace();
  // A name that is not known comes from another version or a hand edit: whatever it meant, run the slice again.
  ending.outcome = core::outcome_from_name(row.text(kOutcome)).value_or(core::Outcome::lost);
  ending.started_at = record.started_at.value_or(util::WallTime{});
  ending.ended_at = util::from_unix_seconds(row.real(kEndedAt));
  ending.runtime = util::from_seconds(row.real(kRuntime));
  ending.exit_code = static_cast<int>(row.integer(kExitCode));
  ending.signal = static_cast<int>(row.integer(kSignal));
  ending.usage.user = util::from_seconds(row.real(kUser));
  ending.usage.system = util::from_seconds(row.real(kSystem));
  ending.usage.max_rss_kib = row.integer(kMaxRss);
  ending.log = record.log;
  ending.detail = row.text(kDetail);
}

bool read_success(const Statement& row, core::AttemptRecord& record) {
  static const std::string_view kSucceeded = core::name(core::Outcome::succeeded);
  if (row.text(kOutcome) != kSucceeded) return false;
  record.id = read_id(row);
  record.key = row.text(kKey);
  record.ending->runtime = util::from_seconds(row.real(kRuntime));
  return true;
}

}  // namespace runner::store
