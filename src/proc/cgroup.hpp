// The cgroup (v2) of a run: the engine moves into it before it starts anything, so that every process of every slice is
// born there, and nothing that it does to its parents, groups, sessions or environment leads out again. The guard stays
// outside, kills all of it at once and removes it. Its name says whose it is, for those who find it when both are dead.
// Plain functions; a cgroup is the path of its directory. Needs no controller, and leaves limits and counters above it
// as they are.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "proc/process.hpp"
#include "util/clock.hpp"
#include "util/fd.hpp"

namespace runner::proc {

/// The engine that a cgroup was made for.
struct CgroupOwner {
  std::string run_id;
  std::string pid_namespace;  ///< as pid_namespace() has it; elsewhere the pid means another process
  pid_t pid = 0;
  std::uint64_t start = 0;  ///< as Process has it
};

/// "runner-<run>.<namespace>.<pid>.<start>".
[[nodiscard]] std::string cgroup_name(const CgroupOwner& owner);
/// nullopt for anything else.
[[nodiscard]] std::optional<CgroupOwner> parse_cgroup_name(std::string_view name);

/// That of this process; "" where no hierarchy of version 2 shows it.
[[nodiscard]] std::string own_cgroup();

/// Makes a cgroup for this process, the engine of that run, below its own, and moves it there. "" where that is not
/// possible or not permitted; nothing has changed then.
[[nodiscard]] std::string enter_run_cgroup(const std::string& run_id);

/// Takes away the empty cgroups that dead engines left below this process's own.
void remove_empty_run_cgroups();

/// The one that the engine with this pid and start has made below `parent`; "" if it has not.
[[nodiscard]] std::string run_cgroup_of(const std::string& parent, pid_t pid, std::uint64_t start);

struct RunCgroup {
  std::string path;
  CgroupOwner owner;
};

/// Those that dead engines of this pid namespace left, wherever they are in the hierarchy, if this user made them.
/// nullopt when one that is there cannot be read (no descriptor left, say): then nothing is known.
[[nodiscard]] std::optional<std::vector<RunCgroup>> abandoned_cgroups();

/// The processes in it and in those below it; nullopt likewise.
[[nodiscard]] std::optional<std::vector<pid_t>> cgroup_members(const std::string& cgroup);

/// SIGKILL to all of them, with what they fork meanwhile. This process leaves it first, if it is in it.
void kill_cgroup(const std::string& cgroup);

/// The same as on a kernel before 5.14: one by one, after they are frozen (5.2).
void kill_members_one_by_one(const std::string& cgroup);

/// While it lives nothing in the cgroup runs, so that nothing forks before a look at it is over; SIGKILL ends what
/// stands still. This process, which is in it, is outside meanwhile. Where the cgroup is "" or cannot be frozen (Linux
/// before 5.2) it does nothing.
class FrozenCgroup {
 public:
  explicit FrozenCgroup(const std::string& cgroup);
  ~FrozenCgroup();
  FrozenCgroup(const FrozenCgroup&) = delete;
  FrozenCgroup& operator=(const FrozenCgroup&) = delete;

 private:
  util::Fd freeze_;  ///< all that it takes to undo it is open before it is done
  util::Fd members_;
};

/// Kills what is in it, until it can be removed or `patience` is over. Returns what had to be killed.
std::vector<Process> end_cgroup(const std::string& cgroup, util::Duration patience);

}  // namespace runner::proc
