// Loop: one run from its first claim to its last acknowledged record. Carries out the scheduler's actions on the
// executor and the store, and tells observers and the log of everything once its record is on disk. Runs on one thread
// (one io_context); it never sleeps, blocks or touches a process itself. Used once.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "core/event.hpp"
#include "core/run_view.hpp"
#include "core/scheduler.hpp"
#include "exec/executor.hpp"
#include "report/observer.hpp"
#include "store/store.hpp"

namespace boost::asio {
class io_context;
}

namespace runner::log {
class RunLog;
}

namespace runner::run {

struct LoopSetup {
  const core::Spec* spec = nullptr;
  std::vector<core::JobPlan> plans;
  core::Resources capacity;
  std::uint32_t most_slots = UINT32_MAX;  ///< that `scale` may ask for
  std::string most_slots_because = {};    ///< what limits them, "" if nothing was found to
  core::RunView view;                     ///< as it stands before the first launch
  std::vector<report::Observer*> observers;
  log::RunLog* log = nullptr;
  /// Asked at the start and at every SIGCONT: whether the process that watches over this one has died. Then all is
  /// killed, because nothing would be left to do that.
  std::function<bool()> guard_is_lost = {};
  /// Called once when nothing is left to run, before the end of the run is recorded; returns what there is to tell.
  std::function<std::string()> end_leftovers = {};
};

/// How a run ended, for the exit code and the last words.
struct LoopResult {
  core::RunView view;
  int signal = 0;             ///< the signal that stopped it, 0 if none
  std::string halted;         ///< why it was halted (max_failed), "" if it was not
  std::string record_failed;  ///< why the record could not be kept, "" if it was
  std::string output_lost;    ///< the first slice of which some output is in no log, and why; "" if there is none
};

class Readiness;

class Loop final : public exec::ExecutorEvents, public store::WriterEvents {
 public:
  Loop(boost::asio::io_context& io, LoopSetup setup);
  ~Loop();
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  /// `writer` and `executor` were made with this loop as their events. Returns when the run is over; observers' output
  /// may still be under way then, and the io_context is stopped.
  LoopResult run(store::Writer& writer, exec::Executor& executor);
  /// Something a user should know; shown by every observer and logged.
  void notice(const std::string& message);

  // Steering, on the loop's thread: steering.cpp. What was done is in the record, with who asked for it.
  /// `slices` as --slices has them, of several jobs also JOB; none: the whole run. Returns how many slices it made a
  /// difference to, or why nothing was done.
  util::Result<std::uint64_t> steer(core::Steering what, const std::vector<std::string>& slices, const std::string& by);
  util::Result<void> scale(std::uint32_t slots, const std::string& by);
  [[nodiscard]] std::uint32_t slots() const { return scheduler_.slots(); }
  [[nodiscard]] const core::RunView& view() const { return setup_.view; }

  // ExecutorEvents, on the loop's thread.
  void started(const core::AttemptId& id, int pid, util::WallTime at, const std::string& log) override;
  void finished(const core::AttemptId& id, core::Ending ending) override;
  void followed(const core::AttemptId& id, core::Ending ending, const core::AttemptId& next) override;
  void backpressure(const std::string& reason) override;
  void logs_failed(const std::string& reason) override;
  void held(bool held) override;
  void reported(const core::AttemptId& id, const core::Report& report) override;

  // WriterEvents, on the writer's thread: posted to the loop.
  void committed(store::Sequence through) override;
  void trouble(const std::string& message, bool waiting) override;
  void recovered() override;

 private:
  struct Asio;  // signals and timers
  struct LiveAttempt {
    std::string key;
    core::Lifecycle life;
    int pid = 0;
    std::uint32_t slot = 0;
    core::Report report;               ///< what it has said of itself so far
    util::TimePoint report_written{};  ///< when that went to the record last
    util::TimePoint since{};           ///< when it started
    bool suspended = false;            ///< or to be, once it has started
  };
  /// What becomes true once `sequence` is on disk.
  struct Pending {
    store::Sequence sequence = 0;
    std::optional<core::Event> event;  ///< unset: a claim
  };

