#include <doctest/doctest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <thread>

#include "log/crash_drain.hpp"
#include "log/logger.hpp"
#include "log/rotating_file.hpp"
#include "log_support.hpp"
#include "util/signals.hpp"

using namespace runner;
using runner::log::Level;
using runner::log::RunLog;

namespace {

constexpr int kLines = 100'000;

std::string expected_lines() {
  std::string all;
  for (int i = 0; i < kLines; ++i) all += "line " + std::to_string(i) + "\n";
  return all;
}

void no_core_file() {
  const rlimit none{0, 0};
  ::setrlimit(RLIMIT_CORE, &none);
  // doctest's own handlers would report the crash as the parent's.
  for (const int signal : {SIGSEGV, SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGTERM}) ::signal(signal, SIG_DFL);
}

/// The status of a child that logs kLines lines and ends by `how`.
template <class How>
int log_and(const std::string& path, How how) {
  return test::status_of_child([&] {
    no_core_file();
    RunLog log;
    core::LogSpec spec;
    spec.pattern = "%v";
    spec.max_size = 0;
    if (!log.open(path, spec, "correlate")) ::_exit(99);
    for (int i = 0; i < kLines; ++i) log.line(Level::info, "line " + std::to_string(i));
    how();
  });
}

void touch_nothing_at_all() {
  volatile int* volatile nowhere = reinterpret_cast<int*>(64);  // on the page that nobody has
  *nowhere = 1;                                                 // NOLINT: the point
}

// Not a tail call, and each frame is used: the stack does run out.
int overflow_the_stack(int depth) {  // NOLINT(misc-no-recursion)
  if (depth < 0) return 0;
  volatile char frame[4096];
  frame[depth % 4096] = static_cast<char>(depth);
  return overflow_the_stack(depth + 1) + frame[0];
}

}  // namespace

TEST_CASE("100,000 lines are all there after abort()") {
  test::TemporaryDirectory dir;
  const int status = log_and(dir / "run.log", [] { std::abort(); });
  CHECK(WIFSIGNALED(status));
  CHECK(WTERMSIG(status) == SIGABRT);
  CHECK((test::contents(dir / "run.log") == expected_lines()));
}

TEST_CASE("nothing is lost by a segmentation fault, which still ends the process") {
  test::TemporaryDirectory dir;
  const int status = log_and(dir / "run.log", touch_nothing_at_all);
  CHECK(WIFSIGNALED(status));
  CHECK(WTERMSIG(status) == SIGSEGV);
  CHECK((test::contents(dir / "run.log") == expected_lines()));
}

TEST_CASE("nothing is lost when the stack overflows") {
  test::TemporaryDirectory dir;
  const int status = log_and(dir / "run.log", [] { ::_exit(overflow_the_stack(0) & 1); });
  CHECK(WIFSIGNALED(status));
  CHECK(WTERMSIG(status) == SIGSEGV);
  CHECK((test::contents(dir / "run.log") == expected_lines()));
}

TEST_CASE("a fatal signal that was sent ends the process by that signal") {
  for (const int signal : {SIGSEGV, SIGBUS, SIGFPE, SIGILL}) {
    test::TemporaryDirectory dir;
    const int status = log_and(dir / "run.log", [signal] { ::kill(::getpid(), signal); });
    CHECK(WIFSIGNALED(status));
    CHECK(WTERMSIG(status) == signal);
    CHECK((test::contents(dir / "run.log") == expected_lines()));
  }
}

TEST_CASE("nothing is lost by exit() in the middle of a run") {
  test::TemporaryDirectory dir;
  const int status = log_and(dir / "run.log", [] { std::exit(7); });
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 7);
  CHECK((test::contents(dir / "run.log") == expected_lines()));
}

TEST_CASE("a crash in another thread loses nothing either") {
  test::TemporaryDirectory dir;
  const int status = log_and(dir / "run.log", [] { std::thread([] { std::abort(); }).join(); });
  CHECK(WIFSIGNALED(status));
  CHECK(WTERMSIG(status) == SIGABRT);
  CHECK((test::contents(dir / "run.log") == expected_lines()));
}

TEST_CASE("a fault in a thread that leaves signals to others loses nothing either") {
  test::TemporaryDirectory dir;
  const int status = log_and(dir / "run.log", [] {
    const util::BlockedSignals blocked;
    std::thread(touch_nothing_at_all).join();
  });
  CHECK(WIFSIGNALED(status));
  CHECK(WTERMSIG(status) == SIGSEGV);
  CHECK((test::contents(dir / "run.log") == expected_lines()));
}

TEST_CASE("a crash of the logging thread writes what it holds and does not wait for itself") {
  test::TemporaryDirectory dir;
  const auto began = std::chrono::steady_clock::now();
  const int status = test::status_of_child([&] {
    no_core_file();
    auto file = log::RotatingFile::open(dir / "run.log", {});
    if (!file) ::_exit(99);
    file->append("held\n");
    log::Backlog backlog;
    backlog.queued();  // a line that nobody will ever flush
    const log::CrashDrain drain(backlog, *file, ::gettid());
    std::abort();
  });
  CHECK(WIFSIGNALED(status));
  CHECK(WTERMSIG(status) == SIGABRT);
  CHECK(test::contents(dir / "run.log") == "held\n");
  CHECK(std::chrono::steady_clock::now() - began < std::chrono::milliseconds(1900));
}

TEST_CASE("a crash does not wait for ever for a logging thread that is stuck") {
  test::TemporaryDirectory dir;
  const int status = test::status_of_child([&] {
    no_core_file();
    auto file = log::RotatingFile::open(dir / "run.log", {});
    if (!file) ::_exit(99);
    log::Backlog backlog;
    backlog.queued();
    const log::CrashDrain drain(backlog, *file, 1);  // some other thread, that does nothing
    std::abort();
  });
  CHECK(WIFSIGNALED(status));
  CHECK(WTERMSIG(status) == SIGABRT);
}

TEST_CASE("a forked child that crashes does not wait for its parent's logging thread") {
  test::TemporaryDirectory dir;
  const int status = test::status_of_child([&] {
    no_core_file();
    auto file = log::RotatingFile::open(dir / "run.log", {});
    if (!file) ::_exit(99);
    log::Backlog backlog;
    backlog.queued();  // waiting for it would take the whole two seconds
    const log::CrashDrain drain(backlog, *file, 1);
    const auto began = std::chrono::steady_clock::now();
    const int child = test::status_of_child([] { ::kill(::getpid(), SIGABRT); });
    const bool at_once = std::chrono::steady_clock::now() - began < std::chrono::milliseconds(1900);
    ::_exit(WIFSIGNALED(child) && WTERMSIG(child) == SIGABRT && at_once ? 0 : 1);
  });
  CHECK(status == 0);
}

TEST_CASE("closing the log puts the signal handlers back as they were") {
  test::TemporaryDirectory dir;
  struct sigaction before {};
  struct sigaction during {};
  struct sigaction after {};
  ::sigaction(SIGABRT, nullptr, &before);
  RunLog log;
  REQUIRE(log.open(dir / "run.log", {}, "correlate"));
  ::sigaction(SIGABRT, nullptr, &during);
  log.close();
  ::sigaction(SIGABRT, nullptr, &after);
  CHECK((during.sa_sigaction != before.sa_sigaction));
  CHECK((after.sa_sigaction == before.sa_sigaction));
}
