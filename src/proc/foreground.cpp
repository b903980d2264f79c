#include "proc/foreground.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <optional>

#include "proc/environment.hpp"
#include "proc/program.hpp"
#include "util/fd.hpp"
#include "util/signals.hpp"

namespace runner::proc {
namespace {

constexpr std::array kHandedOn = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};

struct Prepared {
  std::string program;
  std::vector<const char*> argv;
  Environment environment{::environ};
  const char* const* env = nullptr;
};

/// In the child; returns the errno of what failed.
int become(const Prepared& prepared, int handed_down, pid_t parent, const sigset_t& mask) {
  if (::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) return errno;
  if (::getppid() != parent) return ESRCH;  // it died before the request was in place
  if (handed_down >= 0 && ::fcntl(handed_down, F_SETFD, 0) != 0) return errno;
  ::sigprocmask(SIG_SETMASK, &mask, nullptr);
  ::execve(prepared.program.c_str(), const_cast<char* const*>(prepared.argv.data()),
           const_cast<char* const*>(prepared.env));
  return errno;
}

/// Waits for its end, meanwhile handing on what we are sent; it is a zombie then.
void watch(pid_t child, const sigset_t& signals) {
  while (!has_exited(child)) {
    siginfo_t info{};
    const int signal = ::sigwaitinfo(&signals, &info);
    const bool by_process = info.si_code <= 0;  // not the kernel: what a key sends goes to all in the foreground
    if (signal > 0 && signal != SIGCHLD && by_process) ::kill(child, signal);
  }
}

}  // namespace

util::Result<ExitStatus> run_in_foreground(const ForegroundCommand& command) {
  keep_zombies();
  Prepared prepared;
  const auto program = find_program(command.argv.front(), ::getenv("PATH"), ".");
  if (!program) return program.error();
  prepared.program = *program;
  for (const auto& argument : command.argv) prepared.argv.push_back(argument.c_str());
  prepared.argv.push_back(nullptr);
  prepared.env = prepared.environment.with(command.env);
  auto failure = util::make_pipe();
  if (!failure) return failure.error();

  const sigset_t signals = util::signals_to_await(kHandedOn);
  sigset_t before;
  ::sigprocmask(SIG_BLOCK, &signals, &before);
  const pid_t parent = ::getpid();
  const pid_t child = ::fork();
  if (child < 0) {
    const int error = errno;
    ::sigprocmask(SIG_SETMASK, &before, nullptr);
    return util::errno_error("cannot make a process", error);
  }
  if (child == 0) {
    const int error = become(prepared, command.handed_down, parent, before);
    (void)!::write(failure->write.get(), &error, sizeof error);
    ::_exit(127);
  }
  failure->write.reset();
  int error = 0;
  const bool failed = ::read(failure->read.get(), &error, sizeof error) == sizeof error;  // else closed by exec
  watch(child, signals);
  const auto status = reap(child);
  ::sigprocmask(SIG_SETMASK, &before, nullptr);
  if (failed) return util::errno_error("cannot execute '" + command.argv.front() + "'", error);
  if (!status) return util::Error{"the exit status of '" + command.argv.front() + "' was taken by something else"};
  return *status;
}

}  // namespace runner::proc
