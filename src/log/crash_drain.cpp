#include "log/crash_drain.hpp"

#include <unistd.h>

#include <array>
#include <cassert>
#include <cerrno>
#include <csignal>
#include <cstdlib>

#include "log/rotating_file.hpp"

namespace runner::log {
namespace {

constexpr std::array kFatal = {SIGSEGV, SIGABRT, SIGBUS, SIGFPE, SIGILL};
constexpr int kPatienceMs = 2000;

// A signal handler has no argument of its own, so what it needs is found here: the one exception to "no globals".
struct Shared {
  std::atomic<Backlog*> backlog{nullptr};
  std::atomic<const RotatingFile*> file{nullptr};
  std::atomic<pid_t> thread{0};
  std::atomic<pid_t> process{0};
  std::array<struct sigaction, kFatal.size()> previous{};
  stack_t previous_stack{};
  alignas(16) std::array<char, 32UL << 10U> stack{};
};
Shared g_shared;
static_assert(std::atomic<Backlog*>::is_always_lock_free);

// Async-signal-safe. A child between fork or vfork and exec has another pid: it has no logging thread to wait for.
void drain() {
  Backlog* backlog = g_shared.backlog.load();
  if (backlog == nullptr || ::getpid() != g_shared.process.load()) return;
  if (::gettid() == g_shared.thread.load()) {
    g_shared.file.load()->flush_in_signal_handler();
    return;
  }
  const std::uint64_t target = backlog->queued_lines();
  backlog->hurry_for_good();
  for (int ms = 0; ms < kPatienceMs && backlog->flushed_lines() < target; ++ms) {
    const std::timespec millisecond{0, 1'000'000};
    ::nanosleep(&millisecond, nullptr);
  }
}

extern "C" void on_fatal_signal(int signal, siginfo_t* info, void* /*context*/) {
  const int saved_errno = errno;
  drain();
  for (std::size_t i = 0; i < kFatal.size(); ++i)
    if (kFatal[i] == signal) ::sigaction(signal, &g_shared.previous[i], nullptr);
  // A fault comes again when its instruction is run again, with its own address in the core file. A signal that was
  // sent does not: it is pending until this handler returns.
  if (info == nullptr || info->si_code <= 0) (void)::raise(signal);
  errno = saved_errno;
}

extern "C" void drain_at_exit() {
  drain();
}

// Stack overflow is a fatal signal, too; its handler needs a stack that has room. For the calling thread only.
void use_alternate_stack() {
  stack_t stack{};
  stack.ss_sp = g_shared.stack.data();
  stack.ss_size = g_shared.stack.size();
  ::sigaltstack(&stack, &g_shared.previous_stack);
}

}  // namespace

CrashDrain::CrashDrain(Backlog& backlog, const RotatingFile& file, pid_t thread) {
  assert(g_shared.backlog.load() == nullptr);
  g_shared.file = &file;
  g_shared.thread = thread;
  g_shared.process = ::getpid();
  g_shared.backlog = &backlog;
  use_alternate_stack();
  struct sigaction action {};
  action.sa_sigaction = on_fatal_signal;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  ::sigemptyset(&action.sa_mask);
  for (std::size_t i = 0; i < kFatal.size(); ++i) ::sigaction(kFatal[i], &action, &g_shared.previous[i]);
  [[maybe_unused]] static const int registered = std::atexit(drain_at_exit);
}

CrashDrain::~CrashDrain() {
  for (std::size_t i = 0; i < kFatal.size(); ++i) ::sigaction(kFatal[i], &g_shared.previous[i], nullptr);
  ::sigaltstack(&g_shared.previous_stack, nullptr);
  g_shared.backlog = nullptr;
}

}  // namespace runner::log
