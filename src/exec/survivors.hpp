// Survivors: processes of slices that outlived the engine that started them, because its guard was killed with it.
// They are found, by cookie and by cgroup, and ended, before a run or a resume launches anything. Plain functions.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <vector>

#include "core/attempt.hpp"
#include "proc/process.hpp"

namespace runner::exec {

struct Survivor {
  proc::Process process;
  std::string run_id;
  std::optional<core::AttemptId> id;  ///< nullopt: it has no cookie any more
  std::string cgroup;                 ///< of the dead engine, if it is in it
};

/// Those of these runs: orphans with a cookie from an engine of this pid namespace that is dead, in the engine's
/// session or one made below it; what descends from them; what shares a session that was the engine's own; and all
/// that is in the engine's cgroup. Never this process or one above it. nullopt when /proc cannot be read.
[[nodiscard]] std::optional<std::vector<Survivor>> find_survivors(const std::set<std::string>& run_ids);

/// Kills them and whatever they fork meanwhile. What is alive still after 10 s (in the kernel, uninterruptibly), or may
/// not be killed by this user, is returned. Removes their cgroups.
[[nodiscard]] std::optional<std::vector<Survivor>> end_survivors(const std::set<std::string>& run_ids);

}  // namespace runner::exec
