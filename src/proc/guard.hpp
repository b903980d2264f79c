// Guard: the process above the engine. start_under_guard() splits the process in two before any thread exists: the
// caller goes on as the engine, the child; the parent, which is the process the user started, watches it, hands signals
// on and ends as it ended. Both are child subreapers, so that no process of a slice can leave the tree: when the engine
// dies the guard kills every descendant, and when the guard dies the engine is told (SIGCONT) and does it itself.
#pragma once

#include <sys/types.h>

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "proc/process.hpp"
#include "util/clock.hpp"
#include "util/result.hpp"

namespace runner::proc {

/// What had to be done after the engine, for people.
struct Aftermath {
  int engine_signal = 0;  ///< that killed the engine; 0: it exited, or died of one that was handed on
  pid_t engine = 0;
  std::vector<Process> ended;       ///< were alive and have been killed
  std::vector<Process> unkillable;  ///< are alive still, or may not be killed by this user
};

/// Returns in the engine alone, with the guard's pid; from there on is_orphan() of that pid says whether the guard has
/// died, and SIGCONT, which also continues an engine that was stopped, that it may have. The engine has a session of
/// its own, without a terminal. In the guard `tell` is called once, when everything below is gone; then it exits with
/// the engine's code, or dies of its signal. The error: no process can be made; nothing has changed then.
[[nodiscard]] util::Result<pid_t> start_under_guard(const std::function<void(const Aftermath&)>& tell);

/// Whether the parent that is remembered is not the parent any more.
[[nodiscard]] bool is_orphan(pid_t parent);

/// Kills (SIGKILL) and reaps every descendant of this process, which is a child subreaper, until there is none or
/// `patience` is over; and all of `cgroup` at once, where there is one. What is in `spared_session` stays as it is, and
/// what descends from that. (0 is a session too: one that began outside of our pid namespace.)
[[nodiscard]] Aftermath end_descendants(util::Duration patience, std::optional<pid_t> spared_session = {},
                                        const std::string& cgroup = {});

/// Reaps children that were inherited as a subreaper and have exited. `is_ours(pid)`: started by us, left alone.
void reap_inherited(const std::function<bool(pid_t)>& is_ours);

/// For an engine without a guard: gives up the controlling terminal, so that neither Ctrl-Z nor a read from it stops
/// slices. Nothing where there is none, or where everything else would lose it too (a session leader).
void leave_terminal();

}  // namespace runner::proc
