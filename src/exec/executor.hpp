// Executor: turns attempts into processes. The interface that the run loop knows; local.hpp (later slurm) implements
// it and factory.hpp makes one by name. Single-threaded, owned by the run loop, lives as long as the run.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "core/attempt.hpp"
#include "core/output_tap.hpp"
#include "core/report.hpp"
#include "core/scheduler.hpp"
#include "core/spec.hpp"
#include "util/result.hpp"

namespace runner::exec {

/// One attempt to start. The expanded parts are owned by the request; launch() takes what it needs from it.
struct LaunchRequest {
  core::AttemptId id;
  std::uint32_t slot = 0;
  core::ExpandedAttempt attempt;
  std::string key;  ///< the slice's label, for OutputTap
  std::string log;  ///< where its output goes if it writes any; relative to the run directory
  /// The record may have the draft that the attempt before in this slot wrote to, without its end: this one needs a
  /// name of its own.
  bool new_draft = true;
  std::string obstacle{};  ///< why it cannot be started, "" if nothing is known against it: it is not_started then
  const core::JobSpec* job = nullptr;  ///< success_codes, log_limit; outlives the executor
  /// Of an offer whose slot is not in its environment alone: makes `attempt` for a slot. Called on a thread of the
  /// executor's.
  std::function<util::Result<core::ExpandedAttempt>(std::uint32_t slot)> expand{};

  /// Of an offer, once its slot is known.
  void set_slot(std::uint32_t number);
};

/// What an executor tells the run loop. Called from the loop's thread, never from inside an Executor function but
/// recall().
class ExecutorEvents {
 public:
  /// `log`: the file its output goes to while it runs, relative to the run directory.
  virtual void started(const core::AttemptId& id, int pid, util::WallTime at, const std::string& log) = 0;
  /// Exactly once per launch(), after started() if there was one. A failed exec is an Ending (not_started).
  /// Outcomes here: succeeded, failed, killed, out_of_memory, not_started, missing_output; cancelled where withdrawn.
  virtual void finished(const core::AttemptId& id, core::Ending ending) = 0;
  /// As finished(); and `next`, which was offered, has been launched in its slot. Its started() comes later.
  virtual void followed(const core::AttemptId& id, core::Ending ending, const core::AttemptId& next) = 0;
  /// No process could be made for now (EAGAIN, ENOMEM, EMFILE): the attempt waits and is launched when one can.
  /// Said once per spell; `reason` is for people.
  virtual void backpressure(const std::string& reason) = 0;
  /// The logs cannot be kept any more (the run directory is gone, or read-only): no attempt can be started properly.
  /// The one at hand is not_started.
  virtual void logs_failed(const std::string& reason) = 0;
  /// A running attempt says how far it is. Nobody has to listen.
  virtual void reported(const core::AttemptId& /*id*/, const core::Report& /*report*/) {}
  /// The tap takes no output, so attempts may be waiting in write(2), or it does again.
  virtual void held(bool held) = 0;

 protected:
  ~ExecutorEvents() = default;
};

/// TERM+CONT, KILL, STOP, CONT: always the attempt's whole tree. The time it was suspended is not in Ending::runtime.
/// `withdraw`: an attempt for which no process could be made yet is cancelled, one that has started goes on.
enum class How : std::uint8_t { terminate, kill, suspend, resume, withdraw };

using core::OutputTap;  ///< takes the output of attempts while they run (--print)
using core::Stream;

class Executor {
 public:
  virtual ~Executor() = default;
  /// What this executor offers; slots is 0 where it sets no limit of its own.
  [[nodiscard]] virtual core::Resources capacity() const = 0;
  /// Never fails and never calls back from inside.
  virtual void launch(LaunchRequest request) = 0;
  /// No effect on an attempt that has ended already.
  virtual void signal(const core::AttemptId& id, How how) = 0;
  /// Reads on after OutputTap::ready() has become true again.
  virtual void resume_output() = 0;
  /// Whether offer() may be called while there are so many slots.
  [[nodiscard]] virtual bool takes_offers(std::uint32_t /*slots*/) const { return false; }
  /// Launched in the slot of an attempt that succeeds, when this is the first of what was offered; followed() tells.
  /// The request's own slot is none yet.
  // NOLINTNEXTLINE(performance-unnecessary-value-param): who takes offers keeps it
  virtual void offer(LaunchRequest /*request*/) {}
  /// Tells, before it returns, what was launched so. What else was offered is forgotten: nothing follows any more.
  virtual void recall() {}
};

}  // namespace runner::exec
