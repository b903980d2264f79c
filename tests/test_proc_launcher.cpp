// The launcher: Boost's initializers, failures by stage, clean children, cost that does not grow with our memory.
#include "proc/launcher.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <doctest/doctest.h>
#include <array>
#include <boost/asio/io_context.hpp>
#include <cstdlib>
#include <string>
#include <vector>

#include "proc/child.hpp"

namespace v2 = boost::process::v2;

namespace runner::proc {
namespace {

/// Runs it to its end and returns what it wrote to stdout.
template <class... Inits>
std::string output_of(Launcher& launcher, const char* executable, std::vector<const char*> argv, Inits&&... inits) {
  auto pipe = util::make_pipe();
  REQUIRE(pipe.ok());
  auto null = util::open_file("/dev/null", O_RDWR);
  REQUIRE(null.ok());
  argv.push_back(nullptr);
  const auto spawned = launcher.launch(executable, argv.data(),
                                       v2::process_stdio{null->get(), pipe->write.get(), null->get()}, inits...);
  REQUIRE(spawned.failed == Stage::none);
  pipe->write.reset();
  std::string text;
  std::array<char, 4096> buffer{};
  for (ssize_t n = 0; (n = ::read(pipe->read.get(), buffer.data(), buffer.size())) > 0;)
    text.append(buffer.data(), static_cast<std::size_t>(n));
  CHECK(::waitpid(spawned.pid, nullptr, 0) == spawned.pid);
  return text;
}

Spawned try_to_run(Launcher& launcher, const char* executable) {
  const std::array<const char*, 2> argv = {executable, nullptr};
  return launcher.launch(executable, argv.data());
}

bool has_children() {
  return ::waitpid(-1, nullptr, WNOHANG) == 0 || errno != ECHILD;
}

}  // namespace

TEST_CASE("Boost's own interface works: a process is launched, waited for and has its exit code") {
  boost::asio::io_context io;
  Launcher launcher;
  const std::vector<std::string> args = {"-c", "exit 7"};
  auto process = launcher(io, "/bin/sh", args);
  CHECK(process.id() > 0);
  int code = -1;
  process.async_wait([&](const boost::system::error_code&, int exit_code) { code = exit_code; });
  io.run();
  CHECK(code == 7);
  boost::system::error_code ec;
  auto second = launcher(io.get_executor(), ec, "/bin/sh", args);  // the launcher can be used again
  CHECK_FALSE(ec);
  CHECK(second.wait() == 7);
}

TEST_CASE("Boost's own interface says why a program could not be executed") {
  boost::asio::io_context io;
  Launcher launcher;
  boost::system::error_code ec;
  const std::vector<std::string> none;
  auto process = launcher(io.get_executor(), ec, "/no/such/program", none);
  CHECK(ec.value() == ENOENT);
  CHECK_FALSE(process.is_open());
  CHECK(launcher.failed_stage() == Stage::exec);
  CHECK_THROWS_AS((void)launcher(io.get_executor(), "/no/such/program", none), v2::system_error);
  CHECK_FALSE(has_children());
}

TEST_CASE("the initializers for directory, environment and descriptors are honoured") {
  Launcher launcher;
  CHECK(output_of(launcher, "/bin/pwd", {"pwd"}, v2::process_start_dir("/usr/bin")) == "/usr/bin\n");
  const std::vector<std::string> variables = {"ONE=1", "TWO=2"};
  CHECK(output_of(launcher, "/usr/bin/env", {"env"}, v2::process_environment(variables)) == "ONE=1\nTWO=2\n");
  CHECK(launcher.env == ::environ);  // the next launch has the usual one again
  const int source = ::open("/dev/zero", O_RDONLY | O_CLOEXEC);
  CHECK(output_of(launcher, "/bin/sh", {"sh", "-c", "readlink /proc/$$/fd/9; ls /proc/$$/fd; true"},
                  v2::posix::bind_fd(9, source)) == "/dev/zero\n0\n1\n2\n9\n");
  ::close(source);
}

TEST_CASE("directory and file mask of the child can be set") {
  Launcher launcher;
  launcher.workdir = "/usr";
  launcher.umask = 0027;
  CHECK(output_of(launcher, "/bin/sh", {"sh", "-c", "pwd; umask"}) == "/usr\n0027\n");
}

TEST_CASE("each step that fails is told as what it is and leaves no zombie") {
  Launcher launcher;
  launcher.workdir = "/no/such/place";
  auto spawned = try_to_run(launcher, "/bin/true");
  CHECK(spawned.failed == Stage::workdir);
  CHECK(spawned.error == ENOENT);
  launcher.workdir = nullptr;
  const std::array<const char*, 2> argv = {"true", nullptr};
  spawned = launcher.launch("/bin/true", argv.data(), v2::process_stdio{987, 1, 2});
  CHECK(spawned.failed == Stage::setup);
  CHECK(spawned.error == EBADF);
  spawned = try_to_run(launcher, "/etc/passwd");
  CHECK(spawned.failed == Stage::exec);
  CHECK(spawned.error == EACCES);
  CHECK(spawned.pid == -1);
  CHECK_FALSE(spawned.pidfd.is_open());
  CHECK_FALSE(has_children());
}

TEST_CASE("a failed exec does not run the parent's exit handlers") {
  static int calls = 0;
  std::atexit([] { ++calls; });
  Launcher launcher;
  CHECK(try_to_run(launcher, "/no/such/program").failed == Stage::exec);
  CHECK(calls == 0);  // the memory is shared: a handler run in the child would show
}

TEST_CASE("without a pidfd the child is launched all the same") {
  Launcher launcher;
  launcher.use_pidfd = false;
  const auto spawned = try_to_run(launcher, "/bin/true");
  CHECK(spawned.failed == Stage::none);
  CHECK_FALSE(spawned.pidfd.is_open());
  CHECK(::waitpid(spawned.pid, nullptr, 0) == spawned.pid);
  launcher.use_pidfd = true;
  const auto with = try_to_run(launcher, "/bin/true");
  CHECK(with.pidfd.is_open());
  CHECK((::fcntl(with.pidfd.get(), F_GETFD) & FD_CLOEXEC) != 0);
  CHECK(::waitpid(with.pid, nullptr, 0) == with.pid);
}

TEST_CASE("a child dies when the one that launched it is killed") {
  auto pipe = util::make_pipe();
  REQUIRE(pipe.ok());
  const pid_t parent = ::fork();
  REQUIRE(parent >= 0);
  if (parent == 0) {
    Launcher launcher;
    const std::array<const char*, 3> argv = {"sleep", "1000", nullptr};
    const auto spawned = launcher.launch("/bin/sleep", argv.data());
    (void)!::write(pipe->write.get(), &spawned.pid, sizeof spawned.pid);
    for (;;) ::pause();
  }
  pid_t grandchild = 0;
  REQUIRE(::read(pipe->read.get(), &grandchild, sizeof grandchild) == sizeof grandchild);
  CHECK(::kill(grandchild, 0) == 0);
  ::kill(parent, SIGKILL);
  ::waitpid(parent, nullptr, 0);
  // It keeps the write end open through nothing; its death shows in /proc.
  const auto deadline = util::steady_now() + std::chrono::seconds(30);
  bool gone = false;
  while (!gone && util::steady_now() < deadline) {
    const auto stat = util::read_file("/proc/" + std::to_string(grandchild) + "/stat");
    gone = !stat || stat->find(") Z ") != std::string::npos || stat->empty();
  }
  CHECK(gone);
}

TEST_CASE("a child's status is exact and is taken once") {
  Launcher launcher;
  const std::array<const char*, 4> argv = {"sh", "-c", "kill -9 $$", nullptr};
  const auto spawned = launcher.launch("/bin/sh", argv.data());
  REQUIRE(spawned.failed == Stage::none);
  siginfo_t info{};
  REQUIRE(::waitid(P_PID, static_cast<id_t>(spawned.pid), &info, WEXITED | WNOWAIT) == 0);
  CHECK(has_exited(spawned.pid));
  CHECK(has_exited(spawned.pid));  // looking does not take it
  const auto status = reap(spawned.pid);
  REQUIRE(status.has_value());
  CHECK(status->signal == 9);
  CHECK(status->code == 0);
  CHECK_FALSE(reap(spawned.pid).has_value());
}

}  // namespace runner::proc
