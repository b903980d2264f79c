#include "store/run_table.hpp"

#include <sqlite3.h>

#include <bit>

namespace runner::store {

namespace {

using util::Result;
using util::unix_seconds;

/// Prepares, runs once, and turns a failure into an Error.
template <class... Values>
Result<void> run_once(Database& database, std::string_view sql, const Values&... values) {
  auto statement = database.prepare(sql);
  if (!statement) return statement.error();
  if (statement->run(values...) != SQLITE_OK) return database.error();
  return {};
}

Result<void> write_jobs(Database& database, std::int64_t run, const std::vector<NewRun::Job>& jobs) {
  if (auto done = run_once(database, "DELETE FROM job WHERE run = ?", run); !done) return done;
  std::uint32_t position = 0;
  for (const NewRun::Job& job : jobs) {
    const auto at = job.state_at ? std::optional<double>(unix_seconds(*job.state_at)) : std::nullopt;
    auto done = run_once(database,
                         "INSERT INTO job (run, job, name, slices, fingerprint, selection, kind, state, state_at, "
                         "reason) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                         run, position++, job.name, job.slices, std::bit_cast<std::int64_t>(job.fingerprint),
                         job.selection, core::name(job.kind), core::name(job.state), at, job.reason);
    if (!done) return done;
  }
  return {};
}

Result<void> mark_lost(Database& database, std::int64_t run, const std::vector<core::AttemptId>& lost) {
  auto statement = database.prepare(
      "UPDATE attempt SET outcome = 'lost' "
      "WHERE run = ? AND job = ? AND slice = ? AND number = ? AND outcome IS NULL");
  if (!statement) return statement.error();
  for (const core::AttemptId& id : lost) {
    if (statement->run(run, id.job, id.slice, id.number) != SQLITE_OK) return database.error();
  }
  return {};
}

/// A copy of the run's row, under the first free "<id>~n", for the slices that it no longer has.
Result<std::int64_t> split_off(Database& database, std::int64_t run, const std::string& run_id) {
  std::uint32_t n = 0;
  while (true) {
    const auto taken = find_run_number(database, run_id + "~" + std::to_string(++n));
    if (!taken) return taken.error();
    if (!taken->has_value()) break;
  }
  auto copied = run_once(database,
                         "INSERT INTO run (id, part_of, name, spec_path, spec, host, pid, boot_id, containment, "
                         "place, state, started_at, resumed_at, ended_at, resumes, reason, settings, spec_since) "
                         "SELECT ?, number, name, spec_path, spec, host, pid, boot_id, containment, "
                         "place, state, started_at, resumed_at, ended_at, resumes, reason, settings, spec_since "
                         "FROM run WHERE number = ?",
                         run_id + "~" + std::to_string(n), run);
  if (!copied) return copied.error();
  const std::int64_t part = sqlite3_last_insert_rowid(database.handle());
  auto jobs = run_once(database,
                       "INSERT INTO job (run, job, name, slices, fingerprint, selection, kind, state, state_at, "
                       "reason) SELECT ?, job, name, slices, fingerprint, selection, kind, state, state_at, reason "
                       "FROM job WHERE run = ?",
                       part, run);
  if (!jobs) return jobs.error();
  return part;
}

/// Moves every row away and those that have a place back, so that slices may change places with each other.
Result<void> remap(Database& database, std::int64_t run, std::int64_t part, const Remap& change) {
  for (const std::string table : {"attempt", "counter"}) {
    auto away = run_once(database, "UPDATE " + table + " SET run = ? WHERE run = ? AND job = ?", part, run, change.job);
    if (!away) return away;
    auto back = database.prepare("UPDATE " + table + " SET run = ?, slice = ? WHERE run = ? AND job = ? AND slice = ?");
    if (!back) return back.error();
    for (const Remap::Move& move : change.moves) {
      if (back->run(run, move.to, part, change.job, move.from) != SQLITE_OK) return database.error();
    }
  }
  return {};
}

Result<void> remap_all(Database& database, std::int64_t run, const std::string& run_id,
                       const std::vector<Remap>& remaps) {
  if (remaps.empty()) return {};
  const auto part = split_off(database, run, run_id);
  if (!part) return part.error();
  for (const Remap& change : remaps) {
    if (auto done = remap(database, run, *part, change); !done) return done;
  }
  constexpr std::string_view kNothingGone = " AND NOT EXISTS (SELECT 1 FROM attempt WHERE attempt.run = ?1)";
  for (const char* table : {"DELETE FROM job WHERE run = ?1", "DELETE FROM run WHERE number = ?1"}) {
    if (auto done = run_once(database, std::string(table).append(kNothingGone), *part); !done) return done;
  }
  return {};
}

Result<void> cancel_outdated(Database& database, std::int64_t number, const NewRun& run,
                             const std::vector<Outdated>& outdated) {
  auto insert = database.prepare(
      "INSERT INTO attempt (run, job, slice, number, key, outcome, started_at, ended_at, runtime_s, host, detail) "
      "SELECT run, job, slice, number + 1, key, ?, ?, ?, 0, ?, ? FROM attempt a WHERE run = ? AND job = ? "
      "AND slice BETWEEN ? AND ? AND number = (SELECT max(number) FROM attempt b WHERE b.run = a.run "
      "AND b.job = a.job AND b.slice = a.slice)");
  if (!insert) return insert.error();
  auto uncount = database.prepare("DELETE FROM counter WHERE run = ? AND job = ? AND slice BETWEEN ? AND ?");
  if (!uncount) return uncount.error();
  const double now = unix_seconds(run.started_at);
  for (const auto& [job, slices, why] : outdated) {
    for (const auto& [first, last] : slices.intervals()) {
      const int code = insert->run(core::name(core::Outcome::cancelled), now, now, run.host,
                                   "it is to run again: " + why, number, job, first, last);
      if (code != SQLITE_OK || uncount->run(number, job, first, last) != SQLITE_OK) return database.error();
    }
  }
  return {};
}

}  // namespace

Result<std::optional<std::int64_t>> find_run_number(Database& database, const std::string& run_id) {
  auto statement = database.prepare("SELECT number FROM run WHERE id = ?");
  if (!statement) return statement.error();
  statement->bind(run_id);
  const int code = statement->step();
  if (code == SQLITE_ROW) return std::optional<std::int64_t>(statement->integer(0));
  if (code == SQLITE_DONE) return std::optional<std::int64_t>();
  return database.error();
}

Result<std::int64_t> insert_run(Database& database, const NewRun& run) {
  auto inserted =
      run_once(database,
               "INSERT INTO run (id, name, spec_path, spec, host, pid, boot_id, containment, place, "
               "state, started_at, settings) "
               "VALUES (?, ?, ?, ?, ?, ?, nullif(?, ''), nullif(?, ''), nullif(?, ''), ?, ?, ?)",
               run.id, run.name, run.spec_path, run.spec_text, run.host, run.pid, run.boot_id, run.containment,
               run.place, core::name(core::State::initial), unix_seconds(run.started_at), run.settings);
  if (!inserted) return inserted.error();
  const std::int64_t number = sqlite3_last_insert_rowid(database.handle());
  if (auto done = write_jobs(database, number, run.jobs); !done) return done.error();
  return number;
}

Result<std::int64_t> update_resumed_run(Database& database, const NewRun& run, const std::vector<core::AttemptId>& lost,
                                        const std::vector<Remap>& remaps, const std::vector<Outdated>& outdated) {
  const auto found = find_run_number(database, run.id);
  if (!found) return found.error();
  if (!found->has_value()) return util::Error{database.path() + ": has no run " + run.id + " to resume"};
  const std::int64_t number = **found;
  if (auto done = mark_lost(database, number, lost); !done) return done.error();
  if (auto done = remap_all(database, number, run.id, remaps); !done) return done.error();
  if (auto done = cancel_outdated(database, number, run, outdated); !done) return done.error();
  auto updated =
      run_once(database,
               "UPDATE run SET name = ?, spec_path = ?, spec = ?, settings = ?, host = ?, pid = ?, "
               "boot_id = nullif(?, ''), containment = nullif(?, ''), place = nullif(?, ''), state = ?, resumed_at = "
               "?, ended_at = NULL, reason = '', resumes = resumes + 1, "
               // However the clock was set meanwhile, and to the millisecond: nothing that ended before is after.
               "spec_since = iif(?, max(?, ifnull((SELECT max(ended_at) FROM attempt WHERE run = run.number), 0) + "
               "0.001), spec_since) "
               "WHERE number = ?",
               run.name, run.spec_path, run.spec_text, run.settings, run.host, run.pid, run.boot_id, run.containment,
               run.place, core::name(core::State::initial), unix_seconds(run.started_at), run.changed,
               unix_seconds(run.started_at), number);
  if (!updated) return updated.error();
  if (auto done = write_jobs(database, number, run.jobs); !done) return done.error();
  return number;
}

int write_job_state(Database& database, std::int64_t run, std::uint32_t job, const JobMoved& moved) {
  auto statement = database.prepare("UPDATE job SET state = ?, state_at = ?, reason = ? WHERE run = ? AND job = ?");
  if (!statement) return database.code();
  return statement->run(core::name(moved.state), unix_seconds(moved.at), moved.reason, run, job);
}

int write_steering(Database& database, std::int64_t run, const SteeringRecord& record) {
  auto statement = database.prepare("INSERT INTO steering VALUES (?, ?, ?, ?, ?, ?)");
  if (!statement) return database.code();
  return statement->run(run, unix_seconds(record.at), record.by, record.what, record.job, record.slices);
}

int write_run_state(Database& database, std::int64_t run, const RunMoved& moved) {
  const auto ended_at = core::is_over(moved.state) ? std::optional<double>(unix_seconds(moved.at)) : std::nullopt;
  auto statement = database.prepare("UPDATE run SET state = ?, ended_at = ?, reason = ? WHERE number = ?");
  if (!statement) return database.code();
  return statement->run(core::name(moved.state), ended_at, moved.reason, run);
}

Result<void> delete_runs(Database& database, const std::vector<std::string>& run_ids) {
  for (const std::string& id : run_ids) {
    const auto found = find_run_number(database, id);
    if (!found) return found.error();
    if (!found->has_value()) continue;
    for (const char* sql :
         {"DELETE FROM counter WHERE run IN (SELECT number FROM run WHERE number = ?1 OR part_of = ?1)",
          "DELETE FROM attempt WHERE run IN (SELECT number FROM run WHERE number = ?1 OR part_of = ?1)",
          "DELETE FROM steering WHERE run IN (SELECT number FROM run WHERE number = ?1 OR part_of = ?1)",
          "DELETE FROM job WHERE run IN (SELECT number FROM run WHERE number = ?1 OR part_of = ?1)",
          "DELETE FROM run WHERE number = ?1 OR part_of = ?1"}) {
      if (auto done = run_once(database, sql, **found); !done) return done;
    }
  }
  return {};
}

}  // namespace runner::store
