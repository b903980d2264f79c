#include "proc/spawn.hpp"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <filesystem>
#include <new>

// The child shares our memory and never returns: instrumented code would leave its marks on the sanitizers' books.
#define RUNNER_IN_CHILD \
  __attribute__((noinline, no_sanitize("address"), no_sanitize("thread"), no_sanitize("undefined")))

// TSan wraps clone() as if it were fork(), which unlocks its own mutexes twice where the memory is shared.
#if defined(__SANITIZE_THREAD__)
#define RUNNER_PLAIN_CLONE 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define RUNNER_PLAIN_CLONE 1
#endif
#endif
#ifdef RUNNER_PLAIN_CLONE
extern "C" int __clone(int (*fn)(void*), void* stack, int flags, void* arg, ...);  // NOLINT: glibc's own name for it
#endif

namespace runner::proc {
namespace {

/// The kernel's signal set, not libc's: that one leaves out the two signals libc keeps for itself.
using KernelSigset = std::uint64_t;
/// Zero is SIG_DFL with an empty mask on every architecture; larger than the kernel's struct on all of them.
using KernelSigaction = std::array<unsigned long, 8>;

struct ChildContext {
  const SpawnPlan* plan = nullptr;
  pid_t parent = 0;
  std::uint64_t changed_signals = 0;
  Stage failed = Stage::none;
  int error = 0;
};

/// At exec, where the kernel can (5.11): by then our parent goes on.
RUNNER_IN_CHILD void close_descriptors(unsigned first, unsigned last) {
  if (first > last) return;
  constexpr unsigned kCloseOnExec = 4;  // CLOSE_RANGE_CLOEXEC
  if (::syscall(SYS_close_range, first, last, kCloseOnExec) == 0) return;
  if (::syscall(SYS_close_range, first, last, 0U) == 0) return;
  // Kernels before 5.9: one by one up to the limit. The limit may have been lowered since, so this is best effort.
  rlimit limit{};
  const bool known = ::syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, nullptr, &limit) == 0;
  const auto end = known && limit.rlim_cur < 1U << 20U ? static_cast<unsigned>(limit.rlim_cur) : 1U << 20U;
  for (unsigned fd = first; fd <= last && fd < end; ++fd) ::syscall(SYS_close, fd);
}

RUNNER_IN_CHILD int keep_only(const int* keep, std::size_t count) {
  unsigned next = 3;
  for (std::size_t i = 0; i < count; ++i) {
    if (keep[i] < 3) continue;
    const auto fd = static_cast<unsigned>(keep[i]);
    if (fd > next) close_descriptors(next, fd - 1);
    if (::syscall(SYS_fcntl, fd, F_SETFD, 0) != 0) return errno;
    next = fd + 1;
  }
  close_descriptors(next, UINT_MAX);
  return 0;
}

/// To their defaults: exec would keep the ignored ones, and a caught one arriving between the unblocking and exec would
/// run our handler in the child. The others are at their defaults already, and 60 system calls are 2% of a short slice.
RUNNER_IN_CHILD void reset_signals(std::uint64_t changed) {
  const KernelSigaction defaults{};
  for (int signal = 1; signal <= 64; ++signal) {
    if (((changed >> static_cast<unsigned>(signal - 1)) & 1U) == 0) continue;
    ::syscall(SYS_rt_sigaction, signal, &defaults, nullptr, sizeof(KernelSigset));
  }
}

std::uint64_t signals_not_at_default() {
  std::uint64_t changed = std::uint64_t{1} << static_cast<unsigned>(SIGCHLD - 1);  // a watcher may catch it later
  for (int signal = 1; signal <= 64; ++signal) {
    if (signal == SIGKILL || signal == SIGSTOP) continue;
    KernelSigaction action{};  // its first member is the handler, 0 for SIG_DFL
    if (::syscall(SYS_rt_sigaction, signal, nullptr, &action, sizeof(KernelSigset)) == 0 && action[0] == 0) continue;
    changed |= std::uint64_t{1} << static_cast<unsigned>(signal - 1);
  }
  return changed;
}

RUNNER_IN_CHILD void set_descriptor_limit(std::uint64_t soft) {
  rlimit limit{};
  if (::syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, nullptr, &limit) != 0) return;
  limit.rlim_cur = soft;
  ::syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, &limit, nullptr);
}

[[noreturn]] RUNNER_IN_CHILD void give_up(ChildContext& context, Stage stage, int error) {
  context.failed = stage;
  context.error = error;
  for (;;) ::syscall(SYS_exit_group, 127);
}