  void feed(const core::Input& input);
  void step(const core::Input& input);
  void step_all(const core::Input& input);
  void recall_offers();
  [[nodiscard]] bool may_offer() const;
  void carry_out(const core::Claim& action);
  void carry_out(const core::Unclaim& action);
  void carry_out(const core::Launch& action);
  void carry_out(const core::Offer& action);
  void carry_out(const core::Follow& action);
  void carry_out(const core::Terminate& action);
  void carry_out(const core::Kill& action);
  void carry_out(const core::Withdraw& action);
  void carry_out(const core::Settle& action);
  void carry_out(const core::Abandon& action);
  void carry_out(const core::Halt& action);
  void carry_out(const core::MoveJob& action);
  void carry_out(const core::DisableSlice& action);
  void carry_out(const core::EnableSlice& action);
  void carry_out(const core::Suspend& action);
  void carry_out(const core::Continue& action);
  void carry_out(const core::MoveRun& action);
  void carry_out(const core::Steered& action);
  void carry_out(const core::WakeAt& action);
  void carry_out(const core::Done& action);

  void begin();
  void on_acknowledged();
  void on_signal(int signal);
  void await_signal();
  void await_tick();
  void write_reports(util::TimePoint now);
  void on_scale_signal(int signal);
  void record_steering(const std::string& by, const std::string& what, const std::string& job,
                       const std::string& slices);
  void look_at_load(util::TimePoint now);
  void tell(const std::string& message);
  void tell_standing(const core::AttemptId& id, LiveAttempt& attempt);
  void record_failed(const std::string& message);
  void announce_end(const core::AttemptId& id, const LiveAttempt& attempt, const core::Ending& ending,
                    std::optional<util::Duration> retry_in, store::Sequence sequence);
  void tell_initial();
  void tell_claimed(const core::AttemptId& id, const std::string& key);
  void move_run(core::State state, const std::string& reason = {});
  [[nodiscard]] util::WallTime wall_now() const;
  [[nodiscard]] core::Event make_event(core::SystemKind kind, std::string name, core::State state) const;
  [[nodiscard]] core::Event run_event(core::State state) const;
  [[nodiscard]] core::Event job_event(std::uint32_t job, core::State state) const;
  /// Of a slice that has no process.
  [[nodiscard]] core::Event slice_event(const core::AttemptId& id, const std::string& key, core::State state) const;
  [[nodiscard]] core::Event attempt_event(const core::AttemptId& id, const LiveAttempt& attempt,
                                          core::State state) const;
  /// On the executor's threads, too.
  [[nodiscard]] util::Result<core::ExpandedAttempt> expand(const core::AttemptId& id, std::uint32_t slot) const;
  [[nodiscard]] exec::LaunchRequest request_for(const core::AttemptId& id, const std::string& key,
                                                std::uint32_t slot) const;
  void note_lost_output(const core::AttemptId& id, const core::Ending& ending);
  store::Sequence& last_started_in(unsigned slot);
  void when_committed(store::Sequence sequence, std::optional<core::Event> event);
  void see_start(const core::Event& event);
  void publish(const core::Event& event);
  void finish_if_over();
  /// Of a slice whose last attempt ended so.
  static core::State state_after(const core::Ending& ending);
  [[nodiscard]] bool is_main(std::uint32_t job) const;  ///< the one job of a simple spec
  [[nodiscard]] std::string key_of(const core::AttemptId& id) const;
  [[nodiscard]] std::string slice_name(const core::AttemptId& id, const std::string& key) const;

  LoopSetup setup_;
  core::Scheduler scheduler_;
  std::unique_ptr<Asio> asio_;
  store::Writer* writer_ = nullptr;
  exec::Executor* executor_ = nullptr;
  std::unique_ptr<Readiness> readiness_;  ///< where there are services
  core::Actions actions_;
  std::map<core::AttemptId, LiveAttempt> live_;
  std::set<core::AttemptId> reports_due_;  ///< said something that is not in the record yet
  std::deque<Pending> pending_;
  core::Lifecycle run_life_;
  util::WallTime begun_at_{};
  util::TimePoint begun_{};
  store::Sequence last_sequence_ = 0;
  std::vector<store::Sequence> last_started_;  ///< by slot
  std::optional<util::TimePoint> load_seen_;   ///< when the machine's load was looked at last
  bool held_by_load_ = false;
  bool is_recalling_ = false;
  std::vector<core::Input> deferred_;  ///< told while offers were recalled
  std::vector<bool> slot_matters_;     ///< to a job's attempts, elsewhere than in RUNNER_SLOT
  core::Steered answer_;               ///< to what was asked for last
  LoopResult result_;
  bool done_ = false;   ///< the scheduler has nothing left
  bool over_ = false;   ///< and everything about it is on disk
  int stop_level_ = 0;  ///< 1 drain, 2 terminate, 3 kill
};

}  // namespace runner::run
