// The local executor beyond the contract: statuses, environment of the child, clean-up, shortage.
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <doctest/doctest.h>
#include <algorithm>
#include <sstream>

#include "exec_harness.hpp"

namespace runner::exec {
namespace {

struct Local : test::Harness {
  explicit Local(bool force_sigchld = false) { make_local({run_dir.path(), "local-test", nullptr, force_sigchld, ""}); }
};

std::size_t open_descriptors() {
  std::size_t count = 0;
  DIR* dir = ::opendir("/proc/self/fd");
  while (::readdir(dir) != nullptr) ++count;
  ::closedir(dir);
  return count;
}

bool has_children() {
  return ::waitpid(-1, nullptr, WNOHANG) == 0 || errno != ECHILD;
}

/// "SigBlk" -> the line's value in a copy of /proc/self/status.
std::string status_field(const std::string& status, const std::string& name) {
  std::istringstream in(status);
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with(name + ":")) return line.substr(line.find_first_not_of(" \t", name.size() + 1));
  }
  return "none";
}

/// While it lives no file can be opened.
class NoDescriptors {
 public:
  NoDescriptors() {
    ::getrlimit(RLIMIT_NOFILE, &before_);
    rlimit none = before_;
    none.rlim_cur = 3;
    ::setrlimit(RLIMIT_NOFILE, &none);
  }
  ~NoDescriptors() { ::setrlimit(RLIMIT_NOFILE, &before_); }
  NoDescriptors(const NoDescriptors&) = delete;
  NoDescriptors& operator=(const NoDescriptors&) = delete;

 private:
  rlimit before_{};
};

}  // namespace

TEST_CASE("every exit code comes back as it was") {
  Local t;
  t.on_finished = [&](const core::AttemptId& id) {
    if (id.slice + 4 < 256) t.shell(id.slice + 4, "exit " + std::to_string(id.slice + 4), id.slice % 4);
  };
  for (std::uint32_t code = 0; code < 4; ++code) t.shell(code, "exit " + std::to_string(code), code);
  t.run_until_finished(256);
  for (int code = 0; code < 256; ++code) {
    const auto& ending = t.endings.at(static_cast<std::uint64_t>(code));
    CHECK(ending.exit_code == code);
    CHECK(ending.signal == 0);
    CHECK(ending.outcome == (code == 0 ? core::Outcome::succeeded : core::Outcome::failed));
  }
}

TEST_CASE("death by every signal that ends a process comes back as that signal") {
  Local t;
  std::vector<int> signals;
  for (int signal = 1; signal < 32; ++signal) {
    const bool harmless = signal == SIGCHLD || signal == SIGCONT || signal == SIGURG || signal == SIGWINCH;
    const bool stops = signal == SIGSTOP || signal == SIGTSTP || signal == SIGTTIN || signal == SIGTTOU;
    if (!harmless && !stops) signals.push_back(signal);
  }
  for (const int signal : signals)
    t.shell(static_cast<std::uint64_t>(signal), "ulimit -c 0; kill -" + std::to_string(signal) + " $$");
  t.run_until_finished(signals.size());
  for (const int signal : signals) {
    CAPTURE(signal);
    CHECK(t.endings.at(static_cast<std::uint64_t>(signal)).signal == signal);
    CHECK(t.endings.at(static_cast<std::uint64_t>(signal)).outcome == core::Outcome::killed);
  }
}

TEST_CASE("a thousand launches leave no descriptor and no zombie") {
  for (const bool sigchld : {false, true}) {
    CAPTURE(sigchld);
    Local t(sigchld);
    t.command(0, {"true"});
    t.run_until_finished(1);
    const auto before = open_descriptors();
    t.on_finished = [&](const core::AttemptId& id) {
      if (id.slice >= 997) return;
      auto next = t.request(id.slice + 4, {id.slice % 10 == 0 ? "no-such-program" : "true"});
      next.slot = static_cast<std::uint32_t>(id.slice % 4);
      t.executor->launch(std::move(next));
    };
    for (std::uint64_t slice = 1; slice <= 4; ++slice) {
      auto first = t.request(slice, {"true"});
      first.slot = static_cast<std::uint32_t>(slice % 4);
      t.executor->launch(std::move(first));
    }
    t.run_until_finished(1001);
    CHECK(open_descriptors() <= before + 4);  // the other slots' logs
    CHECK_FALSE(has_children());
  }
}

