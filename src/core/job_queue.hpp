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
  [[nodiscard]] bool is_over() const { return plan_.closed || core::is_over(state()); }

  // ---- what may be claimed
  /// Its slices wait for those of other jobs (needs_each), so each has to be released first.
  [[nodiscard]] bool waits_each() const { return waits_each_; }
  [[nodiscard]] bool needs_each_of(std::uint32_t job) const;
  [[nodiscard]] bool has(std::uint64_t slice) const { return plan_.todo.contains(slice); }
  void release(std::uint64_t slice) { (is_blocked(slice) ? skipped_ : released_).insert(slice); }
  /// Whether a slice may be claimed now.
  [[nodiscard]] bool has_next() const;
  /// Then: the next one, with the number of its attempt.
  AttemptId take_next();
  /// The first claim; one that is durable.
  AttemptId take_claim();
  /// Whether a slice would be launched if there were room.
  [[nodiscard]] bool is_waiting() const { return !claims.empty() || has_next(); }
  [[nodiscard]] std::uint32_t earlier_attempts(std::uint64_t slice) const;

  /// How long an attempt may run, as far as that is known yet.
  [[nodiscard]] std::optional<util::Duration> timeout() const;

  // ---- slices that have not begun, and are not to for now (held) or at all (disabled)
  void hold(std::uint64_t slice);
  void disable(std::uint64_t slice, bool by_user);
  /// Not held and not disabled any more. True: it was due meanwhile, and may be claimed.
  bool unblock(std::uint64_t slice);
  /// Not to be taken any more, and not held.
  void forget(std::uint64_t slice);
  [[nodiscard]] bool is_held(std::uint64_t slice) const { return held_.contains(slice); }
  [[nodiscard]] bool is_disabled_by_user(std::uint64_t slice) const { return disabled_by_user_.contains(slice); }
  [[nodiscard]] IntervalSet held() const { return held_.intervals(); }
  [[nodiscard]] IntervalSet disabled_by_user() const { return disabled_by_user_.intervals(); }
  /// Neither taken nor disabled. Where slices wait for those of other jobs: one that was released.
  [[nodiscard]] bool is_to_be_taken(std::uint64_t slice) const;

  // ---- what became of its slices
  void count(const Ending& final_ending, const AttemptId& last);
  /// Ended for good, and not succeeded; in this session.
  [[nodiscard]] bool has_failed(std::uint64_t slice) const {
    return failed_slices_.contains(slice) || cancelled_.contains(slice);
  }
  [[nodiscard]] IntervalSet failed_slices() const;
  /// One that has_failed() is to be run again, with all its retries.
  void revive(std::uint64_t slice);
  [[nodiscard]] bool is_disabled(std::uint64_t slice) const { return disabled_.contains(slice); }
  [[nodiscard]] bool has_succeeded(std::uint64_t slice) const;
  [[nodiscard]] std::uint64_t failed() const { return failed_slices_.count(); }
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
  bool cancelled = false;         ///< by request; stop_reason says whose
  bool suspended = false;         ///< nothing of it is started
  bool switched_off = false;      ///< disabled by request
  bool awaits_needs = true;       ///< as a whole; also one that was disabled and is enabled again

 private:
  [[nodiscard]] bool is_blocked(std::uint64_t slice) const {
    return disabled_.contains(slice) || held_.contains(slice);
  }
  void block(std::uint64_t slice);
  [[nodiscard]] bool is_at_end() const { return interval_ == plan_.todo.intervals().size(); }
  [[nodiscard]] std::uint64_t at_cursor() const { return plan_.todo.intervals()[interval_].first + offset_; }
  void advance();
  void pass_blocked();

  std::uint32_t number_;
  JobPlan plan_;
  Lifecycle life_;
  bool waits_each_ = false;
  std::size_t interval_ = 0;  ///< cursor into plan_.todo.intervals()
  std::uint64_t offset_ = 0;  ///< within that interval
  ChunkedSet released_;       ///< to be taken before those at the cursor
  ChunkedSet skipped_;        ///< would have been taken, but for being blocked
  ChunkedSet held_;
  ChunkedSet succeeded_;  ///< here, where that is asked for
  ChunkedSet disabled_;
  ChunkedSet disabled_by_user_;
  ChunkedSet failed_slices_;
  ChunkedSet cancelled_;
  std::uint64_t left_ = 0;
  std::uint64_t successes_ = 0;
};

}  // namespace runner::core
