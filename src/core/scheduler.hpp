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
#include <variant>
#include <vector>

#include "core/attempt.hpp"
#include "core/job_plan.hpp"
#include "core/job_queue.hpp"
#include "core/steer.hpp"

namespace runner::core {

// ---- inputs
struct Start {};  ///< once, first
struct Claimed {
  std::uint64_t count = 1;
};  ///< so many further claims, in the order asked for, are durable
struct Started {
  AttemptId id;
};
struct ServiceReady {
  std::uint32_t job = 0;
};  ///< a service that was started answers
struct Finished {
  AttemptId id;
  Ending ending;
  std::optional<AttemptId> next{};  ///< was offered, and has been launched in its slot since
};                                  ///< as the executor saw it
struct Recalled {};                 ///< what was offered and has not followed yet will not any more
enum class Control : std::uint8_t {
  drain,
  terminate,
  give_up,
  kill
};  ///< no new starts; + TERM all, KILL after grace; + nothing clears up either; KILL now
struct Hold {
  bool held = false;
};               ///< attempts cannot get on (nobody takes their output), or can again: timeouts stand still meanwhile
struct Tick {};  ///< the time asked for by WakeAt has come
struct RecordWaits {
  bool waits = false;
};  ///< nothing can be recorded for now, or can again: nothing is launched meanwhile, whatever is claimed
using Input = std::variant<Start, Claimed, Started, ServiceReady, Finished, Recalled, Control, Hold, Tick, Steer, Scale,
                           Throttle, RecordWaits>;

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
struct Offer {
  AttemptId id;
};  ///< may be launched, unasked, in the slot of any attempt that succeeds
struct Follow {
  AttemptId id;
  std::uint32_t slot = 0;
};  ///< one that was offered has been launched
struct Terminate {
  AttemptId id;
};  ///< TERM (and CONT) to its whole tree
struct Kill {
  AttemptId id;
};  ///< KILL to its whole tree
struct Withdraw {
  AttemptId id;
};               ///< not to be started any more, where no process could be made for it yet
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
  std::optional<std::uint32_t> job;  ///< unset: the run as a whole
  std::string reason;
};  ///< max_failed was passed, a service has died, or the run was cancelled; said once a job
struct MoveJob {
  std::uint32_t job = 0;
  State state = State::initial;  ///< the job's from now on
  std::string reason;
};
struct DisableSlice {
  std::uint32_t job = 0;
  std::uint64_t slice = 0;
  std::string reason;
};  ///< it will not run: a slice that it needs has failed
struct EnableSlice {
  std::uint32_t job = 0;
  std::uint64_t slice = 0;
};  ///< it was disabled, and may run after all
struct Suspend {
  AttemptId id;
};  ///< STOP to its whole tree
struct Continue {
  AttemptId id;
};  ///< CONT to its whole tree
struct MoveRun {
  State state = State::initial;  ///< suspended: everything that is not over is; or running again
};
struct Steered {
  std::uint64_t slices = 0;  ///< how many slices it made a difference to
  std::string refusal;       ///< why nothing was done, "" if something was
};                           ///< the answer to a Steer
struct WakeAt {
  util::TimePoint at;
};               ///< replaces any earlier wish
struct Done {};  ///< nothing runs and nothing is left to start
using Action = std::variant<Claim, Unclaim, Launch, Offer, Follow, Terminate, Kill, Withdraw, Settle, Abandon, Halt,
                            MoveJob, DisableSlice, EnableSlice, Suspend, Continue, MoveRun, Steered, WakeAt, Done>;
using Actions = std::vector<Action>;

class Scheduler {
 public:
  /// `capacity.slots` is n_procs, shared by all jobs; so are `limits`, by number, of which no slice uses more than
  /// there is. What jobs need must be free of cycles.
  Scheduler(std::vector<JobPlan> jobs, Resources capacity, std::vector<std::uint32_t> limits = {});

  /// Appends what is to be done now to `actions`. An input that cannot be (an end without a launch) asserts.
  void step(const Input& input, util::TimePoint now, Actions& actions);

  // Offers: slices that end faster than the loop can answer are launched ahead of it, in the slot of one that succeeds.
  /// Whether the executor takes offers; none are made before this says so.
  void allow_offers(bool allowed) { offers_allowed_ = allowed; }
  [[nodiscard]] bool has_offers() const { return !offers_.empty(); }
  /// What was offered could be launched now, or something else goes before it.
  [[nodiscard]] bool wants_recall() const;
  /// Whether offers are to be recalled, and all that followed is to be told, before `input` is: something else may come
  /// of it than that the next slice starts.
  [[nodiscard]] bool wants_recall_before(const Input& input) const;
  /// Nothing is launched meanwhile.
  void pause_launches(bool paused) { launches_paused_ = paused; }

