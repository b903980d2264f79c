// What keeps the processes of a run together, from the command line's side: the guard above the engine, and what an
// engine and a guard that were killed together left alive. Says on stderr what it finds and does.
#pragma once

#include <optional>
#include <string>

#include <sys/types.h>

#include "cli.hpp"
#include "exit_codes.hpp"
#include "run/session.hpp"

namespace runner::app {

/// Splits the process in two (proc/guard.hpp) and returns in the engine: the guard's pid, or 0 where there is no guard
/// (--no-guard, or no process could be made, which is said).
pid_t start_guard(const RunCommand& command);

/// Before the first slice is started: moves this process, the engine, into a cgroup for the run. "" where there is no
/// guard to remove it, and where none can be made.
std::string enter_cgroup(pid_t guard, const std::string& run_id);

/// What holds the slices' processes, in words, for the record and `status`.
std::string containment(pid_t guard, const std::string& cgroup);

/// Before anything is launched: ends what earlier runs of this record left alive, or, as --survivors says, refuses to
/// go on beside it. `told`: what was ended, for run.log. The exit code when the run cannot begin.
std::optional<ExitCode> end_survivors(const RunCommand& command, const core::Spec& spec, const run::Session& session,
                                      std::string& told);

/// After the last slice, before the end of the run is recorded: ends what slices have left behind in groups and
/// sessions of their own. Here and not in the guard, so that one of the two is there to do it whichever is killed
/// meanwhile. Returns what there is to tell; "" as a rule.
std::string end_leftovers(pid_t guard, const std::string& cgroup);

}  // namespace runner::app
