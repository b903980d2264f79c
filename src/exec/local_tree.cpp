// The part of the local executor that ends attempts by force.
#include <signal.h>

#include "exec/local_impl.hpp"
#include "proc/cgroup.hpp"

namespace runner::exec {

using namespace std::chrono_literals;

namespace {

constexpr auto kFirstTreeCheck = 2ms;  ///< then doubling
constexpr auto kLastTreeCheck = 100ms;

}  // namespace

// ---- being ended: by whole trees, in rounds that serve all attempts with one look at /proc

void LocalExecutor::Impl::signal(const core::AttemptId& id, How how) {
  if (auto request = lanes_.take_back(id)) waiting_.push_back(std::move(*request));
  const auto queued =
      std::find_if(waiting_.begin(), waiting_.end(), [&](const LaunchRequest& request) { return request.id == id; });
  if (queued != waiting_.end()) {
    if (how == How::suspend || how == How::resume) {
      how == How::suspend ? (void)held_back_.insert(id) : (void)held_back_.erase(id);
      launch_waiting();
      return;
    }
    held_back_.erase(id);
    const auto outcome = how == How::withdraw ? core::Outcome::cancelled : core::Outcome::not_started;
    not_started(*queued, "it was ended before a process could be made for it", outcome);
    waiting_.erase(queued);
    return;
  }
  lanes_.hand_over([&](const Running& running) { return running.request.id == id; });
  gather(Lanes::Take::long_ones);
  Running* found = find_running([&](const Running& candidate) { return candidate.request.id == id; });
  if (found == nullptr || how == How::withdraw) return;
  Running& running = *found;
  if (how == How::suspend) return suspend(running);
  if (how == How::resume) return resume(running);
  end_standing(running);
  if (how == How::terminate) {
    running.term_asked = true;
  } else if (!running.killed_at) {
    running.killed_at = util::steady_now();
  }
  schedule_tree_round(util::Duration::zero());
}

void LocalExecutor::Impl::schedule_tree_round(util::Duration after) {
  if (after == util::Duration::zero()) {
    tree_delay_ = kFirstTreeCheck;
    if (std::exchange(tree_round_due_, true)) return;
  }
  at(tree_timer_, after, [](Impl& self) { self.tree_round(); });
}

proc::TreeRoot LocalExecutor::Impl::root_of(const Running& running) const {
  std::string cookie = cookie_of(cookie_prefix_, running.request.id);
  return {running.pid, std::move(cookie), engine_.session, running.killed_at.has_value()};
}

void LocalExecutor::Impl::tree_round() {
  tree_round_due_ = false;
  std::vector<Slot*> ending;
  std::vector<proc::TreeRoot> roots;
  for (auto& [number, slot] : slots_) {
    if (!slot.running || !slot.running->is_being_ended()) continue;
    ending.push_back(&slot);
    roots.push_back(root_of(*slot.running));
  }
  reap_inherited();  // thousands of zombies would make the look at /proc a long one
  Lanes::Still still;
  std::optional<proc::FrozenCgroup> frozen;
  if (std::ranges::any_of(ending, [](const Slot* slot) { return slot->running->outruns_us; })) {
    still = lanes_.hold_still();  // what was launched now would be outside the cgroup, as we are
    frozen.emplace(options_.cgroup);
  }
  const auto found = proc::find_trees(roots);
  if (!found) {
    frozen.reset();
    still.clear();
    blind_round(ending);
    return;
  }
  const auto& trees = *found;
  bool again = false;
  for (std::size_t i = 0; i < ending.size(); ++i) {
    Running& running = *ending[i]->running;
    signal_running(running, trees[i]);
    if (settle(*ending[i], trees[i])) continue;
    again = again || running.exited || running.killed_at;  // else its exit starts the next round
  }
  if (again) {
    schedule_tree_round(tree_delay_);
    tree_delay_ = std::min<util::Duration>(tree_delay_ * 2, kLastTreeCheck);
  }
  frozen.reset();
  still.clear();
  notes_.deliver();
  launch_waiting();
}

/// Where /proc cannot be read: the slices' own groups are reached all the same, but what is not known to be gone is
/// not.
void LocalExecutor::Impl::blind_round(const std::vector<Slot*>& ending) {
  bool again = false;
  for (Slot* slot : ending) {
    signal_running(*slot->running, {});
    if (slot->running->is_given_up()) {
      complete(*slot, "/proc cannot be read: whether anything of it is alive is not known");
    } else {
      again = true;
    }
  }
  if (again) schedule_tree_round(kLastTreeCheck);
  notes_.deliver();
  launch_waiting();
}

void LocalExecutor::Impl::signal_running(Running& running, const std::vector<proc::Process>& tree) {
  if (running.killed_at) {
    proc::signal_tree(running.pid, tree, SIGKILL);
    std::vector<pid_t> pids;
    pids.reserve(tree.size());
    for (const auto& process : tree) pids.push_back(process.pid);
    running.outruns_us = running.killed && std::ranges::any_of(pids, [&](pid_t pid) {
                           return std::ranges::find(*running.killed, pid) == running.killed->end();
                         });
    running.killed = std::move(pids);
  } else if (running.term_asked) {
    proc::signal_tree(running.pid, tree, SIGTERM);
    proc::signal_tree(running.pid, tree, SIGCONT);  // a stopped process cannot act on it
  }
  running.term_asked = false;
  running.signalled = true;
}

/// Completes an attempt of which nothing is alive, or which cannot be killed. False: it lives on.
bool LocalExecutor::Impl::settle(Slot& slot, const std::vector<proc::Process>& tree) {
  Running& running = *slot.running;
  // One look at /proc can miss a process that was forked while it was going on and whose parent is gone: two cannot.
  const bool was_empty = std::exchange(running.found_empty, tree.empty());
  if (running.exited && tree.empty() && was_empty) {
    complete(slot);
    return true;
  }
  if (!running.is_given_up()) return false;
  std::string pids;
  for (const auto& process : tree) pids += " " + std::to_string(process.pid);
  complete(slot, "SIGKILL has had no effect for 10 s on process" + pids);
  return true;
}

}  // namespace runner::exec
