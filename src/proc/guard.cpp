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
#include <iterator>
#include <optional>
#include <set>
#include <utility>

#include "proc/cgroup.hpp"
#include "proc/child.hpp"
#include "proc/tree.hpp"
#include "util/fd.hpp"
#include "util/signals.hpp"

namespace runner::proc {
namespace {

using namespace std::chrono_literals;

constexpr auto kPatience = 10s;       ///< SIGKILL takes effect at once unless the kernel itself is stuck
constexpr auto kCgroupPatience = 1s;  ///< after that: it is empty, or holds what is stuck
constexpr auto kFirstLook = 1ms;
constexpr auto kLastLook = 20ms;

constexpr std::array kWatched = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH, SIGCONT, SIGTSTP};
constexpr int kQuickLooks = 64;

/// Ctrl-Z stops both; a plain stop of ours would leave the engine drawing on the terminal. By the signal's own default,
/// so that the kernel drops it where no shell is there to continue us.
void stop_with(pid_t engine) {
  sigset_t stop;
  ::sigemptyset(&stop);
  ::sigaddset(&stop, SIGTSTP);
  ::kill(engine, SIGSTOP);
  ::raise(SIGTSTP);
  ::sigprocmask(SIG_UNBLOCK, &stop, nullptr);  // here we stand
  ::sigprocmask(SIG_BLOCK, &stop, nullptr);
  ::kill(engine, SIGCONT);
}

struct EngineEnd {
  int status = 0;          ///< as waitpid(2) has it
  bool was_asked = false;  ///< it died of a signal that we had handed on, and that it says something of itself
};

/// Waits for the engine's end, meanwhile handing on what we are sent.
EngineEnd watch(pid_t engine, const sigset_t& signals) {
  std::set<int> handed_on;
  while (true) {
    int status = 0;
    const pid_t ended = ::waitpid(engine, &status, WNOHANG);
    if (ended == engine) {
      const int signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
      return {status, signal != SIGQUIT && handed_on.contains(signal)};
    }
    constexpr int kBug = 70;
    if (ended < 0 && errno == EINTR) continue;           // its SIGCHLD may have been taken already
    if (ended < 0) return {W_EXITCODE(kBug, 0), false};  // not ours to wait for: a debugger's doing
    const int signal = ::sigwaitinfo(&signals, nullptr);
    if (signal == SIGTSTP) {
      stop_with(engine);
    } else if (signal > 0 && signal != SIGCHLD) {
      ::kill(engine, signal);
      ::kill(engine, SIGCONT);  // a stopped engine could not act on it
      handed_on.insert(signal);
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

/// Everything below this process that is alive, but for a session that is not the slices'; nullopt when that is not
/// known. Orphans are our children: we are a subreaper.
std::optional<std::vector<Process>> find_descendants(std::optional<pid_t> spared_session) {
  const auto read = read_processes();
  if (!read) return std::nullopt;
  const std::vector<Process>& all = *read;
  std::set<pid_t> parents = {::getpid()};
  std::vector<Process> found;
  std::vector<bool> taken(all.size());
  for (bool grew = true; grew;) {
    grew = false;
    for (std::size_t i = 0; i < all.size(); ++i) {
      if (taken[i] || all[i].session == spared_session || !parents.contains(all[i].parent)) continue;
      taken[i] = grew = true;
      parents.insert(all[i].pid);
      if (all[i].alive) found.push_back(all[i]);
    }
  }
  return found;
}

/// Groups first: that reaches what they fork at this moment. Only those of our own children, which pin the number until
/// we reap them; and none of them holds anything but descendants of ours, as long as it is not our own group. Returns
/// those that we are not permitted to kill.
std::vector<Process> kill_all(const std::vector<Process>& processes) {
  std::vector<Process> forbidden;
  std::set<pid_t> groups;
  for (const auto& process : processes) {
    if (process.parent == ::getpid() && process.group > 1 && process.group != ::getpgrp()) groups.insert(process.group);
  }
  for (const pid_t group : groups) kill_group(group);
  for (const auto& process : processes) {
    if (!signal_process(process, SIGKILL)) forbidden.push_back(process);
  }
  return forbidden;
}

/// Also of those that we may not signal: the kernel does it.
void end_members(const std::string& cgroup, std::vector<Process>& forbidden) {
  const auto members = cgroup_members(cgroup);
  kill_cgroup(cgroup);
  if (!members) return;
  std::erase_if(forbidden, [&](const Process& process) { return std::ranges::count(*members, process.pid) != 0; });
}

/// False: there are no children at all, and so no descendants.
bool reap_all() {
  pid_t reaped = 0;
  do {
    reaped = ::waitpid(-1, nullptr, WNOHANG);
  } while (reaped > 0 || (reaped < 0 && errno == EINTR));
  return reaped == 0;
}

/// A process that forks a successor into a session of its own and exits, again and again, outruns looks at all of
/// /proc. But each becomes our child, and those are found at once.
void kill_quick_children(std::optional<pid_t> spared_session) {
  for (int look = 0; look < kQuickLooks; ++look) {
    bool any = false;
    for (const pid_t pid : children()) {
      if (spared_session && ::getsid(pid) == *spared_session) continue;
      ::kill(pid, SIGKILL);  // not reaped by anybody else, so it is this one
      any = true;
    }
    if (!any || !reap_all()) return;
  }
}

}  // namespace

util::Result<pid_t> start_under_guard(const std::function<void(const Aftermath&)>& tell) {
  keep_zombies();
  const sigset_t signals = util::signals_to_await(kWatched);
  sigset_t before;
  ::sigprocmask(SIG_BLOCK, &signals, &before);
  const pid_t guard = ::getpid();
  const pid_t engine = ::fork();
  if (engine < 0) {
    const int error = errno;
    ::sigprocmask(SIG_SETMASK, &before, nullptr);
    return util::errno_error("cannot make a process for the guard", error);
  }
  if (engine > 0) {
    ::prctl(PR_SET_CHILD_SUBREAPER, 1);
    ::prctl(PR_SET_NAME, "guard");  // so that pkill and killall signal the engine, and not both
    const std::string around = own_cgroup();
    const std::uint64_t start = start_of(engine);
    const EngineEnd end = watch(engine, signals);
    const std::string cgroup = run_cgroup_of(around, engine, start);
    // What we had as children before we were the guard, and what those leave behind, is in our session; slices never
    // are.
    Aftermath aftermath = end_descendants(kPatience, ::getsid(0), cgroup);
    if (!cgroup.empty()) std::ranges::move(end_cgroup(cgroup, kCgroupPatience), std::back_inserter(aftermath.ended));
    aftermath.engine = engine;
    aftermath.engine_signal = WIFSIGNALED(end.status) && !end.was_asked ? WTERMSIG(end.status) : 0;
    tell(aftermath);
    end_as(end.status);
  }
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  ::prctl(PR_SET_PDEATHSIG, SIGCONT);
  ::setsid();
  util::ignore_steering();
  ::sigprocmask(SIG_SETMASK, &before, nullptr);
  return guard;
}

bool is_orphan(pid_t parent) {
  return ::getppid() != parent;
}

Aftermath end_descendants(util::Duration patience, std::optional<pid_t> spared_session, const std::string& cgroup) {
  const auto deadline = util::steady_now() + patience;
  Aftermath aftermath;
  std::set<std::pair<pid_t, std::uint64_t>> seen;
  std::vector<Process> forbidden;
  bool was_empty = false;
  for (util::Duration pause = kFirstLook; reap_all(); pause = std::min<util::Duration>(pause * 2, kLastLook)) {
    const auto alive = find_descendants(spared_session);
    if (alive) {
      // One look may miss what is forked meanwhile: two cannot.
      if (std::exchange(was_empty, alive->size() == forbidden.size()) && was_empty) break;
      forbidden = kill_all(*alive);
      if (!cgroup.empty() && !alive->empty()) end_members(cgroup, forbidden);
      for (const auto& process : *alive) {
        if (seen.emplace(process.pid, process.start).second) aftermath.ended.push_back(process);
      }
    }
    if (util::steady_now() > deadline) {
      if (alive) forbidden = *alive;
      break;
    }
    kill_quick_children(spared_session);
    const timespec wait = {.tv_sec = 0, .tv_nsec = pause.count()};
    ::nanosleep(&wait, nullptr);
  }
  std::erase_if(aftermath.ended, [&](const Process& process) {
    return std::ranges::any_of(forbidden, [&](const Process& other) { return other.pid == process.pid; });
  });
  aftermath.unkillable = std::move(forbidden);
  return aftermath;
}

void reap_inherited(const std::function<bool(pid_t)>& is_ours) {
  for (const pid_t pid : children()) {
    if (!is_ours(pid)) (void)reap(pid);
  }
}

void leave_terminal() {
  if (::getsid(0) == ::getpid()) return;
  if (const auto terminal = util::open_file("/dev/tty", O_RDWR | O_NOCTTY)) ::ioctl(terminal->get(), TIOCNOTTY);
}

}  // namespace runner::proc