/// Raw system calls throughout: libc's wrappers may be intercepted, take locks or keep books that are our parent's.
RUNNER_IN_CHILD int child_main(void* data) {
  auto& context = *static_cast<ChildContext*>(data);
  const SpawnPlan& plan = *context.plan;
  reset_signals(context.changed_signals);
  if (::syscall(SYS_setpgid, 0, 0) != 0) give_up(context, Stage::group, errno);
  if (::syscall(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL) != 0) give_up(context, Stage::death_signal, errno);
  // The parent may have died before the request was in place.
  if (::syscall(SYS_getppid) != context.parent) give_up(context, Stage::death_signal, ESRCH);
  if (plan.umask) ::syscall(SYS_umask, *plan.umask);
  if (plan.descriptor_limit) set_descriptor_limit(*plan.descriptor_limit);
  if (plan.workdir != nullptr && ::syscall(SYS_chdir, plan.workdir) != 0) give_up(context, Stage::workdir, errno);
  if (plan.setup != nullptr) {
    if (const int error = plan.setup(plan.setup_data); error != 0) give_up(context, Stage::setup, error);
  }
  if (const int error = keep_only(plan.keep_fds.data(), plan.keep_fds.size()); error != 0)
    give_up(context, Stage::descriptors, error);
  const KernelSigset none = 0;
  ::syscall(SYS_rt_sigprocmask, SIG_SETMASK, &none, nullptr, sizeof none);
  ::syscall(SYS_execve, plan.executable, plan.argv, plan.env);
  give_up(context, Stage::exec, errno);
}

/// -1 and errno, or the pid; `pidfd` is left alone where the kernel has none to give.
int clone_child(ChildContext& context, void* stack_top, int& pidfd) {
  constexpr int kFlags = CLONE_VM | CLONE_VFORK | SIGCHLD;
#ifdef RUNNER_PLAIN_CLONE
  auto* const clone_function = &__clone;
#else
  auto* const clone_function = &::clone;
#endif
  if (context.plan->pidfd) {
    const int pid = clone_function(&child_main, stack_top, kFlags | CLONE_PIDFD, &context, &pidfd);
    if (pid >= 0 || errno != EINVAL) return pid;
  }
  return clone_function(&child_main, stack_top, kFlags, &context);
}

}  // namespace

SpawnContext::SpawnContext() : changed_signals_(signals_not_at_default()) {
  base_ =
      ::mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK | MAP_NORESERVE, -1, 0);
  if (base_ == MAP_FAILED) throw std::bad_alloc();
  ::mprotect(base_, 4096, PROT_NONE);  // the lowest page is the guard; without one it works as well
}

SpawnContext::~SpawnContext() {
  ::munmap(base_, kSize);
}

Spawned spawn(const SpawnPlan& plan, const SpawnContext& shared) {
  ChildContext context{&plan, ::getpid(), shared.changed_signals()};
  // But for SIGCHLD: while its parent blocks that, the kernel keeps it for any thread that does not, and wakes it.
  const KernelSigset most = ~(KernelSigset{1} << static_cast<unsigned>(SIGCHLD - 1));
  KernelSigset before = 0;
  ::syscall(SYS_rt_sigprocmask, SIG_BLOCK, &most, &before, sizeof most);
  int pidfd = -1;
  const int pid = clone_child(context, shared.top(), pidfd);
  const int clone_error = errno;
  ::syscall(SYS_rt_sigprocmask, SIG_SETMASK, &before, nullptr, sizeof before);

  Spawned result;
  if (pid < 0) {
    result.failed = Stage::clone;
    result.error = clone_error;
    return result;
  }
  result.pidfd.reset(pidfd);
  if (context.failed != Stage::none) {  // it has exited already: this does not wait for long
    while (::waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {}
    result.pidfd.reset();
    result.failed = context.failed;
    result.error = context.error;
    return result;
  }
  result.pid = pid;
  return result;
}

util::Error describe_failure(const Spawned& spawned, const std::string& name, const std::string& executable,
                             const std::string& workdir) {
  switch (spawned.failed) {
    case Stage::none:
      break;
    case Stage::clone:
      return util::errno_error("cannot make a process", spawned.error);
    case Stage::group:
      return util::errno_error("cannot make a group for the process", spawned.error);
    case Stage::death_signal:
      return util::errno_error("cannot tie the process to this one", spawned.error);
    case Stage::workdir:
      return util::errno_error("cannot change to the directory " + workdir, spawned.error);
    case Stage::setup:
    case Stage::descriptors:
      return util::errno_error("cannot set up the files of the process", spawned.error);
    case Stage::exec:
      break;
  }
  const auto path = std::filesystem::path(workdir) / executable;  // relative: to where the child was by then
  const bool there = ::access(path.c_str(), F_OK) == 0;
  if (spawned.error == ENOENT && there)
    return {"cannot execute '" + name + "': the interpreter that it names is missing", ENOENT};
  if (spawned.error == E2BIG)
    return {"cannot execute '" + name + "': arguments and environment are too long for the kernel", E2BIG};
  return util::errno_error("cannot execute '" + name + "'", spawned.error);
}

}  // namespace runner::proc
