#include "store/schema.hpp"

#include <sqlite3.h>

#include <array>
#include <cerrno>
#include <filesystem>
#include <system_error>

#include "util/text.hpp"

namespace runner::store {

namespace {

// Runs have a small number besides their id, so that an attempt's row and its key stay short; the views show the id.
// Rows of attempts arrive in the order of their primary key or nearly so, and are read in that order: without a rowid
// there is one tree to keep instead of two. exit_code and signal are NULL where they mean nothing.
constexpr const char* kTables = R"sql(
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE run (
  number INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  part_of INTEGER,             -- the run whose spec changed and no longer has these slices; NULL: a run of its own
  name TEXT NOT NULL,
  spec_path TEXT NOT NULL,
  spec TEXT NOT NULL,
  host TEXT NOT NULL,
  pid INTEGER NOT NULL,
  boot_id TEXT,                -- of the host's kernel; NULL: not known
  containment TEXT,            -- what holds the slices' processes; NULL: not known
  place TEXT,                  -- of this file, so that a copy knows that it is one; NULL: not known
  state TEXT NOT NULL,
  started_at REAL NOT NULL,
  resumed_at REAL,
  ended_at REAL,
  resumes INTEGER NOT NULL DEFAULT 0,
  reason TEXT NOT NULL DEFAULT '',
  settings TEXT NOT NULL,      -- what the command line changed, a "name=value" a line
  spec_since REAL              -- a resume accepted another spec, or other slices, then; NULL: none is known to have
);
CREATE TABLE job (
  run INTEGER NOT NULL,
  job INTEGER NOT NULL,        -- position in the spec, from 0
  name TEXT NOT NULL,
  slices INTEGER NOT NULL,
  fingerprint INTEGER NOT NULL,
  selection TEXT NOT NULL,     -- indices chosen by --slices, '' for all, '-' for none
  kind TEXT,                   -- slices, hook or service; NULL: slices
  state TEXT,                  -- in its lifecycle; NULL: not known
  state_at REAL,               -- since when
  reason TEXT,                 -- why, where there is more to say
  PRIMARY KEY (run, job)
) WITHOUT ROWID;
CREATE TABLE attempt (
  run INTEGER NOT NULL,        -- run.number
  job INTEGER NOT NULL,
  slice INTEGER NOT NULL,      -- index, from 0
  number INTEGER NOT NULL,     -- from 1
  key TEXT NOT NULL,
  outcome TEXT,                -- NULL: claimed, or running
  exit_code INTEGER,
  signal INTEGER,
  started_at REAL,
  ended_at REAL,
  runtime_s REAL,
  user_s REAL,
  system_s REAL,
  max_rss_kib INTEGER,
  host TEXT,
  pid INTEGER,
  log TEXT,                    -- relative to runs/<run id>
  detail TEXT,
  progress REAL,               -- 0 to 1, as the slice itself said last
  status TEXT,                 -- likewise
  PRIMARY KEY (run, job, slice, number)
) WITHOUT ROWID;
)sql";

constexpr const char* kCounters = R"sql(
CREATE TABLE counter (
  run INTEGER NOT NULL,
  job INTEGER NOT NULL,
  slice INTEGER NOT NULL,
  number INTEGER NOT NULL,     -- the attempt: the last of the slice that succeeded, others leave nothing here
  name TEXT NOT NULL,
  value INTEGER NOT NULL,
  PRIMARY KEY (run, job, slice, number, name)
) WITHOUT ROWID;
CREATE VIEW counter_total AS
SELECT r.id AS run, c.name, sum(c.value) AS value, count(*) AS slices
FROM counter c JOIN run r ON r.number = c.run GROUP BY c.run, c.name;
)sql";

