#include "proc/child.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <thread>
#include <utility>

namespace runner::proc {
namespace {

util::Duration duration_of(const timeval& time) {
  return std::chrono::seconds(time.tv_sec) + std::chrono::microseconds(time.tv_usec);
}

}  // namespace

bool has_exited(pid_t pid) {
  siginfo_t info{};
  int result = -1;
  do {
    result = ::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOWAIT | WNOHANG);
  } while (result < 0 && errno == EINTR);
  return result < 0 || info.si_pid == pid;
}

bool wait_for_success(pid_t pid) {
  siginfo_t info{};
  while (::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOWAIT) < 0) {
    if (errno != EINTR) return false;
  }
  return info.si_code == CLD_EXITED && info.si_status == 0;
}

std::optional<ExitStatus> reap(pid_t pid) {
  int status = 0;
  rusage usage{};
  pid_t result = -1;
  do {
    result = ::wait4(pid, &status, WNOHANG, &usage);
  } while (result < 0 && errno == EINTR);
  if (result != pid) return std::nullopt;
  ExitStatus exit;
  if (WIFSIGNALED(status)) {
    exit.signal = WTERMSIG(status);
  } else {
    exit.code = WEXITSTATUS(status);
  }
  exit.user = duration_of(usage.ru_utime);
  exit.system = duration_of(usage.ru_stime);
  exit.max_rss_kib = usage.ru_maxrss;
  return exit;
}

std::optional<ExitStatus> reap_exited(pid_t pid) {
  if (auto exit = reap(pid)) return exit;
  constexpr auto kPatience = std::chrono::milliseconds(50);
  const auto deadline = util::steady_now() + kPatience;
  while (!has_exited(pid) && util::steady_now() < deadline) std::this_thread::sleep_for(std::chrono::microseconds(100));
  return reap(pid);
}

util::Fd open_pidfd(pid_t pid) {
  return util::Fd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
}

void keep_zombies() {
  struct sigaction action {};
  if (::sigaction(SIGCHLD, nullptr, &action) != 0) return;
  if (action.sa_handler != SIG_IGN && (action.sa_flags & SA_NOCLDWAIT) == 0) return;
  struct sigaction defaults {};
  defaults.sa_handler = SIG_DFL;
  ::sigaction(SIGCHLD, &defaults, nullptr);
}

std::optional<std::uint64_t> raise_descriptor_limit() {
  constexpr rlim_t kEnough = rlim_t{1} << 20U;
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return std::nullopt;
  const rlim_t wanted = std::min(limit.rlim_max, kEnough);
  if (limit.rlim_cur >= wanted) return std::nullopt;
  const rlim_t former = std::exchange(limit.rlim_cur, wanted);
  if (::setrlimit(RLIMIT_NOFILE, &limit) != 0) return std::nullopt;
  return former;
}

void open_standard_descriptors() {
  for (int fd = 0; fd <= 2; ++fd) {
    // The lowest free number is what open() gives, so this is `fd` itself.
    if (::fcntl(fd, F_GETFD) < 0 && errno == EBADF) (void)::open("/dev/null", O_RDWR);
  }
}

}  // namespace runner::proc
