// The living processes of an attempt, wherever they have gone: found in /proc by parent, by process group, by session
// and by the cookie in their environment. Plain functions; one look at /proc (some ms) answers for any number of trees,
// so callers collect and ask once.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "proc/process.hpp"

namespace runner::proc {

struct TreeRoot {
  pid_t pid = 0;  ///< leader of its process group and not reaped yet, so that the ids are pinned; 0: no such process
  std::string cookie;  ///< "NAME=value" in the environment of the tree's processes
  pid_t session = 0;   ///< the one it was started in, which is not the tree's alone; those made below it are
  bool kill = false;   ///< what is too quick to be found and signalled after that is killed (SIGKILL) when it is found
};

/// For each root, the processes of its tree that are alive, the root included. Never ourselves. nullopt when /proc
/// cannot be read.
[[nodiscard]] std::optional<std::vector<std::vector<Process>>> find_trees(const std::vector<TreeRoot>& roots);

/// Sends `signal` to the root's process group at once (which outruns its forks), and to the others one by one.
void signal_tree(pid_t root, const std::vector<Process>& tree, int signal);

/// Kills a process group at once. The caller pins the number: the group's leader is not reaped yet.
void kill_group(pid_t group);

/// Whether a process group has members, zombies included.
[[nodiscard]] bool group_exists(pid_t group);

}  // namespace runner::proc
