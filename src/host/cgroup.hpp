// Cgroup limits of this process: how much CPU time and memory the groups above it allow, by v2 and v1 files. Reads
// below a root directory, so that tests bring files of their own. Internal to host/; no state.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace runner::host {

struct CgroupLimits {
  std::optional<double> cpus;           ///< quota / period, the smallest on the way up
  std::optional<std::uint64_t> memory;  ///< bytes, the smallest on the way up
  std::optional<std::uint64_t> tasks;   ///< how many more there may be: pids.max - pids.current, likewise
};

/// `root` is "" or a directory that has proc/self/{cgroup,mountinfo} and the mounted hierarchies. What cannot be read
/// limits nothing.
CgroupLimits read_cgroup_limits(const std::string& root);

}  // namespace runner::host