TEST_CASE("the child starts with clean signals although the parent's are not") {
  // Ignored and blocked here; the loop's own handlers are there as well.
  ::signal(SIGPIPE, SIG_IGN);
  ::signal(SIGUSR1, SIG_IGN);
  sigset_t block, before;
  sigemptyset(&block);
  sigaddset(&block, SIGUSR2);
  sigaddset(&block, SIGTERM);
  ::pthread_sigmask(SIG_BLOCK, &block, &before);
  {
    Local t(true);
    t.command(0, {"cat", "/proc/self/status"});
    t.run_until_finished(1);
    const std::string status = t.output(0);
    CHECK(status_field(status, "SigBlk") == "0000000000000000");
    CHECK(status_field(status, "SigIgn") == "0000000000000000");
    CHECK(status_field(status, "SigCgt") == "0000000000000000");
    CHECK(status_field(status, "SigPnd") == "0000000000000000");
    sigset_t after;
    ::pthread_sigmask(SIG_SETMASK, nullptr, &after);
    CHECK(sigismember(&after, SIGUSR2) == 1);
    CHECK(sigismember(&after, SIGINT) == 0);
  }
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  ::signal(SIGPIPE, SIG_DFL);
  ::signal(SIGUSR1, SIG_DFL);
}

TEST_CASE("the child's descriptors are 0, 1 and 2") {
  const int leaky = ::open("/dev/null", O_RDONLY);  // not CLOEXEC, as a careless library would
  REQUIRE(leaky > 2);
  const int far = ::fcntl(leaky, F_DUPFD, 700);
  Local t;
  // The shell expands the name itself: 10 and up would be descriptors it opened for that.
  t.shell(0, "for f in 0 1 2 3 4 5 6 7 8 9 700; do [ -e /proc/$$/fd/$f ] && echo $f; done; exit 0");
  t.command(1, {"ls", "/proc/self/fd"});
  t.run_until_finished(2);
  CHECK(t.output(0) == "0\n1\n2\n");
  CHECK(t.output(1) == "0\n1\n2\n3\n");  // 3: the directory that ls reads
  ::close(leaky);
  ::close(far);
}

TEST_CASE("the child leads a process group of its own in our session") {
  Local t;
  t.shell(0, "set -- $(cat /proc/$$/stat); echo $1 $5 $6");
  t.run_until_finished(1);
  const std::string pid = std::to_string(t.pids.at(0));
  CHECK(t.output(0) == pid + " " + pid + " " + std::to_string(::getsid(0)) + "\n");
}

TEST_CASE("an attempt's variables come after the inherited ones and replace them") {
  ::setenv("RUNNER_TEST_BOTH", "inherited", 1);
  ::setenv("RUNNER_TEST_ONLY", "inherited", 1);
  Local t;
  auto request = t.request(0, {"/bin/sh", "-c", "echo $RUNNER_TEST_BOTH $RUNNER_TEST_ONLY $A; env | grep -c ^A="});
  request.attempt.env = {"RUNNER_TEST_BOTH=mine", "A=1", "A=2"};
  t.executor->launch(std::move(request));
  t.shell(1, "echo $RUNNER_TEST_BOTH");
  t.run_until_finished(2);
  CHECK(t.output(0) == "mine inherited 2\n1\n");
  CHECK(t.output(1) == "inherited\n");
  ::unsetenv("RUNNER_TEST_BOTH");
  ::unsetenv("RUNNER_TEST_ONLY");
}

