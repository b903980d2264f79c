#include "proc/guard.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <set>
#include <sstream>
#include <utility>

#include "proc/child.hpp"
#include "proc/tree.hpp"
#include "util/fd.hpp"

namespace runner::proc {
namespace {

using namespace std::chrono_literals;

constexpr auto kPatience = 10s;  ///< SIGKILL takes effect at once unless the kernel itself is stuck
constexpr auto kFirstLook = 1ms;
constexpr auto kLastLook = 20ms;

constexpr std::array kHandedOn = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH};

/// Waiting for a signal that is ignored (nohup's SIGHUP) would undo that.
bool is_ignored(int signal) {
  struct sigaction action {};
  return ::sigaction(signal, nullptr, &action) == 0 && action.sa_handler == SIG_IGN;
}

sigset_t watched_signals() {
  sigset_t set;
  ::sigemptyset(&set);
  for (const int signal : kHandedOn) {
    if (!is_ignored(signal)) ::sigaddset(&set, signal);
  }
  if (!is_ignored(SIGTSTP)) ::sigaddset(&set, SIGTSTP);
  ::sigaddset(&set, SIGCHLD);
  return set;
}

/// Waits for the engine's end, meanwhile handing on what we are sent. Returns its wait status.
int watch(pid_t engine, const sigset_t& signals) {
  while (true) {
    int status = 0;
    const pid_t ended = ::waitpid(engine, &status, WNOHANG);
    if (ended == engine) return status;
    if (ended < 0 && errno != EINTR) return 0;  // not ours to wait for: can only be a debugger's doing
    const int signal = ::sigwaitinfo(&signals, nullptr);
    if (signal == SIGTSTP) {  // Ctrl-Z stops both; a plain stop of ours would leave the engine drawing on the terminal
      ::kill(engine, SIGSTOP);
      ::raise(SIGSTOP);
      ::kill(engine, SIGCONT);
    } else if (signal > 0 && signal != SIGCHLD) {
      ::kill(engine, signal);
    }
  }
}

[[noreturn]] void end_as(int status) {
  if (WIFSIGNALED(status)) {
    const int signal = WTERMSIG(status);
    const rlimit no_core{};  // the engine's is the one worth having
    ::setrlimit(RLIMIT_CORE, &no_core);
    ::signal(signal, SIG_DFL);
    sigset_t set;
    ::sigemptyset(&set);
    ::sigaddset(&set, signal);
    ::sigprocmask(SIG_UNBLOCK, &set, nullptr);
    ::raise(signal);
    ::_exit(128 + signal);
  }
  ::_exit(WEXITSTATUS(status));
}

/// Everything below this process that is alive. Orphans are our children: we are a subreaper.
std::vector<Process> find_descendants() {
  const std::vector<Process> all = read_processes();
  std::set<pid_t> parents = {::getpid()};
  std::vector<Process> found;
  std::vector<bool> taken(all.size());
  for (bool grew = true; grew;) {
    grew = false;
    for (std::size_t i = 0; i < all.size(); ++i) {
      if (taken[i] || !parents.contains(all[i].parent)) continue;
      taken[i] = grew = true;
      parents.insert(all[i].pid);
      if (all[i].alive) found.push_back(all[i]);
    }
  }
  return found;
}

/// Groups first: that reaches what they fork at this moment. Only those of our own children, which pin the number until
/// we reap them; and none of them holds anything but descendants of ours, as long as it is not our own group.
void kill_all(const std::vector<Process>& processes) {
  std::set<pid_t> groups;
  for (const auto& process : processes) {
    if (process.parent == ::getpid() && process.group > 1 && process.group != ::getpgrp()) groups.insert(process.group);
  }
  for (const pid_t group : groups) kill_group(group);
  for (const auto& process : processes) signal_process(process, SIGKILL);
}

/// False: there are no children at all, and so no descendants.
bool reap_all() {
  pid_t reaped = 0;
  do {
    reaped = ::waitpid(-1, nullptr, WNOHANG);
  } while (reaped > 0 || (reaped < 0 && errno == EINTR));
  return reaped == 0;
}

}  // namespace

util::Result<pid_t> start_under_guard(const std::function<void(const Aftermath&)>& tell) {
  keep_zombies();
  const sigset_t signals = watched_signals();
  sigset_t before;
  ::sigprocmask(SIG_BLOCK, &signals, &before);
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  const pid_t guard = ::getpid();
  const pid_t engine = ::fork();
  if (engine < 0) {
    const int error = errno;
    ::sigprocmask(SIG_SETMASK, &before, nullptr);
    return util::errno_error("cannot make a process for the guard", error);
  }
  if (engine > 0) {
    ::prctl(PR_SET_NAME, "runner-guard");
    const int status = watch(engine, signals);
    Aftermath aftermath = end_descendants(kPatience);
    aftermath.engine = engine;
    aftermath.engine_signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    tell(aftermath);
    end_as(status);
  }
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  ::prctl(PR_SET_PDEATHSIG, SIGCONT);
  ::setsid();
  ::sigprocmask(SIG_SETMASK, &before, nullptr);
  return guard;
}

bool is_orphan(pid_t parent) {
  return ::getppid() != parent;
}

Aftermath end_descendants(util::Duration patience) {
  const auto deadline = util::steady_now() + patience;
  Aftermath aftermath;
  std::set<std::pair<pid_t, std::uint64_t>> seen;
  for (util::Duration pause = kFirstLook; reap_all(); pause = std::min<util::Duration>(pause * 2, kLastLook)) {
    std::vector<Process> alive = find_descendants();
    kill_all(alive);
    for (const auto& process : alive) {
      if (seen.emplace(process.pid, process.start).second) aftermath.ended.push_back(process);
    }
    if (util::steady_now() > deadline) {
      aftermath.unkillable = std::move(alive);
      break;
    }
    const timespec wait = {.tv_sec = 0, .tv_nsec = pause.count()};
    ::nanosleep(&wait, nullptr);
  }
  return aftermath;
}

void reap_inherited(const std::function<bool(pid_t)>& is_ours) {
  const auto children = util::read_file("/proc/self/task/" + std::to_string(::getpid()) + "/children");
  if (!children) return;  // a kernel without that file: they are reaped when the run is over
  std::istringstream pids(*children);
  for (pid_t pid = 0; pids >> pid;) {
    if (!is_ours(pid)) (void)reap(pid);
  }
}

void leave_terminal() {
  if (::getsid(0) == ::getpid()) return;
  if (const auto terminal = util::open_file("/dev/tty", O_RDWR | O_NOCTTY)) ::ioctl(terminal->get(), TIOCNOTTY);
}

}  // namespace runner::proc
