// Survivors: processes of slices that outlived the engine that started them, because its guard was killed with it.
// They are found, and ended, before a run or a resume launches anything. Plain functions.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "core/attempt.hpp"
#include "proc/process.hpp"

namespace runner::exec {

struct Survivor {
  proc::Process process;
  std::string run_id;
  core::AttemptId id;
};

/// Those of these runs: what has one of their cookies from an engine that is dead, and what belongs to such a process
/// by parent, group or session. One look at /proc when there are none.
[[nodiscard]] std::vector<Survivor> find_survivors(const std::set<std::string>& run_ids);

/// Kills them and whatever they fork meanwhile. What is alive still after 10 s (in the kernel, uninterruptibly) is
/// returned.
[[nodiscard]] std::vector<Survivor> end_survivors(const std::set<std::string>& run_ids);

}  // namespace runner::exec
