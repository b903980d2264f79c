// Store: the durable record of runs, in SQLite. Writer is the interface the run loop knows: every call queues and
// returns at once; one thread commits what has queued (group commit, synchronous=FULL) and acknowledges.
// Reader is for status, logs, resume and reports; it may run beside a live writer, in another process too.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/attempt.hpp"
#include "core/run_view.hpp"
#include "util/result.hpp"

namespace runner::store {

/// Position in the writer's queue, from 1. Everything up to an acknowledged position is on disk.
using Sequence = std::uint64_t;

/// A run and its jobs as they are written when it begins.
struct NewRun {
  std::string id;
  std::string name;
  std::string spec_path;
  std::string spec_text;
  std::string host;
  int pid = 0;
  util::WallTime started_at{};
  std::string settings;  ///< what the command line changed (--set), one "name=value" a line, newlines escaped
  struct Job {
    std::string name;
    std::uint64_t slices = 0;
    std::uint64_t fingerprint = 0;
    std::string selection;  ///< indices by --slices, "3,7-9"; "" for all
  };
  std::vector<Job> jobs;
};

/// Called on the writer's thread.
class WriterEvents {
 public:
  virtual void committed(Sequence through) = 0;
  /// The disk refuses. `waiting`: it is tried again (ENOSPC and the like; nothing is lost yet). Otherwise final:
  /// nothing more will be committed.
  virtual void trouble(const std::string& message, bool waiting) = 0;
  /// After trouble(waiting): commits succeed again.
  virtual void recovered() = 0;

 protected:
  ~WriterEvents() = default;
};

struct WriterOptions {
  util::Duration min_commit_gap = std::chrono::milliseconds(20);
  util::Duration patience = std::chrono::seconds(30);  ///< how long a full disk is waited for
};

class Writer {
 public:
  /// Opens (creates) the database at `path` and starts the thread. `events` outlives the writer.
  static util::Result<std::unique_ptr<Writer>> open(const std::string& path, WriterEvents& events,
                                                    WriterOptions options = {});
  virtual ~Writer() = default;  ///< commits what is queued (unless in final trouble), then joins

  // Synchronous, before the run starts: committed when they return.
  virtual util::Result<void> begin_run(const NewRun& run) = 0;
  /// A run taken up again: marks attempts without an end as `lost`, counts the resume, notes host and pid.
  virtual util::Result<void> resume_run(const NewRun& run, const std::vector<core::AttemptId>& lost) = 0;
  /// Renames slices after --accept-changes: (job, old index) -> new index; rows of slices that are gone stay under
  /// the old run id with "~n" appended.
  virtual util::Result<void> remap_slices(const std::string& run_id, std::uint32_t job,
                                          const std::vector<std::pair<std::uint64_t, std::uint64_t>>& moves) = 0;

  // Queued.
  virtual Sequence claim(const core::AttemptId& id, const std::string& key) = 0;
  virtual Sequence unclaim(const core::AttemptId& id) = 0;
  virtual Sequence started(const core::AttemptId& id, util::WallTime at, int pid, const std::string& log) = 0;
  virtual Sequence ended(const core::AttemptId& id, const core::Ending& ending) = 0;
  virtual Sequence run_state(core::State state, util::WallTime at, const std::string& reason) = 0;
};

/// A run as the store has it.
struct StoredRun {
  core::RunInfo info;  ///< `live` is not the store's to know: false
  std::string spec_text;
  std::string settings;
  std::vector<NewRun::Job> jobs;
};

class Reader {
 public:
  /// Read-only. An error when there is no database, or its schema is newer than this program knows.
  static util::Result<std::unique_ptr<Reader>> open(const std::string& path);
  virtual ~Reader() = default;

  /// The newest run, or the one named; nullopt when there is none.
  virtual util::Result<std::optional<StoredRun>> find_run(const std::optional<std::string>& id) = 0;
  /// All runs, newest first.
  virtual util::Result<std::vector<StoredRun>> runs() = 0;
  /// The last attempt of every slice that was touched, by job and slice, streamed (1,000,000 rows well under a second).
  virtual util::Result<void> last_attempts(const std::string& run_id,
                                           const std::function<void(const core::AttemptRecord&)>& visit) = 0;
  /// Every attempt in order of its end (joblog), those without one left out.
  virtual util::Result<void> ended_attempts(const std::string& run_id,
                                            const std::function<void(const core::AttemptRecord&)>& visit) = 0;
  /// All attempts of one slice, in order.
  virtual util::Result<std::vector<core::AttemptRecord>> attempts_of(const std::string& run_id, std::uint32_t job,
                                                                     std::uint64_t slice) = 0;
};

}  // namespace runner::store
