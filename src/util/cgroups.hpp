// Where the kernel shows a process's cgroups: by the texts of /proc/PID/mountinfo and /proc/PID/cgroup. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace runner::util {

/// The directory of the process's group in the v1 hierarchy with `controller`, or in that of v2 for "", and those of
/// all groups above it, as far as the mount shows them; the mount's own comes last. Empty where there is none. What the
/// mount does not show is left out: the first need not be the process's own group.
[[nodiscard]] std::vector<std::string> cgroup_directories(std::string_view mountinfo, std::string_view groups,
                                                          std::string_view controller);

}  // namespace runner::util
