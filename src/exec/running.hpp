// Running: one attempt with a process, and Slot: where it runs, with the log that the slot hands from one to the next.
// The local executor's own bookkeeping; plain data.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <ctime>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "exec/capture.hpp"
#include "exec/executor.hpp"
#include "exec/slot_log.hpp"
#include "util/clock.hpp"

namespace runner::exec {

/// SIGKILL takes effect at once unless the kernel itself is stuck.
inline constexpr auto kUnkillableAfter = std::chrono::seconds(10);

/// Whether the processes of an attempt are stopped by us, and whether all of them are known to be as they should.
enum class Standing : std::uint8_t { no, stopping, stopped, continuing };

/// One attempt with a process.
struct Running {
  LaunchRequest request;
  pid_t pid = -1;
  util::WallTime started_at{};
  util::TimePoint launched_at{};
  timespec outputs_since{};
  std::uint64_t oom_kills = 0;  ///< of the machine or the cgroup, when it was launched
  std::unique_ptr<Capture> capture;
  bool exited = false;  ///< and not reaped: it waits for the rest of its tree, or for the tap
  util::WallTime exited_at{};
  util::Duration runtime{};                  ///< set when it has exited
  bool term_asked = false;                   ///< TERM is to be sent in the next round
  bool found_empty = false;                  ///< nothing of its tree was alive in the last round
  bool signalled = false;                    ///< by us: it ends when its whole tree has
  std::optional<std::vector<pid_t>> killed;  ///< all that SIGKILL was sent to in the last round
  bool outruns_us = false;                   ///< there are others after that: it forks while it is being killed
  std::optional<util::TimePoint> killed_at;

  Standing standing = Standing::no;
  bool found_settled = false;                  ///< the last look found it as it is to be
  std::optional<util::TimePoint> stood_since;  ///< suspended
  util::Duration stood{};                      ///< before that; no part of the runtime

  [[nodiscard]] util::Duration stood_until(util::TimePoint now) const {
    return stood + (stood_since ? now - *stood_since : util::Duration::zero());
  }
  [[nodiscard]] bool is_being_ended() const { return term_asked || signalled || killed_at; }
  /// Of one that has exited, if it was left alone and has succeeded; without its usage.
  [[nodiscard]] core::Ending ending_at_exit() const;
  [[nodiscard]] bool is_given_up() const { return killed_at && util::steady_now() - *killed_at >= kUnkillableAfter; }
};

/// `log` is that of an attempt which has ended. `others`: processes of it may still write to it.
void put_away(SlotLog& log, const Running& running, bool others, core::Ending& ending);

struct Slot {
  Slot(const std::string& run_dir, std::uint32_t number)
      : log(std::make_unique<SlotLog>(run_dir, number)), spare(std::make_unique<SlotLog>(run_dir, number)) {}
  std::unique_ptr<SlotLog> log;    ///< of what runs
  std::unique_ptr<SlotLog> spare;  ///< in a lane one attempt is launched before the log of the other is put away
  std::optional<Running> running;  ///< and not in a lane
};

}  // namespace runner::exec
