#include "exec/survivors.hpp"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <string_view>
#include <thread>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "exec/cookie.hpp"
#include "proc/cgroup.hpp"
#include "util/clock.hpp"

namespace runner::exec {
namespace {

using namespace std::chrono_literals;
using proc::Process;

constexpr auto kPatience = 10s;

/// The cookie in an environment ("NAME=value", each ended by a NUL), if it has one.
std::optional<Cookie> cookie_in(std::string_view environment) {
  while (!environment.empty()) {
    const std::string_view entry = environment.substr(0, environment.find('\0'));
    if (entry.starts_with(kCookieName)) return parse_cookie(entry);
    environment.remove_prefix(std::min(environment.size(), entry.size() + 1));
  }
  return std::nullopt;
}

/// A cookie proves little by itself: whoever copies the variable has it, a shell's children among them. So it must be
/// where only a slice's process can be, and what is taken along is taken for its place, not for its looks.
class Search {
 public:
  Search(const std::vector<Process>& all, const std::set<std::string>& run_ids) : run_ids_(run_ids) {
    for (const auto& process : all) by_pid_.emplace(process.pid, &process);
    for (pid_t pid = ::getpid(); by_pid_.contains(pid) && ours_.insert(pid).second; pid = by_pid_.at(pid)->parent) {}
    const std::string here = proc::pid_namespace();
    for (const auto& process : all) {
      if (!process.alive || ours_.contains(process.pid)) continue;
      auto cookie = cookie_in(proc::environment_of(process.pid));
      if (!cookie || !run_ids_.contains(cookie->run_id) || cookie->engine.pid_namespace != here) continue;
      if (is_alive(cookie->engine) || process.start < cookie->engine.start) continue;
      marked_.emplace(process.pid, std::move(*cookie));
    }
  }

  /// nullopt: that is not known.
  std::optional<std::vector<Survivor>> find(const std::vector<Process>& all) {
    // Topmost ones first; then what hangs on them.
    for (const auto& [pid, cookie] : marked_) {
      const Process& process = *by_pid_.at(pid);
      if (!marked_.contains(process.parent) && is_orphan_of(cookie.engine, process)) take(process, cookie);
    }
    for (bool grew = true; grew;) {
      grew = false;
      for (const auto& process : all) {
        if (!process.alive || taken_.contains(process.pid) || ours_.contains(process.pid)) continue;
        const auto above = taken_.find(process.parent);
        const auto beside = sessions_.find(process.session);
        if (above == taken_.end() && beside == sessions_.end()) continue;
        const auto own = marked_.find(process.pid);
        take(process, own != marked_.end() ? own->second : *(above != taken_.end() ? above : beside)->second);
        grew = true;
      }
    }
    const auto cgroups = proc::abandoned_cgroups();
    if (!cgroups) return std::nullopt;
    for (const auto& cgroup : *cgroups) {
      if (run_ids_.contains(cgroup.owner.run_id) && !take_members(cgroup)) return std::nullopt;
    }
    return std::move(found_);
  }

 private:
  bool is_alive(const Engine& engine) const {
    const auto process = by_pid_.find(engine.pid);
    return process != by_pid_.end() && process->second->alive && process->second->start == engine.start;
  }

  /// Its parent is what adopts orphans, and its session is the engine's or one that was made below it.
  bool is_orphan_of(const Engine& engine, const Process& process) const {
    const auto parent = by_pid_.find(process.parent);
    const bool is_adopted = process.parent == 1 || (ours_.contains(process.parent) && parent != by_pid_.end() &&
                                                    parent->second->session != process.session);
    const auto leader = by_pid_.find(process.session);
    const bool leader_is_foreign =
        leader != by_pid_.end() && leader->second->alive && !marked_.contains(process.session);
    return is_adopted && (process.session == engine.session || !leader_is_foreign);
  }

  void take(const Process& process, const Cookie& cookie) {
    taken_.emplace(process.pid, &cookie);
    found_.push_back({process, cookie.run_id, cookie.id, {}});
    // A session that the engine made for itself holds nothing else, and its number is taken as long as it has members.
    if (cookie.engine.session == cookie.engine.pid && process.session == cookie.engine.session)
      sessions_.emplace(process.session, &cookie);
  }

  /// Whoever is there was born there, or put there by somebody who may. False: that is not known.
  bool take_members(const proc::RunCgroup& cgroup) {
    const auto pids = proc::cgroup_members(cgroup.path);
    if (!pids) return false;
    if (std::ranges::any_of(*pids, [&](pid_t pid) { return ours_.contains(pid); })) return true;  // we run in it
    for (const pid_t pid : *pids) {
      const auto process = proc::read_process(pid);
      if (!process || !process->alive) continue;
      const auto taken = std::ranges::find(found_, pid, [](const Survivor& survivor) { return survivor.process.pid; });
      if (taken != found_.end()) {
        taken->cgroup = cgroup.path;
        continue;
      }
      const auto cookie = cookie_in(proc::environment_of(pid));
      const bool is_known = cookie && cookie->run_id == cgroup.owner.run_id;
      found_.push_back(
          {*process, cgroup.owner.run_id, is_known ? std::optional(cookie->id) : std::nullopt, cgroup.path});
    }
    return true;
  }

  const std::set<std::string>& run_ids_;
  std::unordered_map<pid_t, const Process*> by_pid_;
  std::unordered_set<pid_t> ours_;  ///< this process and all above it
  std::unordered_map<pid_t, Cookie> marked_;
  std::unordered_map<pid_t, const Cookie*> taken_;
  std::unordered_map<pid_t, const Cookie*> sessions_;
  std::vector<Survivor> found_;
};

/// False: not all of them may be killed by this user.
bool kill_all(const std::vector<Survivor>& survivors, std::set<std::string>& cgroups) {
  bool permitted = true;
  std::set<std::string> now;
  for (const auto& survivor : survivors) {
    if (survivor.cgroup.empty()) {
      permitted = proc::signal_process(survivor.process, SIGKILL) && permitted;
    } else {
      now.insert(survivor.cgroup);
    }
  }
  for (const auto& cgroup : now) proc::kill_cgroup(cgroup);
  cgroups.merge(now);
  return permitted;
}

}  // namespace

std::optional<std::vector<Survivor>> find_survivors(const std::set<std::string>& run_ids) {
  const auto all = proc::read_processes();
  if (!all) return std::nullopt;
  return Search(*all, run_ids).find(*all);
}

std::optional<std::vector<Survivor>> end_survivors(const std::set<std::string>& run_ids) {
  std::set<std::string> cgroups;
  const auto deadline = util::steady_now() + kPatience;
  bool was_empty = true;  // once something was killed, one look may miss what it forked meanwhile
  while (true) {
    auto alive = find_survivors(run_ids);
    if (!alive) return alive;
    const bool is_over = std::exchange(was_empty, alive->empty()) && alive->empty();
    const bool is_permitted = kill_all(*alive, cgroups);
    if (is_over || !is_permitted || util::steady_now() > deadline) {
      for (const auto& cgroup : cgroups) (void)proc::end_cgroup(cgroup, 1s);
      return alive;
    }
    std::this_thread::sleep_for(1ms);  // before the run: nothing waits for the loop yet
  }
}

}  // namespace runner::exec
