// Machine: what this process may use of the computer it runs on. Plain reading of the kernel's files; no state.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace runner::host {

struct Machine {
  std::uint32_t cpus = 1;    ///< usable: affinity mask and cgroup quota (v1, v2), rounded up, at least 1
  std::uint64_t memory = 0;  ///< bytes: the smaller of physical memory and the cgroup limits above this process
  std::optional<std::uint64_t> processes;  ///< how many more may be started, threads among them; unset: any number
  std::string processes_reason;            ///< "cgroup pids.max", "ulimit -u 100"
  std::uint64_t descriptors = 0;           ///< one process may open; 0: not known
  std::string cpus_reason;                 ///< where the number comes from: "affinity", "cgroup quota 1.5"
};
/// Fast (a millisecond or so): sched_getaffinity, /proc, /sys/fs/cgroup; a look at every process where ulimit -u
/// counts.
Machine detect();

/// "2 cores, 4 threads, 1 package, 1 NUMA node" by hwloc; costs some 10 ms, for `runner check` only.
std::string describe_topology();

std::string hostname();

/// The running kernel's id, another one after every boot; "" where there is none.
std::string boot_id();

}  // namespace runner::host
