// The living processes of an attempt, wherever they have gone: found in /proc by parent, by session and by the cookie
// in their environment, and signalled only after a check that the pid is still the process that was found. Plain
// functions; one scan of /proc (some ms) answers for any number of trees, so callers collect and ask once.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <set>
#include <string>
#include <vector>

namespace runner::proc {

struct Process {
  pid_t pid = 0;
  pid_t parent = 0;
  pid_t group = 0;
  pid_t session = 0;
  std::uint64_t start = 0;  ///< clock ticks since boot; with the pid it names a process for good
  bool alive = false;       ///< neither a zombie nor dead
};

struct TreeRoot {
  pid_t pid = 0;       ///< leader of its session and not reaped yet, so that the ids are pinned; 0: no such process
  std::string cookie;  ///< "NAME=value" in the environment of the tree's processes
};

/// For each root, the processes of its tree that are alive, the root included. Never ourselves.
[[nodiscard]] std::vector<std::vector<Process>> find_trees(const std::vector<TreeRoot>& roots);

/// The entries of living processes' environments that begin with `prefix` ("NAME=val").
[[nodiscard]] std::set<std::string> find_cookies(const std::string& prefix);

/// Sends `signal` to a process if that is still the one.
void signal_process(const Process& process, int signal);

/// Sends `signal` to the root's process group at once (which outruns its forks), and to the others one by one.
void signal_tree(pid_t root, const std::vector<Process>& tree, int signal);

/// Kills a process group at once. The caller pins the number: the group's leader is not reaped yet.
void kill_group(pid_t group);

/// Whether a process group has members, zombies included.
[[nodiscard]] bool group_exists(pid_t group);

/// The start of a process, as in Process; 0 if there is none.
[[nodiscard]] std::uint64_t start_of(pid_t pid);

}  // namespace runner::proc
