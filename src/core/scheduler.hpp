// Scheduler: decides what is claimed, launched, retried, terminated and when the run is over. A pure state machine:
// step(input, now) appends actions and does nothing else - no clock, no process, no disk - so every rule is tested with
// invented times. The run loop carries the actions out and feeds back what happened. Single-threaded.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <variant>
#include <vector>

#include "core/attempt.hpp"
#include "core/interval_set.hpp"
#include "core/spec.hpp"

namespace runner::core {

// ---- inputs
struct Start {};  ///< once, first
struct Claimed {
  std::uint64_t count = 1;
};  ///< so many further claims, in the order asked for, are durable
struct Started {
  AttemptId id;
};
struct Finished {
  AttemptId id;
  Ending ending;
};  ///< as the executor saw it
enum class Control : std::uint8_t {
  drain,
  terminate,
  kill
};  ///< no new starts; + TERM all, KILL after grace; KILL now
struct Hold {
  bool held = false;
};               ///< attempts cannot get on (nobody takes their output), or can again: timeouts stand still meanwhile
struct Tick {};  ///< the time asked for by WakeAt has come
using Input = std::variant<Start, Claimed, Started, Finished, Control, Hold, Tick>;

// ---- actions
struct Claim {
  AttemptId id;
};  ///< note durably that this attempt may be started
struct Unclaim {
  AttemptId id;
};  ///< claimed, never launched and never will be
struct Launch {
  AttemptId id;
  std::uint32_t slot = 0;
};
struct Terminate {
  AttemptId id;
};  ///< TERM (and CONT) to its whole tree
struct Kill {
  AttemptId id;
};               ///< KILL to its whole tree
struct Settle {  ///< an attempt has ended and this is the verdict
  AttemptId id;
  std::uint32_t slot = 0;
  Ending ending;                           ///< outcome as judged: timed_out, cancelled ... included
  std::optional<util::Duration> retry_in;  ///< set: another attempt follows; unset: final
};
/// A retry that was promised by a Settle will not come: this ending is the slice's final one after all.
struct Abandon {
  AttemptId id;
  Ending ending;
};
struct Halt {
  std::string reason;
};  ///< max_failed was passed; said once
struct WakeAt {
  util::TimePoint at;
};               ///< replaces any earlier wish
struct Done {};  ///< nothing runs and nothing is left to start
using Action = std::variant<Claim, Unclaim, Launch, Terminate, Kill, Settle, Abandon, Halt, WakeAt, Done>;
using Actions = std::vector<Action>;

/// What one slice of a job occupies, and what the machine has. Slots are always counted; the rest only where declared.
struct Resources {
  std::uint32_t slots = 1;
  std::int64_t cpus_milli = 0;
  std::uint64_t memory = 0;  ///< bytes
};

struct JobPlan {
  IntervalSet todo;                                            ///< slices to run, in this order
  std::unordered_map<std::uint64_t, std::uint32_t> attempted;  ///< slice -> attempts of earlier sessions
  RetryPolicy retry;
  std::optional<util::Duration> timeout;
  util::Duration grace = std::chrono::seconds(10);
  Resources need;
  std::optional<std::uint64_t> max_failed;  ///< tolerated failures
  OnHalt on_halt = OnHalt::drain;
};

class Scheduler {
 public:
  /// `capacity.slots` is n_procs. Jobs run in order, sharing the capacity.
  Scheduler(std::vector<JobPlan> jobs, Resources capacity);

  /// Appends what is to be done now to `actions`. An input that cannot be (an end without a launch) asserts.
  void step(const Input& input, util::TimePoint now, Actions& actions);

  [[nodiscard]] std::size_t running() const { return running_.size(); }
  /// A slot is free for a claim that is not durable yet: the commit is waited for.
  [[nodiscard]] bool starved() const { return starved_; }
  [[nodiscard]] bool stopping() const { return stop_ != Stop::none; }

 private:
  enum class Stop : std::uint8_t { none, drain, terminate, kill };
  struct Running {
    std::uint32_t slot = 0;
    std::optional<Outcome> ended_by_us;  ///< timed_out or cancelled, once asked to terminate
    bool kill_sent = false;
    std::optional<util::TimePoint> timeout;  ///< by running_time()
    std::optional<util::TimePoint> grace;
  };
  using Deadlines = std::set<std::pair<util::TimePoint, AttemptId>>;
  struct JobState {
    JobPlan plan;
    std::size_t interval = 0;  ///< cursor into plan.todo.intervals()
    std::uint64_t offset = 0;  ///< within that interval
    std::uint64_t failed = 0;
  };

  void on_started(const AttemptId& id, util::TimePoint now);
  void on_finished(const Finished& finished, util::TimePoint now, Actions& actions);
  void on_deadlines(util::TimePoint now, Actions& actions);
  void stop(Stop how, util::TimePoint now, Actions& actions);
  void end(const AttemptId& id, Running& attempt, Outcome why, bool by_force, util::TimePoint now, Actions& actions);
  void retry_or_count(const Settle& settled, util::TimePoint now, Actions& actions);
  void launch_ready(Actions& actions);
  void claim_ahead(util::TimePoint now, Actions& actions);
  void claim(const AttemptId& id, util::TimePoint now, Actions& actions);
  void drop_what_waits(Actions& actions);
  void on_claimed(std::uint64_t count, util::TimePoint now);
  void hold(bool held, util::TimePoint now);
  [[nodiscard]] util::TimePoint running_time(util::TimePoint now) const;
  static void set_deadline(Deadlines& all, const AttemptId& id, std::optional<util::TimePoint>& mine,
                           std::optional<util::TimePoint> at);
  void conclude(Actions& actions);
  [[nodiscard]] std::optional<AttemptId> next_slice();
  [[nodiscard]] bool exhausted() const;
  [[nodiscard]] bool fits(const Resources& need) const;
  [[nodiscard]] std::uint32_t earlier_attempts(const AttemptId& id) const;

  std::vector<JobState> jobs_;
  Resources capacity_;
  Resources used_{0, 0, 0};
  Stop stop_ = Stop::none;
  bool done_ = false;
  std::set<std::uint32_t> free_slots_;
  std::map<AttemptId, Running> running_;
  Deadlines timeouts_;  ///< by running_time()
  Deadlines graces_;
  std::optional<util::TimePoint> held_since_;
  util::Duration stood_{};                             ///< how long attempts were held, all in all
  std::multimap<util::TimePoint, AttemptId> delayed_;  ///< retries, by the time they may be claimed
  std::map<AttemptId, Ending> promised_;               ///< retries not launched yet, with the ending before them
  std::deque<AttemptId> claims_;                       ///< asked for and not launched; the first `durable_` are on disk
  std::size_t durable_ = 0;
  std::size_t window_ = 0;    ///< claims held beyond the free slots
  bool starved_ = false;      ///< a slot had to wait for a claim since the last Claimed
  std::size_t launches_ = 0;  ///< since rate_since_
  util::TimePoint rate_since_{};
  util::TimePoint claimed_since_{};  ///< when the oldest claim that is not durable was asked for
  std::optional<util::TimePoint> wake_;
};

}  // namespace runner::core
