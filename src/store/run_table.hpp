// Runs and their jobs as rows: begun, resumed, moved along their lifecycle, remapped, removed. Private to store/.
// The functions below run inside of a transaction that the caller opens and ends.
#pragma once

#include "store/batch.hpp"
#include "store/sqlite.hpp"
#include "store/store.hpp"

namespace runner::store {

/// run.number of the run with that id; nullopt: there is none.
util::Result<std::optional<std::int64_t>> find_run_number(Database& database, const std::string& run_id);

/// Inserts the run and its jobs; gives its run.number.
util::Result<std::int64_t> insert_run(Database& database, const NewRun& run);

/// See Writer::resume_run.
util::Result<std::int64_t> update_resumed_run(Database& database, const NewRun& run,
                                              const std::vector<core::AttemptId>& lost,
                                              const std::vector<Remap>& remaps, const std::vector<Outdated>& outdated);

/// SQLITE_OK, or why not.
int write_steering(Database& database, std::int64_t run, const SteeringRecord& record);
int write_job_state(Database& database, std::int64_t run, std::uint32_t job, const JobMoved& moved);
int write_run_state(Database& database, std::int64_t run, const RunMoved& moved);

/// See Writer::remove_runs.
util::Result<void> delete_runs(Database& database, const std::vector<std::string>& run_ids);

}  // namespace runner::store
