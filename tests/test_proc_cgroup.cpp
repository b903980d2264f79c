// Cgroups of runs: their names, and what ends the processes in one. Those that need a real one are skipped where this
// user can make none (tests/fault/test_cgroup.py has the rest).
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <doctest/doctest.h>
#include <fstream>
#include <string>

#include "proc/cgroup.hpp"
#include "util/fd.hpp"

namespace runner::proc {
namespace {

using namespace std::chrono_literals;

/// A cgroup below ours with processes in it: each forks the next, which leaves for a session of its own.
class Populated {
 public:
  Populated() {
    const std::string own = own_cgroup();
    if (own.empty()) return;
    path = made_ = own + "/test-" + std::to_string(::getpid());
    if (::mkdir(path.c_str(), 0755) != 0 || ::mkdir((path + "/below").c_str(), 0755) != 0) path.clear();
    if (path.empty()) return;
    for (const std::string& where : {path, path + "/below"}) {
      first = ::fork();
      if (first == 0) live_in(where);
    }
    while (!path.empty() && cgroup_members(path)->size() < 4) {
      if (::waitpid(-1, nullptr, WNOHANG) > 0) path.clear();  // one could not enter it
    }
  }
  ~Populated() {
    while (::waitpid(-1, nullptr, 0) > 0) {}
    ::rmdir((made_ + "/below").c_str());  // where they could not be used
    ::rmdir(made_.c_str());
  }
  Populated(const Populated&) = delete;
  Populated& operator=(const Populated&) = delete;

  std::string path;  ///< "": there can be none here
  pid_t first = 0;

 private:
  std::string made_;

  [[noreturn]] static void live_in(const std::string& cgroup) {
    std::ofstream procs(cgroup + "/cgroup.procs");
    procs << 0 << std::flush;
    if (!procs) ::_exit(1);
    if (::fork() == 0) ::setsid();
    while (true) ::pause();
  }
};

bool is_frozen(const std::string& cgroup) {
  return util::read_file(cgroup + "/cgroup.events", 4096)->find("frozen 1") != std::string::npos;
}

}  // namespace

TEST_CASE("a cgroup's name says whose it is") {
  const CgroupOwner owner = {
      .run_id = "20261121-165632-d2ik~1", .pid_namespace = "4026531836", .pid = 12, .start = 345};
  CHECK(cgroup_name(owner) == "runner-20261121-165632-d2ik~1.4026531836.12.345");
  const auto parsed = parse_cgroup_name(cgroup_name(owner));
  REQUIRE(parsed);
  CHECK(parsed->run_id == owner.run_id);
  CHECK(parsed->pid_namespace == owner.pid_namespace);
  CHECK(parsed->pid == owner.pid);
  CHECK(parsed->start == owner.start);
  for (const char* name : {"", "runner-", "runner-a.1.2", "runner-a.1.2.", "runner-a.1.x.3", "runner-a.1.2.3x",
                           "a.1.2.3", "runner-.1.2.3", "runner-a.1.99999999999.3", "user.slice"}) {
    CAPTURE(name);
    CHECK_FALSE(parse_cgroup_name(name));
  }
}

TEST_CASE("what is in a cgroup and below it is killed, and the cgroup removed") {
  Populated cgroup;
  if (cgroup.path.empty()) return;
  CHECK(cgroup_members(cgroup.path)->size() == 4);
  CHECK(end_cgroup(cgroup.path, 10s).size() == 4);
  CHECK(::access(cgroup.path.c_str(), F_OK) != 0);
  CHECK(end_cgroup(cgroup.path, 10s).empty());
}

TEST_CASE("on a kernel that cannot kill a cgroup its members are killed one by one") {
  Populated cgroup;
  if (cgroup.path.empty()) return;
  kill_members_one_by_one(cgroup.path);
  CHECK(::waitpid(cgroup.first, nullptr, 0) == cgroup.first);
  while (!cgroup_members(cgroup.path)->empty()) ::usleep(1000);
  CHECK(end_cgroup(cgroup.path, 10s).empty());
}

TEST_CASE("the engine of a run enters a cgroup that is found by its pid and start, and ends all in it but itself") {
  const pid_t engine = ::fork();  // a process of its own: it is moved
  if (engine == 0) {
    const std::string before = own_cgroup();
    const std::string path = enter_run_cgroup("a-run");
    if (path.empty()) ::_exit(before.empty() || ::access(before.c_str(), W_OK) != 0 ? 0 : 1);
    if (own_cgroup() != path) ::_exit(2);
    if (run_cgroup_of(before, ::getpid(), start_of(::getpid())) != path) ::_exit(3);
    if (!run_cgroup_of(before, ::getpid(), start_of(::getpid()) + 1).empty()) ::_exit(4);
    const pid_t child = ::fork();
    if (child == 0) {
      while (true) ::pause();
    }
    {
      const FrozenCgroup frozen(path);
      if (own_cgroup() != before || !is_frozen(path)) ::_exit(7);
    }
    if (own_cgroup() != path || is_frozen(path)) ::_exit(8);
    if (end_cgroup(path, 10s).size() != 1) ::_exit(5);
    int status = 0;
    if (::waitpid(child, &status, 0) != child || !WIFSIGNALED(status)) ::_exit(6);
    ::_exit(own_cgroup() == before && ::access(path.c_str(), F_OK) != 0 ? 0 : 7);
  }
  int status = 0;
  CHECK(::waitpid(engine, &status, 0) == engine);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
}

}  // namespace runner::proc
