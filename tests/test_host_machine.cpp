#include <doctest/doctest.h>
#include <sched.h>
#include <unistd.h>

#include "host/machine.hpp"
#include "host/machine_detail.hpp"
#include "temporary_directory.hpp"

using namespace runner;

namespace {

constexpr std::uint64_t kGiB = 1ULL << 30U;

/// A / of our own.
class Root {
 public:
  Root() { put("/proc/meminfo", "MemTotal:       16777216 kB\nMemFree:        1234 kB\n"); }

  void put(const std::string& path, const std::string& text) { directory_.write(path.substr(1), text); }
  [[nodiscard]] host::Machine detect(std::uint32_t affinity = 8) const {
    return host::detail::detect_below(directory_.path(), affinity);
  }

 private:
  test::TemporaryDirectory directory_;
};

void mount_v2(Root& root, const std::string& group, const std::string& shown = "/") {
  root.put("/proc/self/cgroup", "0::" + group + "\n");
  root.put("/proc/self/mountinfo",
           "22 1 0:20 / /proc rw,nosuid - proc proc rw\n"
           "30 23 0:26 " +
               shown + " /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n");
}

void mount_v1(Root& root, const std::string& group, const std::string& shown = "/") {
  root.put("/proc/self/cgroup", "5:memory:" + group + "\n4:cpu,cpuacct:" + group + "\n1:name=systemd:/init.scope\n");
  root.put("/proc/self/mountinfo", "31 23 0:27 " + shown +
                                       " /sys/fs/cgroup/cpu,cpuacct rw shared:10 - cgroup cgroup rw,cpu,cpuacct\n"
                                       "32 23 0:28 " +
                                       shown + " /sys/fs/cgroup/memory rw shared:11 - cgroup cgroup rw,memory\n");
}

}  // namespace

TEST_CASE("without cgroups the affinity mask and the physical memory count") {
  const Root root;
  const auto machine = root.detect(6);
  CHECK(machine.cpus == 6);
  CHECK(machine.cpus_reason == "affinity");
  CHECK(machine.memory == 16 * kGiB);
}

TEST_CASE("nothing readable at all still gives one CPU") {
  const auto machine = host::detail::detect_below("/nonexistent", 0);
  CHECK(machine.cpus == 1);
  CHECK(machine.memory == 0);
}

TEST_CASE("a v2 quota is rounded up and named") {
  Root root;
  mount_v2(root, "/batch");
  root.put("/sys/fs/cgroup/batch/cpu.max", "150000 100000\n");
  root.put("/sys/fs/cgroup/batch/memory.max", "2147483648\n");
  const auto machine = root.detect();
  CHECK(machine.cpus == 2);
  CHECK(machine.cpus_reason == "cgroup quota 1.5");
  CHECK(machine.memory == 2 * kGiB);
}

TEST_CASE("the smallest limit on the way up counts, wherever it is") {
  Root root;
  mount_v2(root, "/user.slice/job_7/step_0");
  root.put("/sys/fs/cgroup/user.slice/cpu.max", "400000 100000\n");
  root.put("/sys/fs/cgroup/user.slice/memory.max", "1073741824\n");
  root.put("/sys/fs/cgroup/user.slice/job_7/cpu.max", "300000 100000\n");
  root.put("/sys/fs/cgroup/user.slice/job_7/memory.max", "3221225472\n");
  root.put("/sys/fs/cgroup/user.slice/job_7/step_0/cpu.max", "max 100000\n");
  root.put("/sys/fs/cgroup/user.slice/job_7/step_0/memory.max", "max\n");
  const auto machine = root.detect();
  CHECK(machine.cpus == 3);
  CHECK(machine.memory == 1 * kGiB);
}

TEST_CASE("'max' limits nothing") {
  Root root;
  mount_v2(root, "/");
  root.put("/sys/fs/cgroup/cpu.max", "max 100000\n");
  root.put("/sys/fs/cgroup/memory.max", "max\n");
  const auto machine = root.detect();
  CHECK(machine.cpus == 8);
  CHECK(machine.cpus_reason == "affinity");
  CHECK(machine.memory == 16 * kGiB);
}

TEST_CASE("a quota above the affinity mask changes nothing, nor a memory limit above the memory") {
  Root root;
  mount_v2(root, "/batch");
  root.put("/sys/fs/cgroup/batch/cpu.max", "1600000 100000\n");
  root.put("/sys/fs/cgroup/batch/memory.max", "1099511627776\n");
  const auto machine = root.detect(4);
  CHECK(machine.cpus == 4);
  CHECK(machine.cpus_reason == "affinity");
  CHECK(machine.memory == 16 * kGiB);
}

