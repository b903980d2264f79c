#include "host/machine.hpp"

#include <sched.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <memory>

#include "host/cgroup.hpp"
#include "host/machine_detail.hpp"
#include "util/fd.hpp"
#include "util/text.hpp"

namespace runner::host {
namespace {

struct FreeCpuSet {
  void operator()(cpu_set_t* set) const { CPU_FREE(set); }
};

/// CPUs in this process's affinity mask; the mask grows until the kernel's fits (more than 1024 CPUs do exist).
std::uint32_t count_affinity() {
  for (int cpus = CPU_SETSIZE; cpus <= (1 << 20); cpus *= 2) {
    const std::unique_ptr<cpu_set_t, FreeCpuSet> set(CPU_ALLOC(cpus));
    const std::size_t size = CPU_ALLOC_SIZE(cpus);
    if (::sched_getaffinity(0, size, set.get()) == 0) return static_cast<std::uint32_t>(CPU_COUNT_S(size, set.get()));
    if (errno != EINVAL) break;
  }
  return static_cast<std::uint32_t>(std::max(1L, ::sysconf(_SC_NPROCESSORS_ONLN)));
}

/// "MemTotal:       24683880 kB"; 0 when it is not there.
std::uint64_t physical_memory(const std::string& root) {
  auto text = util::read_file(root + "/proc/meminfo", 1U << 20U);
  if (!text) return 0;
  for (std::string_view line : util::split(*text, '\n')) {
    if (!line.starts_with("MemTotal:")) continue;
    line.remove_prefix(std::string_view("MemTotal:").size());
    if (line.ends_with(" kB")) line.remove_suffix(3);
    const auto kib = util::parse_int(util::trim(line));
    return kib && *kib > 0 ? static_cast<std::uint64_t>(*kib) * 1024 : 0;
  }
  return 0;
}

/// Processes and threads of a user.
std::uint64_t count_tasks(uid_t user) {
  std::uint64_t count = 0;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("/proc", error)) {
    struct stat info {};
    if (::stat((entry.path() / "task").c_str(), &info) != 0 || info.st_uid != user) continue;
    count += info.st_nlink > 2 ? info.st_nlink - 2 : 1;  // a directory for each thread
  }
  return count;
}

std::string quota_text(double cpus) {
  std::array<char, 64> text{};
  const int n = std::snprintf(text.data(), text.size(), "cgroup quota %.3g", cpus);
  return {text.data(), static_cast<std::size_t>(n)};
}

}  // namespace

Machine detail::detect_below(const std::string& root, std::uint32_t affinity) {
  Machine machine;
  machine.cpus = std::max(1U, affinity);
  machine.cpus_reason = "affinity";
  machine.memory = physical_memory(root);

  const CgroupLimits limits = read_cgroup_limits(root);
  if (limits.cpus && std::ceil(*limits.cpus) < machine.cpus) {
    machine.cpus = std::max(1U, static_cast<std::uint32_t>(std::ceil(*limits.cpus)));
    machine.cpus_reason = quota_text(*limits.cpus);
  }
  if (limits.tasks) {
    machine.processes = limits.tasks;
    machine.processes_reason = "cgroup pids.max";
  }
  if (limits.memory && (machine.memory == 0 || *limits.memory < machine.memory)) machine.memory = *limits.memory;
  return machine;
}

Machine detect() {
  Machine machine = detail::detect_below("", count_affinity());
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) == 0) machine.descriptors = limit.rlim_max;
  // Root may start any number (kernel/fork.c, copy_process).
  if (::getuid() == 0 || ::getrlimit(RLIMIT_NPROC, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return machine;
  const std::uint64_t left = limit.rlim_cur - std::min<std::uint64_t>(limit.rlim_cur, count_tasks(::getuid()));
  if (!machine.processes || left < *machine.processes) {
    machine.processes = left;
    machine.processes_reason = "ulimit -u " + std::to_string(limit.rlim_cur);
  }
  return machine;
}

std::string hostname() {
  std::array<char, HOST_NAME_MAX + 1> name{};
  if (::gethostname(name.data(), name.size() - 1) != 0 || name[0] == '\0') return "localhost";
  return name.data();
}

std::string boot_id() {
  const auto text = util::read_file("/proc/sys/kernel/random/boot_id", 100);
  return text ? std::string(util::trim(*text)) : std::string();
}

}  // namespace runner::host
