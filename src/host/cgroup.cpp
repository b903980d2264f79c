#include "host/cgroup.hpp"

#include <algorithm>
#include <string_view>
#include <vector>

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

bool has_word(std::string_view list, std::string_view word) {
  const auto words = util::split(list, ',');
  return std::find(words.begin(), words.end(), word) != words.end();
}

/// Where a hierarchy is mounted, and which of its groups that directory shows (inside a container not the root's).
struct Mount {
  std::string directory;
  std::string group;
};

/// Octal escapes of mountinfo: \040 is a space.
std::string unescape(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool escape = text[i] == '\\' && i + 3 < text.size();
    if (!escape) {
      out += text[i];
      continue;
    }
    out += static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 + (text[i + 3] - '0'));
    i += 3;
  }
  return out;
}

/// The v1 hierarchy with `controller`, or that of v2 for "". proc(5): fields up to " - " vary in number.
std::optional<Mount> find_mount(std::string_view mountinfo, std::string_view controller) {
  for (const std::string_view line : util::split(mountinfo, '\n')) {
    const std::size_t dash = line.find(" - ");
    if (dash == std::string_view::npos) continue;
    const auto fields = util::split(line.substr(0, dash), ' ');
    const auto tail = util::split(line.substr(dash + 3), ' ');
    if (fields.size() < 5 || tail.size() < 3) continue;
    const bool wanted =
        controller.empty() ? tail[0] == "cgroup2" : tail[0] == "cgroup" && has_word(tail[2], controller);
    if (wanted) return Mount{unescape(fields[4]), unescape(fields[3])};
  }
  return std::nullopt;
}

/// This process's group in that hierarchy; a line of /proc/self/cgroup is "id:controllers:path".
std::optional<std::string> find_group(std::string_view cgroup_file, std::string_view controller) {
  for (const std::string_view line : util::split(cgroup_file, '\n')) {
    const std::size_t first = line.find(':');
    const std::size_t second = first == std::string_view::npos ? first : line.find(':', first + 1);
    if (second == std::string_view::npos) continue;
    const std::string_view controllers = line.substr(first + 1, second - first - 1);
    if (controller.empty() ? controllers.empty() : has_word(controllers, controller))
      return std::string(line.substr(second + 1));
  }
  return std::nullopt;
}

/// The directories of the group and of all above it, as far as the mount shows them.
std::vector<std::string> directories_upwards(const std::string& root, const Mount& mount, std::string group) {
  // In a container the mount shows a part of the tree; what is above that cannot be seen from here.
  if (mount.group != "/") {
    if (group.starts_with(mount.group)) {
      group.erase(0, mount.group.size());
    } else if (!group.starts_with("/")) {
      group.clear();
    }
  }
  std::vector<std::string> directories;
  const std::string base = root + mount.directory;
  while (!group.empty() && group != "/") {
    // "/../x" is a group beside the namespace's own root: not below this mount.
    if (group.find("/..") == std::string::npos) directories.push_back(base + group);
    group.erase(group.rfind('/'));
  }
  directories.push_back(base);
  return directories;
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
    const auto mount = find_mount(mountinfo, controller);
    const auto group = find_group(groups, controller);
    return mount && group ? directories_upwards(root, *mount, *group) : std::vector<std::string>();
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