TEST_CASE("v1 quotas and limits are found, the smallest on the way up") {
  Root root;
  mount_v1(root, "/slurm/job_9");
  root.put("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "-1\n");
  root.put("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n");
  root.put("/sys/fs/cgroup/cpu,cpuacct/slurm/cpu.cfs_quota_us", "250000\n");
  root.put("/sys/fs/cgroup/cpu,cpuacct/slurm/cpu.cfs_period_us", "100000\n");
  root.put("/sys/fs/cgroup/cpu,cpuacct/slurm/job_9/cpu.cfs_quota_us", "-1\n");
  root.put("/sys/fs/cgroup/cpu,cpuacct/slurm/job_9/cpu.cfs_period_us", "100000\n");
  root.put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  root.put("/sys/fs/cgroup/memory/slurm/memory.limit_in_bytes", "9223372036854771712\n");
  root.put("/sys/fs/cgroup/memory/slurm/job_9/memory.limit_in_bytes", "4294967296\n");
  const auto machine = root.detect();
  CHECK(machine.cpus == 3);
  CHECK(machine.cpus_reason == "cgroup quota 2.5");
  CHECK(machine.memory == 4 * kGiB);
}

TEST_CASE("v1 without limits shows a huge number, which is none") {
  Root root;
  mount_v1(root, "/");
  root.put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  CHECK(root.detect().memory == 16 * kGiB);
}

TEST_CASE("the fewest tasks that a group on the way up leaves room for count") {
  Root root;
  mount_v2(root, "/batch/job");
  CHECK_FALSE(root.detect().processes.has_value());
  root.put("/sys/fs/cgroup/batch/job/pids.max", "max\n");
  root.put("/sys/fs/cgroup/batch/job/pids.current", "7\n");
  CHECK_FALSE(root.detect().processes.has_value());
  root.put("/sys/fs/cgroup/batch/pids.max", "100\n");
  root.put("/sys/fs/cgroup/batch/pids.current", "60\n");
  CHECK(root.detect().processes == 40);
  CHECK(root.detect().processes_reason == "cgroup pids.max");
  root.put("/sys/fs/cgroup/batch/pids.current", "160\n");
  CHECK(root.detect().processes == 0);
}

TEST_CASE("a hybrid system has its controllers in v1 and only its groups in v2") {
  Root root;
  root.put("/proc/self/cgroup", "4:cpu,cpuacct:/batch\n5:memory:/batch\n0::/user.slice\n");
  root.put("/proc/self/mountinfo",
           "30 23 0:26 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
           "31 23 0:27 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n"
           "32 23 0:28 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n");
  root.put("/sys/fs/cgroup/unified/user.slice/cgroup.procs", "");
  root.put("/sys/fs/cgroup/cpu/batch/cpu.cfs_quota_us", "50000\n");
  root.put("/sys/fs/cgroup/cpu/batch/cpu.cfs_period_us", "100000\n");
  root.put("/sys/fs/cgroup/memory/batch/memory.limit_in_bytes", "1073741824\n");
  const auto machine = root.detect();
  CHECK(machine.cpus == 1);
  CHECK(machine.cpus_reason == "cgroup quota 0.5");
  CHECK(machine.memory == 1 * kGiB);
}

TEST_CASE("in a container the mount shows the container's own group as its top") {
  Root v1;
  mount_v1(v1, "/docker/abc/inner", "/docker/abc");
  v1.put("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "200000\n");
  v1.put("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n");
  v1.put("/sys/fs/cgroup/memory/inner/memory.limit_in_bytes", "1073741824\n");
  CHECK(v1.detect().cpus == 2);
  CHECK(v1.detect().memory == 1 * kGiB);

  Root v2;  // a cgroup namespace: the path is relative to it
  mount_v2(v2, "/");
  v2.put("/sys/fs/cgroup/cpu.max", "100000 100000\n");
  CHECK(v2.detect().cpus == 1);
}

TEST_CASE("a group outside of the container's mount falls back to the mount's top") {
  for (const std::string group : {"/../elsewhere", "/docker/xyz"}) {
    Root root;
    mount_v2(root, group, "/docker/abc");
    root.put("/sys/fs/cgroup/cpu.max", "200000 100000\n");
    CHECK(root.detect().cpus == 2);
  }
}

TEST_CASE("files that make no sense limit nothing") {
  for (const std::string text : {"", "0 100000\n", "-5 100000\n", "100000\n", "100000 0\n", "abc def\n"}) {
    Root root;
    mount_v2(root, "/batch");
    root.put("/sys/fs/cgroup/batch/cpu.max", text);
    root.put("/sys/fs/cgroup/batch/memory.max", "lots\n");
    CAPTURE(text);
    CHECK(root.detect().cpus == 8);
    CHECK(root.detect().memory == 16 * kGiB);
  }
}

TEST_CASE("a mount point with a space in it is found") {
  Root root;
  root.put("/proc/self/cgroup", "0::/batch\n");
  root.put("/proc/self/mountinfo", "30 23 0:26 / /my\\040groups rw - cgroup2 cgroup2 rw\n");
  root.put("/my groups/batch/cpu.max", "100000 100000\n");
  CHECK(root.detect().cpus == 1);
}

TEST_CASE("this machine has at most as many CPUs as its affinity mask, and some memory") {
  cpu_set_t set;
  REQUIRE(::sched_getaffinity(0, sizeof set, &set) == 0);
  const auto machine = host::detect();
  CHECK(machine.cpus >= 1);
  CHECK(machine.cpus <= static_cast<std::uint32_t>(CPU_COUNT(&set)));
  CHECK(machine.memory > 0);
}

TEST_CASE("a smaller affinity mask means fewer CPUs") {
  cpu_set_t before;
  REQUIRE(::sched_getaffinity(0, sizeof before, &before) == 0);
  int first = 0;
  while (!CPU_ISSET(first, &before)) ++first;
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(first, &one);
  REQUIRE(::sched_setaffinity(0, sizeof one, &one) == 0);
  CHECK(host::detect().cpus == 1);
  REQUIRE(::sched_setaffinity(0, sizeof before, &before) == 0);
}

TEST_CASE("the topology names at least the threads, and the host has a name") {
  CHECK(host::describe_topology().find("thread") != std::string::npos);
  CHECK_FALSE(host::hostname().empty());
}
