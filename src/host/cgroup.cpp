#include "host/cgroup.hpp"

#include <algorithm>
#include <string_view>
#include <vector>

#include "util/cgroups.hpp"
#include "util/fd.hpp"
#include "util/text.hpp"

namespace runner::host {
namespace {

constexpr std::size_t kMaxFile = 1U << 20U;
// What v1 shows for "no limit" is PAGE_COUNTER_MAX pages: nearly 2^63, less what the page size rounds off.
constexpr std::int64_t kNoMemoryLimit = INT64_MAX / 2;

std::string read_or_empty(const std::string& path) {
  auto text = util::read_file(path, kMaxFile);
  return text ? std::move(*text) : std::string();
}

std::optional<std::int64_t> read_number(const std::string& path) {
  return util::parse_int(util::trim(read_or_empty(path)));
}

template <class T>
void take_smaller(std::optional<T>& limit, std::optional<T> other) {
  if (other && (!limit || *other < *limit)) limit = other;
}

/// cpu.max: "max 100000" or "150000 100000".
std::optional<double> read_cpu_max(const std::string& path) {
  const std::string text = read_or_empty(path);
  const auto words = util::split(util::trim(text), ' ');
  if (words.size() != 2) return std::nullopt;
  const auto quota = util::parse_int(words[0]);  // not a number: "max"
  const auto period = util::parse_int(words[1]);
  if (!quota || !period || *quota <= 0 || *period <= 0) return std::nullopt;
  return static_cast<double>(*quota) / static_cast<double>(*period);
}

std::optional<double> read_cfs_quota(const std::string& directory) {
  const auto quota = read_number(directory + "/cpu.cfs_quota_us");  // -1: none
  const auto period = read_number(directory + "/cpu.cfs_period_us");
  if (!quota || !period || *quota <= 0 || *period <= 0) return std::nullopt;
  return static_cast<double>(*quota) / static_cast<double>(*period);
}

std::optional<std::uint64_t> read_memory(const std::string& path) {
  const auto bytes = read_number(path);
  if (!bytes || *bytes < 0 || *bytes > kNoMemoryLimit) return std::nullopt;
  return static_cast<std::uint64_t>(*bytes);
}

std::optional<std::uint64_t> read_tasks_left(const std::string& directory) {
  const auto max = read_number(directory + "/pids.max");  // not a number: "max"
  const auto current = read_number(directory + "/pids.current");
  if (!max || !current) return std::nullopt;
  return static_cast<std::uint64_t>(std::max<std::int64_t>(0, *max - *current));
}

}  // namespace

CgroupLimits read_cgroup_limits(const std::string& root) {
  const std::string mountinfo = read_or_empty(root + "/proc/self/mountinfo");
  const std::string groups = read_or_empty(root + "/proc/self/cgroup");
  const auto directories = [&](std::string_view controller) {
    auto found = util::cgroup_directories(mountinfo, groups, controller);
    for (std::string& directory : found) directory.insert(0, root);
    return found;
  };

  // On a hybrid system a controller is in one of the two; the files of the other are not there.
  CgroupLimits limits;
  for (const std::string& directory : directories("")) {
    take_smaller(limits.cpus, read_cpu_max(directory + "/cpu.max"));
    take_smaller(limits.memory, read_memory(directory + "/memory.max"));
    take_smaller(limits.tasks, read_tasks_left(directory));
  }
  for (const std::string& directory : directories("cpu")) take_smaller(limits.cpus, read_cfs_quota(directory));
  for (const std::string& directory : directories("memory"))
    take_smaller(limits.memory, read_memory(directory + "/memory.limit_in_bytes"));
  for (const std::string& directory : directories("pids")) take_smaller(limits.tasks, read_tasks_left(directory));
  return limits;
}

}  // namespace runner::host