TEST_CASE("the program is looked for in the child's PATH") {
  Local t;
  ::mkdir(t.path("bin").c_str(), 0755);
  std::ofstream(t.path("bin/mine")) << "#!/bin/sh\necho mine \"$0\" \"$1\"\n";
  ::chmod(t.path("bin/mine").c_str(), 0755);
  std::ofstream(t.path("bin/plain")) << "echo plain \"$1\"\n";  // no "#!"
  ::chmod(t.path("bin/plain").c_str(), 0755);
  std::ofstream(t.path("bin/broken")) << "#!/no/such/interpreter\n";
  ::chmod(t.path("bin/broken").c_str(), 0755);
  std::ofstream(t.path("bin/data")) << "data";
  std::uint64_t slice = 0;
  for (const char* path : {"PATH=bin:/usr/bin:/bin", "PATH=/nowhere"}) {
    for (const char* program : {"mine", "plain", "broken", "data"}) {
      auto request = t.request(slice++, {program, "x y"});
      request.attempt.env = {path};
      t.executor->launch(std::move(request));
    }
  }
  t.run_until_finished(8);
  CHECK(t.output(0) == "mine " + t.path("bin/mine") + " x y\n");
  CHECK(t.output(1) == "plain x y\n");
  CHECK(t.endings.at(2).detail == "cannot execute 'broken': the interpreter that it names is missing");
  CHECK(t.endings.at(3).detail == "cannot execute 'data': Permission denied");
  CHECK(t.endings.at(4).detail == "cannot execute 'mine': not found in PATH");
}

TEST_CASE("a program that has moved since the last launch is found again") {
  Local t;
  for (const char* name : {"one", "two"}) ::mkdir(t.path(name).c_str(), 0755);
  std::ofstream(t.path("one/tool")) << "#!/bin/sh\nexit 1\n";
  ::chmod(t.path("one/tool").c_str(), 0755);
  const auto launch = [&](std::uint64_t slice) {
    auto request = t.request(slice, {"tool"});
    request.attempt.env = {"PATH=one:two"};
    t.executor->launch(std::move(request));
    t.run_until_finished(slice + 1);
    return t.endings.at(slice);
  };
  CHECK(launch(0).exit_code == 1);
  std::filesystem::rename(t.path("one/tool"), t.path("two/tool"));
  CHECK(launch(1).exit_code == 1);
}

TEST_CASE("a working directory that is not there is named") {
  Local t;
  auto request = t.request(0, {"true"});
  request.attempt.workdir = "/no/such/place";
  t.executor->launch(std::move(request));
  t.run_until_finished(1);
  CHECK(t.endings.at(0).outcome == core::Outcome::not_started);
  CHECK(t.endings.at(0).detail == "cannot change to the directory /no/such/place: No such file or directory");
}

TEST_CASE("arguments that are too long for the kernel are an ending") {
  Local t;
  t.command(0, {"true", std::string(3U << 20U, 'x')});
  t.run_until_finished(1);
  CHECK(t.endings.at(0).outcome == core::Outcome::not_started);
  CHECK(t.endings.at(0).detail.find("too long") != std::string::npos);
}

TEST_CASE("time and memory that an attempt used are recorded") {
  Local t;
  t.shell(0, "i=0; while [ $i -lt 30000 ]; do i=$((i+1)); done");
  t.run_until_finished(1);
  const auto& ending = t.endings.at(0);
  CHECK(ending.usage.user.count() > 0);
  CHECK(ending.usage.max_rss_kib > 500);
  CHECK(ending.runtime >= ending.usage.user / 2);
  CHECK(ending.ended_at > ending.started_at);
}

TEST_CASE("what an attempt leaves behind in its process group is swept away") {
  Local t;
  t.shell(0, "sleep 1000 & echo $!");
  t.run_until_finished(1);
  const int stray = std::stoi(t.output(0));
  CHECK(t.endings.at(0).outcome == core::Outcome::succeeded);
  t.run_until([&] { return test::is_dead(stray); });
}

TEST_CASE("without descriptors attempts wait, once is said so, and they run when there are some") {
  Local t;
  t.shell(0, "while [ ! -e go ]; do sleep 0.01; done");
  t.run_until([&] { return t.pids.contains(0); });
  std::optional<NoDescriptors> none(std::in_place);
  for (std::uint64_t slice = 1; slice <= 3; ++slice) t.shell(slice, "exit 0");
  t.run_until([&] { return !t.shortages.empty(); });
  none.reset();
  CHECK(t.pids.size() == 1);
  std::ofstream(t.path("go")) << "now";
  t.run_until_finished(4);
  CHECK(t.shortages.size() == 1);
  CHECK(t.shortages.front().find("Too many open files") != std::string::npos);
  for (std::uint64_t slice = 1; slice <= 3; ++slice) CHECK(t.endings.at(slice).outcome == core::Outcome::succeeded);
}

