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
#include "core/interval_set.hpp"
#include "core/run_view.hpp"
#include "util/result.hpp"

namespace runner::store {

/// Position in the writer's queue, from 1. Everything up to an acknowledged position is on disk.
using Sequence = std::uint64_t;

/// The stored selection of a job that a run was begun without.
inline constexpr const char* kLeftOut = "-";

/// A run and its jobs as they are written when it begins.
struct NewRun {
  std::string id;
  std::string name;
  std::string spec_path;
  std::string spec_text;
  std::string host;
  int pid = 0;
  std::string boot_id;      ///< of the host's kernel: a pid means nothing after another boot; "" unknown
  std::string containment;  ///< see core::RunInfo
  std::string place;        ///< StateLock::place(): where the record is; another one once it was copied
  util::WallTime started_at{};
  bool changed = false;  ///< taken up again with another spec, or with other slices
  std::string settings;  ///< what the command line changed (--set), one "name=value" a line, newlines escaped
  struct Job {
    std::string name;
    std::uint64_t slices = 0;
    std::uint64_t fingerprint = 0;
    std::string selection;  ///< indices by --slices, "3,7-9"; "" for all, kLeftOut for nothing
    core::JobKind kind = core::JobKind::slices;
    core::State state = core::State::initial;  ///< in its lifecycle; initial also where that is not known
    std::optional<util::WallTime> state_at{};  ///< since when
    std::string reason{};                      ///< why, where there is more to say
  };
  std::vector<Job> jobs;
};

/// Slices that have succeeded and are to run again, as what they were made of changes: a further attempt of each is
/// recorded, cancelled before it began. By their index in the spec as it is now.
struct Outdated {
  std::uint32_t job = 0;
  core::IntervalSet slices;
  std::string why;  ///< for people
};

/// Where the slices of a job went when its spec was changed (--accept-changes): matched by key. Slices with a record
/// that are in no move are gone; their rows stay under the run's id with "~1", "~2" ... appended.
struct Remap {
  struct Move {
    std::uint64_t from = 0;
    std::uint64_t to = 0;
  };
  std::uint32_t job = 0;
  std::vector<Move> moves;
};

/// What somebody asked of a live run, and was done.
struct SteeringRecord {
  util::WallTime at{};
  std::string by;
  std::string what;    ///< suspend, resume, cancel, retry, disable, enable, scale
  std::string job;     ///< "": all
  std::string slices;  ///< as --slices has them, "" for all; of scale the number of slots
};

/// Called on the writer's thread.
class WriterEvents {
 public:
  virtual void committed(Sequence through) = 0;
  /// The disk refuses. `waiting`: it is tried again (ENOSPC and the like; nothing is lost yet), and the message says
  /// for how long. Otherwise final: nothing more will be committed.
  virtual void trouble(const std::string& message, bool waiting) = 0;
  /// After trouble(waiting): commits succeed again.
  virtual void recovered() = 0;

 protected:
  ~WriterEvents() = default;
};

struct WriterOptions {
  util::Duration min_commit_gap = std::chrono::milliseconds(20);  ///< under load; longer where commits are slow
  util::Duration patience = std::chrono::seconds(30);             ///< how long a full disk is waited for
  bool rollback_journal = false;  ///< on local file systems too (shared ones always have it)
  /// Whether the record is still this run's alone (StateLock::keep). Asked on the writer's thread before every
  /// acknowledgement and every second; an error ends the record. Unset: it is.
  std::function<util::Result<void>()> keep = {};
};

class Writer {
 public:
  /// Opens the database at `path` - creates it, or brings an older one up to date - and starts the thread. `events`
  /// outlives the writer.
  static util::Result<std::unique_ptr<Writer>> open(const std::string& path, WriterEvents& events,
                                                    WriterOptions options = {});
  /// Commits what is queued, then joins. With a full disk that may take as long as `patience`.
  virtual ~Writer() = default;