/// Made anew with every upgrade.
constexpr const char* kViews = R"sql(
DROP VIEW IF EXISTS joblog;
DROP VIEW IF EXISTS failure;
DROP VIEW IF EXISTS slice_state;
CREATE VIEW slice_state AS
SELECT r.id AS run, j.name AS job, a.slice, a.key,
       CASE WHEN a.outcome = 'succeeded' THEN 'completed'
            WHEN a.outcome = 'cancelled' AND a.pid IS NULL AND EXISTS (  -- outdated: it is to run again
              SELECT 1 FROM attempt b WHERE b.run = a.run AND b.job = a.job AND b.slice = a.slice
              AND b.number < a.number AND b.outcome = 'succeeded') THEN 'ready'
            WHEN a.outcome IS NOT NULL THEN 'terminated'
            WHEN a.pid IS NOT NULL THEN 'running' ELSE 'ready' END AS state,
       a.number AS attempts, a.outcome, a.exit_code, a.signal, a.started_at, a.ended_at, a.runtime_s, a.user_s,
       a.system_s, a.max_rss_kib, a.host, a.pid, a.log, a.detail
FROM attempt a JOIN run r ON r.number = a.run JOIN job j ON j.run = a.run AND j.job = a.job
WHERE NOT EXISTS (SELECT 1 FROM attempt later
                  WHERE later.run = a.run AND later.job = a.job AND later.slice = a.slice AND later.number > a.number);
CREATE VIEW failure AS
SELECT run, job, slice, key, attempts, outcome, exit_code, signal, started_at, ended_at, runtime_s, host, log, detail
FROM slice_state WHERE outcome <> 'succeeded' AND state = 'terminated';
CREATE VIEW joblog AS
SELECT r.id AS run, j.name AS job, a.slice + 1 AS Seq, a.host AS Host, a.started_at AS Starttime,
       a.runtime_s AS JobRuntime, 0 AS Send, 0 AS Receive,
       CASE WHEN a.outcome = 'succeeded' OR a.exit_code <> 0 THEN ifnull(a.exit_code, 0)
            WHEN a.outcome = 'timed_out' THEN -1 WHEN a.signal <> 0 THEN 0
            WHEN a.outcome = 'not_started' THEN 127 ELSE -1 END AS Exitval,
       ifnull(a.signal, 0) AS Signal, a.key AS Key, a.number AS Attempt
FROM attempt a JOIN run r ON r.number = a.run JOIN job j ON j.run = a.run AND j.job = a.job
WHERE a.ended_at IS NOT NULL AND NOT (a.outcome = 'cancelled' AND a.pid IS NULL) ORDER BY a.ended_at;
)sql";

constexpr const char* kSteering = R"sql(
CREATE TABLE steering (        -- what was asked of the run while it was live
  run INTEGER NOT NULL,
  at REAL NOT NULL,
  user TEXT NOT NULL,
  what TEXT NOT NULL,          -- suspend, resume, cancel, retry, disable, enable, scale
  job TEXT NOT NULL,           -- '' for all
  slices TEXT NOT NULL         -- '' for all; of scale the number of slots
);
)sql";

/// What turns a file of version n into one of version n + 1, from n = 1.
constexpr std::array kUpgrades = {
    "ALTER TABLE run ADD COLUMN boot_id TEXT; ALTER TABLE run ADD COLUMN containment TEXT; "
    "ALTER TABLE run ADD COLUMN place TEXT",
    "ALTER TABLE job ADD COLUMN kind TEXT; ALTER TABLE job ADD COLUMN state TEXT; "
    "ALTER TABLE job ADD COLUMN state_at REAL; ALTER TABLE job ADD COLUMN reason TEXT; "
    "ALTER TABLE attempt ADD COLUMN progress REAL; ALTER TABLE attempt ADD COLUMN status TEXT",
    kCounters,
    kSteering,
    "ALTER TABLE run ADD COLUMN spec_since REAL",
};
static_assert(kUpgrades.size() + 1 == kSchemaVersion);

util::Result<bool> is_empty(Database& database) {
  auto first = database.query_text("SELECT name FROM sqlite_master LIMIT 1");
  if (!first) return first.error();
  return !first->has_value();
}