  /// Slices and hooks.
  [[nodiscard]] std::size_t running() const { return used_.slots; }
  [[nodiscard]] std::size_t suspended() const { return suspended_; }  ///< of those that run
  [[nodiscard]] std::uint32_t slots() const { return capacity_.slots; }
  /// A slot is free for a claim that is not durable yet: the commit is waited for.
  [[nodiscard]] bool starved() const { return starved_; }

 private:
  struct Running {
    std::uint32_t slot = 0;
    std::optional<Outcome> ended_by_us;  ///< timed_out or cancelled, once asked to terminate
    bool kill_sent = false;
    std::optional<util::TimePoint> started;  ///< by running_time(), like `timeout`
    std::optional<util::TimePoint> timeout;
    std::optional<util::TimePoint> grace;
    bool suspended = false;
    std::optional<util::TimePoint> suspended_at;  ///< by running_time()
  };
  using Deadlines = std::set<std::pair<util::TimePoint, AttemptId>>;
  void on_started(const AttemptId& id, util::TimePoint now);
  void on_finished(const Finished& finished, util::TimePoint now, Actions& actions);
  void on_timeouts(util::TimePoint now, Actions& actions);
  void on_graces(util::TimePoint now, Actions& actions);
  void stop(Stop how, util::TimePoint now, Actions& actions);
  void stop_teardowns(util::TimePoint now, Actions& actions);
  void stop_job(std::uint32_t job, Stop how, util::TimePoint now, Actions& actions);
  void end(const AttemptId& id, Running& attempt, Outcome why, bool by_force, util::TimePoint now, Actions& actions);
  void retry_or_count(const Settle& settled, util::TimePoint now, Actions& actions);
  void drop_what_waits(std::uint32_t job, Actions& actions);
  // of jobs: scheduler_jobs.cpp
  void begin(Actions& actions);
  void move_job(std::uint32_t job, State state, Actions& actions, const std::string& reason = {});
  void look_at_needs(std::uint32_t job, Actions& actions);
  void slice_succeeded(std::uint32_t job, std::uint64_t slice);
  void slice_failed(std::uint32_t job, std::uint64_t slice, const std::string& why, Actions& actions);
  void disable_what_waits_for(std::uint32_t job, Actions& actions);
  void disable_job(std::uint32_t job, const std::string& why, Actions& actions);
  void tell_dependants(std::uint32_t job, Actions& actions);
  void close_jobs(util::TimePoint now, Actions& actions);
  bool close_job(std::uint32_t job, Actions& actions);
  [[nodiscard]] bool is_released(std::uint32_t job, std::uint64_t slice) const;
  // of services: scheduler_services.cpp
  void on_service_ready(std::uint32_t job, Actions& actions);
  void judge_service(Settle& settled);
  void service_died(std::uint32_t job, const Ending& ending, util::TimePoint now, Actions& actions);
  void claim_services(util::TimePoint now, Actions& actions);
  void launch_services(Actions& actions);
  void stop_services(util::TimePoint now, Actions& actions);
  [[nodiscard]] bool has_services_up(const JobQueue& job) const;
  // of steering: scheduler_steer.cpp
  void steer(const Steer& steer, util::TimePoint now, Actions& actions);
  bool steer_job(const Steer& steer, std::uint32_t job, util::TimePoint now, Actions& actions, Steered& answer);
  bool steer_slices(const Steer& steer, std::uint32_t job, util::TimePoint now, Actions& actions, Steered& answer);
  bool suspend_job(std::uint32_t job, util::TimePoint now, Actions& actions, Steered& answer);
  bool resume_job(std::uint32_t job, util::TimePoint now, Actions& actions, Steered& answer);
  bool enable_job(std::uint32_t job, Actions& actions, Steered& answer);
  bool suspend(const AttemptId& id, Running& attempt, util::TimePoint now, Actions& actions);
  bool resume(const AttemptId& id, Running& attempt, util::TimePoint now, Actions& actions);
  bool cancel(const AttemptId& id, Running& attempt, util::TimePoint now, Actions& actions);
  bool cancel_waiting(const Steer& steer, std::uint32_t job, std::uint64_t slice, Actions& actions);
  bool retry(std::uint32_t job, std::uint64_t slice, Actions& actions);
  void disable(std::uint32_t job, std::uint64_t slice, bool by_user, const std::string& why, Actions& actions);
  void disable_in_vain(std::uint32_t job, std::uint64_t slice, Actions& actions);
  bool enable(std::uint32_t job, std::uint64_t slice, Actions& actions);
  void enable_dependants(std::uint32_t job, std::uint64_t slice, Actions& actions);
  void unblock(std::uint32_t job, std::uint64_t slice);
  void take_back(std::uint32_t job, const IntervalSet* slices, Actions& actions);
  void abandon(std::map<AttemptId, Ending>::iterator next, Actions& actions);
  void scale(std::uint32_t slots);
  void fill_slots();
  [[nodiscard]] std::uint32_t unused_slot(std::uint32_t from) const;
  void follow_jobs(Actions& actions);
  [[nodiscard]] std::string why_not(Steering what, std::uint32_t job) const;
  [[nodiscard]] std::string missing_need(std::uint32_t job) const;
  [[nodiscard]] bool has_not_begun(std::uint32_t job, std::uint64_t slice) const;
  [[nodiscard]] bool can_come(std::uint32_t job, std::uint64_t slice) const;
  [[nodiscard]] bool promised(std::uint32_t job, std::uint64_t slice) const;
  [[nodiscard]] AttemptId number_of(const AttemptId& next) const;
  // of claims and launches
  void launch_ready(Actions& actions);
  void launch(const AttemptId& id, std::uint32_t slot, Actions& actions);
  void count_launch(const AttemptId& id, std::uint32_t slot, Actions& actions);
  void claim_ahead(util::TimePoint now, Actions& actions);
  void claim(const AttemptId& id, util::TimePoint now, Actions& actions);
  void on_claimed(std::uint64_t count, util::TimePoint now);
  [[nodiscard]] JobQueue* next_to_launch();
  [[nodiscard]] std::size_t share_left(const JobQueue& job) const;
  [[nodiscard]] bool fits(const Resources& need) const;
  void occupy(const JobQueue& job);
  // of offers: scheduler_offers.cpp
  void note_end(const Ending& judged);
  void offer_ahead(Actions& actions);
  void follow(const AttemptId& id, std::uint32_t slot, Actions& actions);
  [[nodiscard]] bool may_pass_offers(const JobQueue& job);
  void on_recalled();
  // of time
  void set_timeout(const AttemptId& id, Running& attempt);
  void set_timeouts_of(std::uint32_t job);
  void hold(bool held, util::TimePoint now);
  [[nodiscard]] util::TimePoint running_time(util::TimePoint now) const;
  static void set_deadline(Deadlines& all, const AttemptId& id, std::optional<util::TimePoint>& mine,
                           std::optional<util::TimePoint> at);
  void conclude(Actions& actions);