  // Synchronous, before the run starts: committed when they return.
  virtual util::Result<void> begin_run(const NewRun& run) = 0;
  /// A run taken up again, in one transaction: marks the attempts in `lost` (ids as they are stored) so, unless their
  /// end is known; moves slices where the spec has changed; cancels slices that are outdated; takes spec, settings,
  /// jobs, host, pid, boot id, containment and place from `run`; counts the resume. The run starts anew in its
  /// lifecycle and keeps its started_at.
  virtual util::Result<void> resume_run(const NewRun& run, const std::vector<core::AttemptId>& lost,
                                        const std::vector<Remap>& remaps = {},
                                        const std::vector<Outdated>& outdated = {}) = 0;
  /// Forgets runs (and what was split off them) whose directories are pruned; unknown ids are no error.
  virtual util::Result<void> remove_runs(const std::vector<std::string>& run_ids) = 0;

  // Queued. Sequences grow with every call; after final trouble nothing is queued and they stand still.
  virtual Sequence claim(const core::AttemptId& id, std::string key) = 0;
  virtual Sequence unclaim(const core::AttemptId& id) = 0;
  virtual Sequence started(const core::AttemptId& id, util::WallTime at, int pid, std::string log) = 0;
  /// How far a running attempt says it is: all that is known, not only what is new.
  virtual Sequence reported(const core::AttemptId& id, core::Report report) = 0;
  virtual Sequence ended(const core::AttemptId& id, core::Ending ending) = 0;
  /// What is up to here may be on disk already, be it acknowledged or not; what is behind is not.
  [[nodiscard]] virtual Sequence taken() const = 0;
  /// What is queued is waited for: it is committed without regard to the gap.
  virtual void hurry() = 0;
  /// From here on a full disk is not waited for: what it does not take is final trouble at once.
  virtual void lose_patience() = 0;
  virtual Sequence run_state(core::State state, util::WallTime at, std::string reason) = 0;
  virtual Sequence job_state(std::uint32_t job, core::State state, util::WallTime at, std::string reason) = 0;
  virtual Sequence steered(SteeringRecord record) = 0;

  /// The last call: commits what is queued, joins, and moves the record from its WAL into the database. An error is a
  /// failed fsync then; all that was acknowledged is in the WAL. The destructor does the same and says nothing.
  virtual util::Result<void> close() = 0;
};

/// A run as the store has it.
struct StoredRun {
  core::RunInfo info;   ///< `live` is not the store's to know: false
  std::string boot_id;  ///< see NewRun; "" unknown
  std::string place;    ///< likewise
  std::string spec_text;
  std::string settings;
  std::optional<util::WallTime> spec_since;  ///< what ended before was of another spec, or made of other slices
  std::vector<NewRun::Job> jobs;
};

class Reader {
 public:
  /// Read-only: an older schema is read as it is. An error when there is no database or nothing in it yet (ENOENT: its
  /// maker was killed at once), or its schema is not one this program knows.
  static util::Result<std::unique_ptr<Reader>> open(const std::string& path);
  virtual ~Reader() = default;

  /// The newest run, or the one named; nullopt when there is none.
  virtual util::Result<std::optional<StoredRun>> find_run(const std::optional<std::string>& id) = 0;
  /// All runs, newest first.
  virtual util::Result<std::vector<StoredRun>> runs() = 0;

  // The record that is visited is reused for the next one: copy what is to be kept.
  /// The last attempt of every slice that was touched, of all jobs or one, by job and slice, streamed (1,000,000 rows
  /// well under a second: of those that succeeded only id, key, outcome, runtime and never_started are filled in).
  virtual util::Result<void> last_attempts(const std::string& run_id,
                                           const std::function<void(const core::AttemptRecord&)>& visit,
                                           std::optional<std::uint32_t> job = std::nullopt) = 0;
  /// Every attempt in order of its end (joblog), those without one (running, lost) left out.
  virtual util::Result<void> ended_attempts(const std::string& run_id,
                                            const std::function<void(const core::AttemptRecord&)>& visit) = 0;
  /// Every counter of the last succeeded attempt of every slice, of all jobs or one; one attempt's stand together.
  virtual util::Result<void> counted(const std::string& run_id,
                                     const std::function<void(const core::AttemptId&, const core::Counted&)>& visit,
                                     std::optional<std::uint32_t> job = std::nullopt) = 0;
  /// All attempts of one slice, in order.
  virtual util::Result<std::vector<core::AttemptRecord>> attempts_of(const std::string& run_id, std::uint32_t job,
                                                                     std::uint64_t slice) = 0;
};

}  // namespace runner::store
