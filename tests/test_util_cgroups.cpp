#include <doctest/doctest.h>

#include "util/cgroups.hpp"

namespace runner::util {
namespace {

using Directories = std::vector<std::string>;

constexpr const char* kHybrid =
    "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n"
    "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw shared:1 - cgroup cgroup rw,cpu,cpuacct\n"
    "41 31 0:38 / /sys/fs/cgroup/with\\040space rw - cgroup2 cgroup2 rw\n";

}  // namespace

TEST_CASE("a process's cgroup is found where its hierarchy is mounted, with all above it") {
  const char* groups = "4:cpu,cpuacct:/a/b\n2:memory:/m\n0::/x.scope\n";
  CHECK(cgroup_directories(kHybrid, groups, "") ==
        Directories{"/sys/fs/cgroup/with space/x.scope", "/sys/fs/cgroup/with space"});
  CHECK(cgroup_directories(kHybrid, groups, "cpuacct") ==
        Directories{"/sys/fs/cgroup/cpu,cpuacct/a/b", "/sys/fs/cgroup/cpu,cpuacct/a", "/sys/fs/cgroup/cpu,cpuacct"});
  CHECK(cgroup_directories(kHybrid, groups, "memory").empty());  // not mounted
  CHECK(cgroup_directories(kHybrid, "0::/\n", "") == Directories{"/sys/fs/cgroup/with space"});
  CHECK(cgroup_directories("", groups, "").empty());
  CHECK(cgroup_directories(kHybrid, "nonsense\n:\n", "").empty());
}

TEST_CASE("in a container the mount shows a part of the hierarchy") {
  const char* mount = "41 31 0:38 /docker/7 /sys/fs/cgroup ro - cgroup2 cgroup2 rw\n";
  CHECK(cgroup_directories(mount, "0::/docker/7/job\n", "") == Directories{"/sys/fs/cgroup/job", "/sys/fs/cgroup"});
  CHECK(cgroup_directories(mount, "0::/docker/7\n", "") == Directories{"/sys/fs/cgroup"});
  const char* whole = "41 31 0:38 / /sys/fs/cgroup ro - cgroup2 cgroup2 rw\n";
  CHECK(cgroup_directories(whole, "0::/../other\n", "") == Directories{"/sys/fs/cgroup"});  // beside the namespace
}

}  // namespace runner::util