  std::vector<JobQueue> jobs_;
  std::vector<std::uint32_t> order_;                    ///< of jobs: by priority, then as they are in the spec
  std::vector<std::vector<std::uint32_t>> dependants_;  ///< job -> the jobs whose needs name it
  Resources capacity_;
  Resources used_{0, 0, 0};
  std::vector<std::uint32_t> limits_left_;
  Stop stop_ = Stop::none;
  bool done_ = false;
  bool run_suspended_ = false;
  bool record_waits_ = false;
  bool starved_ = false;  ///< a slot had to wait for a claim since the last Claimed
  bool offers_allowed_ = false;
  bool offers_are_late_ = false;  ///< another job has become ready, which may go before them
  bool launches_paused_ = false;
  std::size_t suspended_ = 0;               ///< of running_
  std::optional<std::uint32_t> ceiling_{};  ///< of what runs and is not suspended
  std::set<std::uint32_t> free_slots_;
  std::map<AttemptId, Running> running_;
  Deadlines timeouts_;  ///< by running_time()
  Deadlines graces_;
  std::optional<util::TimePoint> held_since_;
  util::Duration stood_{};                             ///< how long attempts were held, all in all
  std::multimap<util::TimePoint, AttemptId> delayed_;  ///< retries, by the time they may be claimed
  std::map<AttemptId, Ending> promised_;               ///< retries not launched yet, with the ending before them
  static constexpr std::uint32_t kTakenBack = UINT32_MAX;
  std::deque<std::uint32_t> unacknowledged_;  ///< the jobs of claims that are not durable, in the order asked for
  std::size_t window_ = 0;                    ///< claims held beyond the free slots
  std::size_t launches_ = 0;                  ///< since rate_since_
  util::TimePoint rate_since_{};
  util::TimePoint claimed_since_{};       ///< when the oldest claim that is not durable was asked for
  std::deque<AttemptId> offers_;          ///< durable claims that the executor has and may launch
  std::size_t launched_past_offers_ = 0;  ///< since one of them was, or they were made
  std::size_t short_successes_in_a_row_ = 0;
  std::optional<util::TimePoint> wake_;
};

}  // namespace runner::core
