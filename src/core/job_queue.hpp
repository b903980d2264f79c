// JobQueue: one job as the scheduler sees it - which slices may be claimed next, its claims, how many are settled, and
// where it stands in its life. Knows nothing of time, slots or other jobs: those are the scheduler's.
#pragma once

#include <cstdint>
#include <deque>
#include <string>

#include "core/attempt.hpp"
#include "core/chunked_set.hpp"
#include "core/job_plan.hpp"
#include "core/lifecycle.hpp"

namespace runner::core {

enum class Stop : std::uint8_t { none, drain, terminate, kill };  ///< how far a job or the whole run is being ended

class JobQueue {
 public:
  JobQueue(std::uint32_t number, JobPlan plan);

  [[nodiscard]] const JobPlan& plan() const { return plan_; }
  [[nodiscard]] State state() const { return life_.state(); }
  void go(State to) { life_.go(to); }
  /// Completed, terminated or disabled: nothing of it will be launched any more.
  [[nodiscard]] bool is_over() const;

  // ---- what may be claimed
  /// Its slices wait for those of other jobs (needs_each), so each has to be released first.
  [[nodiscard]] bool waits_each() const { return waits_each_; }
  [[nodiscard]] bool needs_each_of(std::uint32_t job) const;
  [[nodiscard]] bool has(std::uint64_t slice) const { return plan_.todo.contains(slice); }
  void release(std::uint64_t slice) { released_.insert(slice); }
  /// Whether a slice may be claimed now.
  [[nodiscard]] bool has_next() const;
  /// Then: the next one, with the number of its attempt.
  AttemptId take_next();
  /// Whether a slice would be launched if there were room.
  [[nodiscard]] bool is_waiting() const { return !claims.empty() || has_next(); }
  [[nodiscard]] std::uint32_t earlier_attempts(std::uint64_t slice) const;

  /// How long an attempt may run, as far as that is known yet.
  [[nodiscard]] std::optional<util::Duration> timeout() const;

  // ---- what became of its slices
  void count(const Ending& final_ending, std::uint64_t slice);
  /// A slice that will not run: what it needs has failed.
  void count_disabled(std::uint64_t slice);
  [[nodiscard]] bool is_disabled(std::uint64_t slice) const { return disabled_.contains(slice); }
  [[nodiscard]] bool has_succeeded(std::uint64_t slice) const;
  [[nodiscard]] std::uint64_t failed() const { return failed_; }
  [[nodiscard]] bool all_settled() const { return left_ == 0; }
  /// Slices that were to run and did not succeed.
  [[nodiscard]] std::uint64_t missed() const { return plan_.todo.count() - successes_; }
  /// "3 of 10 slices failed, 2 did not run", "it failed"; "" if all succeeded.
  [[nodiscard]] std::string shortfall() const;

  std::deque<AttemptId> claims;  ///< asked for and not launched; the first `durable` are on disk
  std::size_t durable = 0;
  std::uint32_t running = 0;
  Stop stop = Stop::none;
  std::string stop_reason = "the run was stopped";
  bool is_up = false;             ///< a service: ready for those that need it
  bool is_being_stopped = false;  ///< a service: nothing needs it any more
  bool has_begun = false;         ///< something of it was launched, here or in an earlier session
  bool keeps_successes = false;   ///< another job's slices wait for this one's

 private:
  std::uint32_t number_;
  JobPlan plan_;
  Lifecycle life_;
  bool waits_each_ = false;
  std::size_t interval_ = 0;  ///< cursor into plan_.todo.intervals()
  std::uint64_t offset_ = 0;  ///< within that interval
  ChunkedSet released_;
  ChunkedSet succeeded_;  ///< here, where that is asked for
  ChunkedSet disabled_;
  std::uint64_t left_ = 0;
  std::uint64_t successes_ = 0;
  std::uint64_t failed_ = 0;
};

}  // namespace runner::core
