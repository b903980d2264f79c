// RunView: the state of a run as every report shows it - console, status, JSON, resume - fed either by live events
// or by the store's rows, so that they cannot disagree. Memory does not grow with succeeded slices.
#pragma once

#include <array>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "core/chunked_set.hpp"
#include "core/event.hpp"
#include "core/interval_set.hpp"
#include "core/job_kind.hpp"
#include "core/median.hpp"

namespace runner::core {

/// Failed slices with the same cause ("exit code 3", "signal 9 (SIGKILL)"). What differs from slice to slice, such as
/// the name of a missing output, is no part of the cause: the number of groups is bounded.
struct FailureGroup {
  std::string cause;
  Outcome outcome = Outcome::failed;
  int exit_code = 0;  ///< of failed
  int signal = 0;     ///< of killed
  IntervalSet slices;
  AttemptRecord example;  ///< of the lowest slice among those remembered
};

struct RunningAttempt {
  AttemptRecord record;
  unsigned slot = 0;
  util::TimePoint since{};  ///< when it started by our steady clock; unset where the record is all we have
  bool suspended = false;
};

class JobView {
 public:
  JobView(std::string name, std::uint64_t total, JobKind kind = JobKind::slices)
      : name_(std::move(name)), total_(total), kind_(kind) {}

  /// The last attempt of one slice, as the store has it. Call once per slice, in any order.
  /// `live`: whether the run is; an attempt without an end is then running (or, never seen to start, waiting), else
  /// lost.
  void add_record(const AttemptRecord& record, bool live);
  /// How far a running slice says it is.
  void report(std::uint64_t slice, const Report& report);
  /// A slice's event during a live run. Rows and events give the same view but for one thing no row can tell: a slice
  /// that waits for its retry is failed by its rows and waiting by its events.
  void apply(const Event& event);

  void move(State state, std::string reason) {
    state_ = state;
    reason_ = std::move(reason);
  }

  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] JobKind kind() const { return kind_; }
  [[nodiscard]] State state() const { return state_; }
  [[nodiscard]] bool is_over() const { return core::is_over(state_); }
  [[nodiscard]] const std::string& reason() const { return reason_; }  ///< why it is in that state, if there is more
  [[nodiscard]] std::uint64_t total() const { return total_; }
  [[nodiscard]] std::uint64_t succeeded() const { return succeeded_.count(); }
  // The sets are copies: name one before going over its intervals().
  [[nodiscard]] IntervalSet succeeded_slices() const { return succeeded_.intervals(); }
  /// Final and not succeeded, lost included.
  [[nodiscard]] std::uint64_t failed() const { return failed_.count(); }
  [[nodiscard]] IntervalSet failed_slices() const { return failed_.intervals(); }
  [[nodiscard]] std::uint64_t count(Outcome outcome) const { return by_outcome_[static_cast<std::size_t>(outcome)]; }
  [[nodiscard]] IntervalSet lost_slices() const;
  /// By themselves, in a job that is not: asked for, or for the sake of another slice. Of a live run only.
  [[nodiscard]] IntervalSet disabled_slices() const { return disabled_.intervals(); }
  [[nodiscard]] std::uint64_t waiting() const;  ///< neither ended for good nor running
  /// Of those that wait: they succeeded once, with what is not there any more in that form.
  [[nodiscard]] IntervalSet outdated_slices() const { return outdated_.intervals(); }
  /// Attempts that began, beyond the first of each slice; over all resumes.
  [[nodiscard]] std::uint64_t retries() const { return retries_; }
  [[nodiscard]] const std::map<std::uint64_t, RunningAttempt>& running() const { return running_; }
  /// Most frequent cause first.
  [[nodiscard]] std::vector<FailureGroup> failure_groups() const;
  /// Over succeeded attempts. Rows do not come with theirs: add_counted().
  [[nodiscard]] const CounterTotals& counters() const { return counters_; }
  void add_counted(const Counted& counted) { counters_.add(counted.name, {.value = counted.value}); }
  /// Over succeeded attempts.
  [[nodiscard]] util::Duration total_runtime() const { return total_runtime_; }
  /// Of succeeded attempts; see median_of(). Takes milliseconds for 1,000,000.
  [[nodiscard]] std::optional<util::Duration> median_runtime() const { return median_of(runtimes_); }

 private:
  /// A group and the records it can give an example from. Not every record is kept: a million failures would not fit.
  struct Group {
    FailureGroup failure;  ///< without slices and example, which are made when asked for
    ChunkedSet slices;
    std::map<std::uint64_t, AttemptRecord> remembered;  ///< the lowest slices', at most kRemembered
  };
  static constexpr std::size_t kRemembered = 256;

  void settle(const AttemptRecord& record);
  void forget(std::uint64_t slice);
  [[nodiscard]] bool is_new(const AttemptId& id) const;

  std::string name_;
  std::uint64_t total_ = 0;
  JobKind kind_ = JobKind::slices;
  State state_ = State::initial;
  std::string reason_;
  ChunkedSet succeeded_;
  ChunkedSet failed_;
  ChunkedSet outdated_;
  ChunkedSet disabled_;
  std::array<std::uint64_t, kOutcomes.size()> by_outcome_{};
  std::map<std::string, Group> groups_;
  std::map<std::uint64_t, RunningAttempt> running_;
  std::map<std::uint64_t, std::uint32_t> retrying_;  ///< slice -> the attempt that ended; another is to follow
  std::uint64_t retries_ = 0;
  CounterTotals counters_;
  util::Duration total_runtime_{};
  std::vector<float> runtimes_;  ///< in seconds, of succeeded attempts
};

/// Whether an attempt that runs for so long is worth a look: three times the median, and a second at least.
bool is_slow(util::Duration runtime, std::optional<util::Duration> median);

struct RunInfo {
  std::string id;
  std::string name;
  std::string spec_path;
  std::string host;
  int pid = 0;
  State state = State::initial;
  util::WallTime started_at{};
  std::optional<util::WallTime> ended_at;
  std::uint32_t resumes = 0;
  bool live = false;        ///< a runner holds the lock
  std::string reason;       ///< why it ended early, if it did
  std::string containment;  ///< what holds the slices' processes, "guard, death signal, cookie"; "" unknown
};

struct RunView {
  RunInfo info;
  std::vector<JobView> jobs;
  bool ending = false;  ///< of a live run: what runs is the last of it, no further slice is started
  [[nodiscard]] bool has_several_jobs() const;  ///< hooks and services do not count
  [[nodiscard]] CounterTotals counters() const;
  /// Every slice and hook has succeeded; what became of services does not matter then.
  [[nodiscard]] bool is_complete() const;
};

}  // namespace runner::core
