#include "util/cgroups.hpp"

#include <algorithm>
#include <optional>

#include "util/text.hpp"

namespace runner::util {
namespace {

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
std::vector<std::string> directories_upwards(const Mount& mount, std::string group) {
  // In a container the mount shows a part of the tree; what is above that cannot be seen from here.
  if (mount.group != "/") {
    if (group.starts_with(mount.group)) {
      group.erase(0, mount.group.size());
    } else if (!group.starts_with("/")) {
      group.clear();
    }
  }
  std::vector<std::string> directories;
  const std::string& base = mount.directory;
  while (!group.empty() && group != "/") {
    // "/../x" is a group beside the namespace's own root: not below this mount.
    if (group.find("/..") == std::string::npos) directories.push_back(base + group);
    group.erase(group.rfind('/'));
  }
  directories.push_back(base);
  return directories;
}

}  // namespace

std::vector<std::string> cgroup_directories(std::string_view mountinfo, std::string_view groups,
                                            std::string_view controller) {
  const auto mount = find_mount(mountinfo, controller);
  const auto group = find_group(groups, controller);
  return mount && group ? directories_upwards(*mount, *group) : std::vector<std::string>();
}

}  // namespace runner::util
