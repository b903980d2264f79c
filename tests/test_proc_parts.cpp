// Environment, program search, OOM counter, statuses: what proc/ does without its launcher.
#include <signal.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <doctest/doctest.h>
#include <array>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "proc/child.hpp"
#include "proc/environment.hpp"
#include "proc/oom.hpp"
#include "proc/program.hpp"
#include "proc/tree.hpp"
#include "temporary_directory.hpp"

namespace runner::proc {
namespace {

using test::TemporaryDirectory;
std::vector<std::string> strings(const char* const* list) {
  std::vector<std::string> found;
  for (; *list != nullptr; ++list) found.emplace_back(*list);
  return found;
}

/// At most a minute.
template <class Condition>
bool wait_until(Condition condition) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::minutes(1);
  while (!condition() && std::chrono::steady_clock::now() < deadline)
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  return condition();
}

bool has_memory(pid_t pid) {
  const auto process = read_process(pid);
  return process && process->has_memory;
}

}  // namespace

TEST_CASE("variables of an attempt replace inherited ones, and are gone at the next launch") {
  const std::array<const char*, 4> inherited = {"HOME=/root", "PATH=/bin", "EMPTY=", nullptr};
  Environment environment(inherited.data());
  const std::vector<std::string> cookie = {"C=1"};
  const std::vector<std::string> variables = {"PATH=/opt", "NEW=1", "NEW=2", "PATHS=x"};
  CHECK(strings(environment.with(variables, cookie)) ==
        std::vector<std::string>{"HOME=/root", "PATH=/opt", "EMPTY=", "NEW=2", "PATHS=x", "C=1"});
  CHECK(std::string(environment.find("PATH")) == "/opt");
  CHECK(std::string(environment.find("EMPTY")).empty());
  CHECK(environment.find("PAT") == nullptr);
  CHECK(strings(environment.with({}, cookie)) == std::vector<std::string>{"HOME=/root", "PATH=/bin", "EMPTY=", "C=1"});
}

TEST_CASE("of a variable that was inherited several times only the first is left, and what replaces it replaces all") {
  const std::array<const char*, 8> inherited = {"A=1", "PATH", "A=2", "PATH=/bin", "", "=odd", "=odd", nullptr};
  Environment environment(inherited.data());
  CHECK(strings(environment.with({})) == std::vector<std::string>{"A=1", "PATH", "PATH=/bin", "", "=odd", "=odd"});
  CHECK(std::string(environment.find("PATH")) == "/bin");
  CHECK(strings(environment.with({"A=spec", "PATH=/opt"})) ==
        std::vector<std::string>{"A=spec", "PATH", "PATH=/opt", "", "=odd", "=odd"});
  CHECK(std::string(environment.find("PATH")) == "/opt");
}

TEST_CASE("what goes before the inherited variables replaces all of its name") {
  const std::array<const char*, 5> inherited = {"A=1", "B=1", "A=2", "AB=1", nullptr};
  Environment environment(inherited.data(), {"A=ours", "C=ours"});
  CHECK(strings(environment.with({})) == std::vector<std::string>{"A=ours", "C=ours", "B=1", "AB=1"});
  CHECK(strings(environment.with({"A=spec"})) == std::vector<std::string>{"A=spec", "C=ours", "B=1", "AB=1"});
}

