// What this process was told to ignore. Plain functions; they change nothing.
#pragma once

#include <csignal>
#include <span>

namespace runner::util {

/// What was ignored when we began stays so: nohup's SIGHUP, the SIGINT of a background job.
bool is_ignored(int signal);

/// SIGCHLD, and those of `signals` that are not ignored: waiting for one that is would undo that.
sigset_t signals_to_await(std::span<const int> signals);

}  // namespace runner::util
