// A command in the place of this process: with its terminal, its descriptors, its process group. What `runner sem` is
// to the command that it runs. The process is otherwise idle, and has one thread.
#pragma once

#include <string>
#include <vector>

#include "proc/child.hpp"
#include "util/result.hpp"

namespace runner::proc {

struct ForegroundCommand {
  std::vector<std::string> argv;
  std::vector<std::string> env;  ///< NAME=value, besides ours
  int handed_down = -1;          ///< a descriptor that it inherits besides those that are not CLOEXEC
};

/// Runs it to its end. It is killed when this process dies; signals that end a process and are sent to this one alone
/// are handed on (those of the terminal reach it anyway). The error reads "cannot execute 'prog': ...", with ENOENT
/// where there is no such program.
[[nodiscard]] util::Result<ExitStatus> run_in_foreground(const ForegroundCommand& command);

}  // namespace runner::proc