TEST_CASE("what was made of variables lasts as long as the next call, whatever becomes of them and however long") {
  const std::array<const char*, 2> inherited = {"HOME=/root", nullptr};
  Environment environment(inherited.data());
  for (const std::size_t length : {3U, 3U, 5000U, 10U, 100'000U}) {
    const std::string text(length, 'x');
    const char* const* built = nullptr;
    {
      std::vector<std::string> variables = {"AB=" + text, "B=" + text};
      built = environment.with(variables, std::vector<std::string>{"C=1"});
      for (auto& one : variables) std::ranges::fill(one, '!');
    }
    CHECK(strings(built) == std::vector<std::string>{"HOME=/root", "AB=" + text, "B=" + text, "C=1"});
  }
  CHECK(strings(environment.with({"ABC=1", "B=2"})) == std::vector<std::string>{"HOME=/root", "ABC=1", "B=2"});
  CHECK(strings(environment.with({"AB=1", "none"})) == std::vector<std::string>{"HOME=/root", "AB=1", "none"});
}

TEST_CASE("a program is found where execvp would find it") {
  const TemporaryDirectory dir;
  for (const char* sub : {"/a", "/b", "/b/folder"}) std::filesystem::create_directory(dir.path() + sub);
  std::ofstream(dir.path() + "/a/tool") << "not executable";
  std::ofstream(dir.path() + "/b/tool") << "executable";
  ::chmod((dir.path() + "/b/tool").c_str(), 0755);
  const std::string both = dir.path() + "/a:" + dir.path() + "/b";
  CHECK(*find_program("tool", both.c_str(), "/") == dir.path() + "/b/tool");
  CHECK(*find_program("tool", "a:b", dir.path()) == dir.path() + "/b/tool");
  CHECK(*find_program("tool", ":/nowhere", dir.path() + "/b") == dir.path() + "/b/tool");
  CHECK(*find_program("./x/tool", "/nowhere", "/") == "./x/tool");
  CHECK(find_program("sh", nullptr, "/")->ends_with("/sh"));
  CHECK(find_program("tool", (dir.path() + "/a").c_str(), "/").error().message ==
        "cannot execute 'tool': Permission denied");
  CHECK(find_program("folder", both.c_str(), "/").error().message == "cannot execute 'folder': not found in PATH");
  CHECK_FALSE(find_program("", both.c_str(), "/").ok());
}

TEST_CASE("the OOM killer explains as many deaths as it has killed meanwhile, and none from before") {
  const TemporaryDirectory dir;
  const std::string file = dir.path() + "/memory.events";
  const auto write = [&](int kills) {
    std::ofstream(file) << "low 0\noom 9\noom_kill " << kills << "\noom_group_kill 7\n";
  };
  write(3);
  OomCounter counter(file);
  const auto before = counter.kills();
  CHECK(before == 3);
  CHECK_FALSE(counter.explains_a_death(before));
  write(5);
  const auto later = counter.kills();
  CHECK_FALSE(counter.explains_a_death(later));  // it began when those two had been killed
  CHECK(counter.explains_a_death(before));
  CHECK(counter.explains_a_death(before));
  CHECK_FALSE(counter.explains_a_death(before));
  write(6);
  CHECK(counter.explains_a_death(later));
  CHECK_FALSE(counter.explains_a_death(before));
  OomCounter missing(dir.path() + "/none");
  CHECK_FALSE(missing.explains_a_death(missing.kills()));
  OomCounter real;
  CHECK_FALSE(real.explains_a_death(real.kills()));
  OomCounter machine("/proc/vmstat");
  CHECK(machine.kills() == machine.kills());
}

TEST_CASE("a process that is not the one that was found is not signalled") {
  Process ours;
  ours.pid = ::getpid();
  ours.start = start_of(ours.pid) + 1;  // as if the pid had been given to another
  signal_process(ours, SIGKILL);
  CHECK(start_of(::getpid()) != 0);
  CHECK(start_of(0) == 0);
}

TEST_CASE("the status of a child is there once its tracer lets go of it") {
  std::array<int, 2> go{};
  std::array<int, 2> is_traced{};
  std::array<int, 2> release{};
  for (auto* ends : {&go, &is_traced, &release}) REQUIRE(::pipe(ends->data()) == 0);
  char byte = 'x';
  const pid_t child = ::fork();
  if (child == 0) {
    ::prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY);
    ::_exit(::read(go[0], &byte, 1) == 1 ? 7 : 1);
  }
  const pid_t tracer = ::fork();
  if (tracer == 0) {
    if (::ptrace(PTRACE_SEIZE, child, nullptr, nullptr) != 0) byte = 'n';
    if (::write(is_traced[1], &byte, 1) != 1 || ::read(release[0], &byte, 1) != 1) ::_exit(1);
    ::_exit(0);
  }
  REQUIRE(::read(is_traced[0], &byte, 1) == 1);
  const bool may_trace = byte == 'x';
  if (!may_trace) MESSAGE("not tried: no process may trace another here");
  REQUIRE(::write(go[1], &byte, 1) == 1);
  CHECK(wait_until([&] { return !has_memory(child); }));
  if (may_trace) CHECK_FALSE(reap(child));
  REQUIRE(::write(release[1], &byte, 1) == 1);
  auto status = reap_exited(child);
  CHECK(wait_until([&] { return status || (status = reap_exited(child)); }));  // a busy machine
  REQUIRE(status);
  CHECK(status->code == 7);
  CHECK(::waitpid(tracer, nullptr, 0) == tracer);
  for (const int fd : {go[0], go[1], is_traced[0], is_traced[1], release[0], release[1]}) ::close(fd);
}

TEST_CASE("we are never part of a tree") {
  ::setenv("RUNNER_COOKIE", "parts-test", 1);
  const auto found = find_trees({{::getppid(), ""}, {0, "RUNNER_COOKIE=parts-test"}});
  REQUIRE(found);
  const auto& trees = *found;
  for (const auto& tree : trees) {
    for (const auto& process : tree) CHECK(process.pid != ::getpid());
  }
  ::unsetenv("RUNNER_COOKIE");
}

TEST_CASE("a /proc that cannot be read is not one without processes") {
  CHECK(read_processes());
  rlimit before{};
  REQUIRE(::getrlimit(RLIMIT_NOFILE, &before) == 0);
  const rlimit none = {.rlim_cur = 0, .rlim_max = before.rlim_max};
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &none) == 0);
  const auto all = read_processes();
  const auto trees = find_trees({{::getppid(), ""}});
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &before) == 0);
  CHECK_FALSE(all);
  CHECK_FALSE(trees);
}

}  // namespace runner::proc
