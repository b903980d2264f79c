// The part of detect() that tests call with a directory tree of their own instead of / and an invented affinity.
// Internal to host/ and its tests.
#pragma once

#include <cstdint>
#include <string>

#include "host/machine.hpp"

namespace runner::host::detail {

/// `root` as in read_cgroup_limits(); `affinity`: CPUs in the affinity mask.
Machine detect_below(const std::string& root, std::uint32_t affinity);

}  // namespace runner::host::detail