TEST_CASE("an attempt that waits for a process can be cancelled") {
  Local t;
  std::optional<NoDescriptors> none(std::in_place);
  t.shell(0, "exit 0");
  none.reset();
  t.executor->signal(t.id(0), How::kill);
  t.run_until_finished(1);
  CHECK(t.endings.at(0).outcome == core::Outcome::not_started);
  CHECK(t.pids.empty());
}

TEST_CASE("an attempt that waits for a process is cancelled where it is withdrawn") {
  Local t;
  std::optional<NoDescriptors> none(std::in_place);
  t.shell(0, "exit 0");
  none.reset();
  t.executor->signal(t.id(0), How::withdraw);
  t.run_until_finished(1);
  CHECK(t.endings.at(0).outcome == core::Outcome::cancelled);
  CHECK(t.pids.empty());
}

TEST_CASE("an attempt that is suspended before there was a process for it does not keep others from having one") {
  Local t;
  std::optional<NoDescriptors> none(std::in_place);
  t.shell(0, "exit 0");
  none.reset();
  t.executor->signal(t.id(0), How::suspend);
  t.shell(1, "exit 0");
  t.run_until_finished(1);  // so that no look at what waits is due any more
  t.shell(2, "exit 0");
  t.run_until_finished(2);
  CHECK(t.endings.at(2).outcome == core::Outcome::succeeded);
  CHECK_FALSE(t.pids.contains(0));
  t.executor->signal(t.id(0), How::resume);
  t.run_until_finished(3);
  CHECK(t.endings.at(0).outcome == core::Outcome::succeeded);
}

TEST_CASE("an executor that goes takes its children with it") {
  int pid = 0;
  {
    Local t;
    t.shell(0, "trap '' TERM; (setsid sleep 1000 &) ; while :; do sleep 0.01; done");
    t.run_until([&] { return t.pids.contains(0); });
    pid = t.pids.at(0);
  }
  CHECK(::kill(pid, 0) != 0);
  CHECK_FALSE(has_children());
}

TEST_CASE("SIGKILL by the OOM killer is told from SIGKILL by anybody else") {
  test::Harness t;
  const std::string counter = t.path("memory.events");
  std::ofstream(counter) << "oom_kill 7\n";
  t.make_local({t.run_dir.path(), "local-test", nullptr, false, counter});
  const auto ending_of = [&](std::uint64_t slice, const std::string& command) {
    t.shell(slice, command);
    t.run_until_finished(slice + 1);
    return t.endings.at(slice);
  };
  // The kernel counts before it kills; here the slice does so itself.
  const std::string count = "echo oom_kill $(($(cut -d' ' -f2 memory.events) + 1)) > memory.events; ";
  CHECK(ending_of(0, "kill -9 $$").outcome == core::Outcome::killed);
  CHECK(ending_of(1, count + "kill -9 $$").outcome == core::Outcome::out_of_memory);
  CHECK(ending_of(2, "kill -9 $$").outcome == core::Outcome::killed);
  CHECK(ending_of(3, count + "kill -11 $$").outcome == core::Outcome::killed);
  CHECK(ending_of(4, count + "exit 137").detail == "the kernel's OOM killer ended one of its processes");
  CHECK(ending_of(5, "kill -9 $$").outcome == core::Outcome::killed);
  std::ofstream(counter) << "oom_kill 99\n";  // of others, before it began
  CHECK(ending_of(6, "kill -9 $$").outcome == core::Outcome::killed);
  t.shell(7, count + ": > counted; sleep 1000");
  t.run_until([&] { return t.exists("counted"); });
  t.executor->signal(t.id(7), How::kill);
  t.run_until_finished(8);
  CHECK(t.endings.at(7).outcome == core::Outcome::killed);  // that one was ours
}

TEST_CASE("there is no executor of another name, and the error lists those there are") {
  test::Harness t;
  const auto made = make_executor("slurm", t.io, t, {t.run_dir.path(), "x", nullptr, false, ""});
  REQUIRE_FALSE(made.ok());
  CHECK(made.error().message == "no executor 'slurm'; there are: local");
}

}  // namespace runner::exec