std::string set_meta(const std::string& version) {
  return "INSERT OR REPLACE INTO meta VALUES ('schema', '" + version +
         "'), ('written_by', 'runner " RUNNER_VERSION "')";
}

/// What `work` does is done as a whole or not at all; nobody else writes meanwhile.
template <class Work>
util::Result<void> in_transaction(Database& database, Work work) {
  if (database.execute("BEGIN IMMEDIATE") != SQLITE_OK) return database.error();
  util::Result<void> result = work();
  if (result && database.execute("COMMIT") != SQLITE_OK) result = database.error();
  if (!result) database.rollback();
  return result;
}

util::Result<void> create(Database& database) {
  const std::string version = set_meta(std::to_string(kSchemaVersion));
  for (const char* sql : {kTables, kCounters, kSteering, kViews, version.c_str()}) {
    if (database.execute(sql) != SQLITE_OK) return database.error();
  }
  return {};
}

util::Result<void> upgrade(Database& database) {
  const auto version = check_schema(database);
  if (!version) return version.error();
  for (auto from = static_cast<std::size_t>(*version); from < kSchemaVersion; ++from) {
    if (database.execute(kUpgrades.at(from - 1)) != SQLITE_OK) return database.error();
  }
  if (database.execute(kViews) != SQLITE_OK) return database.error();
  if (database.execute(set_meta(std::to_string(kSchemaVersion)).c_str()) != SQLITE_OK) return database.error();
  return {};
}

}  // namespace

util::Result<void> create_or_upgrade_schema(Database& database) {
  const auto empty = is_empty(database);
  if (!empty) return empty.error();
  if (*empty) return in_transaction(database, [&] { return create(database); });
  const auto version = check_schema(database);
  if (!version) return version.error();
  if (*version == kSchemaVersion) return {};
  return in_transaction(database, [&] { return upgrade(database); });
}

namespace {

/// They are made once their run is in the record.
bool has_run_directories(const std::filesystem::path& database) {
  std::error_code error;
  return std::filesystem::directory_iterator(database.parent_path() / "runs", error) !=
         std::filesystem::directory_iterator();
}

}  // namespace

util::Result<int> check_schema(Database& database) {
  const auto empty = is_empty(database);
  if (!empty) return empty.error();
  if (*empty && has_run_directories(database.path())) {
    return util::Error{database.path() +
                           ": is empty, though there are directories of runs beside it: their record was " +
                           "lost; what their slices wrote is there still. To start anew, move it all away",
                       EIO};
  }
  if (*empty) return util::Error{database.path() + ": no run is recorded in it yet", ENOENT};
  // Tables they must be: a view of that name could be anything, and never end.
  const auto tables = database.query_text(
      "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name IN ('meta', 'run', 'job', 'attempt', "
      "'counter')");
  if (!tables) return tables.error();
  const util::Error foreign{database.path() + ": not a record of runner's: move it away and start anew"};
  if (*tables != "4" && *tables != "5") return foreign;
  const auto stored = database.query_text("SELECT value FROM meta WHERE name = 'schema'");
  if (!stored || !stored->has_value()) return foreign;
  const auto number = util::parse_int(**stored);
  if (number && *number >= 1 && *number <= kSchemaVersion) {
    constexpr int kFirstWithCounters = 4;
    if (*tables != (*number < kFirstWithCounters ? "4" : "5")) return foreign;
    return static_cast<int>(*number);
  }
  const std::string version = util::escape_for_display(**stored, 60);
  const auto writer = database.query_text("SELECT value FROM meta WHERE name = 'written_by'");
  const std::string by =
      writer && writer->has_value() ? util::escape_for_display(**writer, 60) : "another version of runner";
  return util::Error{database.path() + ": has schema " + version + ", written by " + by + "; this is runner " +
                     RUNNER_VERSION + " with schema " + std::to_string(kSchemaVersion) +
                     ": use the other version for this run, or move the file away and start anew"};
}

}  // namespace runner::store
