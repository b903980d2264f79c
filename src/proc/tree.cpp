#include "proc/tree.hpp"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cassert>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "proc/child.hpp"

namespace runner::proc {
namespace {

constexpr int kNone = -1;
constexpr int kLooks = 64;
constexpr int kLooksToKill = 512;  ///< each of them may be the one that comes in time

/// Whose cookie is in an environment: an index into the roots, or kNone.
int owner_by_cookie(const std::vector<TreeRoot>& roots, const std::string& text) {
  for (std::size_t i = 0; i < roots.size(); ++i) {
    const std::string& cookie = roots[i].cookie;
    if (cookie.empty()) continue;
    for (auto at = text.find(cookie); at != std::string::npos; at = text.find(cookie, at + 1)) {
      const auto end = at + cookie.size();
      if ((at == 0 || text[at - 1] == '\0') && (end == text.size() || text[end] == '\0')) return static_cast<int>(i);
    }
  }
  return kNone;
}

/// Whose process each one is: an index into the roots, or kNone.
class Ownership {
 public:
  Ownership(const std::vector<TreeRoot>& roots, const std::vector<Process>& all)
      : roots_(roots), all_(all), owner_(all.size(), kNone), our_group_(::getpgrp()) {
    for (std::size_t i = 0; i < roots.size(); ++i) {
      if (roots[i].pid <= 0) continue;
      by_pid_.emplace(roots[i].pid, static_cast<int>(i));
      by_group_.emplace(roots[i].pid, static_cast<int>(i));
    }
  }

  std::vector<int> find() {
    follow_kinship();
    if (follow_cookies()) follow_kinship();
    return owner_;
  }

 private:
  void own(std::size_t i, int root) {
    owner_[i] = root;
    by_pid_.emplace(all_[i].pid, root);
    if (!all_[i].alive) return;
    if (all_[i].group != our_group_) by_group_.emplace(all_[i].group, root);
    if (all_[i].session != roots_[static_cast<std::size_t>(root)].session) by_session_.emplace(all_[i].session, root);
  }

  /// Children of what is owned, and everything in a group or a session that an owned process made, until no more.
  void follow_kinship() {
    for (bool grew = true; grew;) {
      grew = false;
      for (std::size_t i = 0; i < all_.size(); ++i) {
        if (owner_[i] != kNone || all_[i].pid == ::getpid()) continue;
        const int root = owner_by_kinship(all_[i]);
        if (root == kNone) continue;
        own(i, root);
        grew = true;
      }
    }
  }

  int owner_by_kinship(const Process& process) const {
    for (const auto& [owners, id] : {std::pair{&by_pid_, process.pid}, std::pair{&by_pid_, process.parent},
                                     std::pair{&by_group_, process.group}, std::pair{&by_session_, process.session}}) {
      if (const auto found = owners->find(id); found != owners->end()) return found->second;
    }
    return kNone;
  }

  bool follow_cookies() {
    const std::uint64_t oldest = oldest_root();
    bool grew = false;
    for (std::size_t i = 0; i < all_.size(); ++i) {
      const Process& process = all_[i];
      constexpr pid_t kKernelThreads = 2;
      if (owner_[i] != kNone || !process.alive || process.start < oldest || process.parent == kKernelThreads) continue;
      if (process.pid == ::getpid() || process.pid == kKernelThreads) continue;
      const int root = owner_by_cookie(roots_, environment_of(process.pid));
      if (root == kNone) continue;
      own(i, root);
      grew = true;
    }
    return grew;
  }

  /// Nothing of a tree is older than its root; 0 where a root is not known.
  std::uint64_t oldest_root() const {
    std::uint64_t oldest = ~std::uint64_t{0};
    for (const auto& root : roots_) {
      const auto found = std::find_if(all_.begin(), all_.end(), [&](const Process& p) { return p.pid == root.pid; });
      oldest = std::min(oldest, found == all_.end() ? 0 : found->start);
    }
    return oldest;
  }

  const std::vector<TreeRoot>& roots_;
  const std::vector<Process>& all_;
  std::vector<int> owner_;
  pid_t our_group_;
  std::unordered_map<pid_t, int> by_pid_;
  std::unordered_map<pid_t, int> by_group_;
  std::unordered_map<pid_t, int> by_session_;
};

/// A process that forks a successor into a session of its own and exits, again and again, outruns looks at all of
/// /proc. But where we are a subreaper each becomes our child, and those are found at once. Not the `known` ones.
/// `looked_at`: what the look at all of /proc has seen.
class QuickOrphans {
 public:
  QuickOrphans(const std::vector<TreeRoot>& roots, std::vector<std::vector<Process>>& trees,
               const std::unordered_set<pid_t>& looked_at, std::unordered_set<pid_t> known)
      : roots_(roots), trees_(trees), looked_at_(looked_at), known_(std::move(known)) {}

  void find() {
    const int looks = std::ranges::any_of(roots_, &TreeRoot::kill) ? kLooksToKill : kLooks;
    for (int look = 0; look < looks; ++look) {
      bool any = false;
      for (const pid_t pid : children()) any = (!known_.contains(pid) && take(pid)) || any;
      if (!any) return;
    }
    // Whose they are that are seen only as they exit is not known: nobody's tree is known to be empty.
    for (auto& tree : trees_) tree.push_back(Process{.pid = last_, .name = {}});
  }

 private:
  /// Whether it may have a successor that is not our child before it has exited.
  bool take(pid_t pid) {
    const std::string environment = environment_of(pid);
    if (const int root = owner_by_cookie(roots_, environment); root != kNone) {
      own(pid, static_cast<std::size_t>(root));
      return true;
    }
    const auto process = environment.empty() ? read_process(pid) : std::nullopt;
    if (process && !process->has_memory) {
      let_go(pid);
      return true;
    }
    known_.insert(pid);
    return false;
  }

  void own(pid_t pid, std::size_t root) {
    if (roots_[root].kill) {
      ::kill(pid, SIGKILL);  // our child, and nobody else reaps it: it is this one
    } else {
      known_.insert(pid);
    }
    if (!owned_.insert(pid).second) return;
    auto process = roots_[root].kill ? std::nullopt : read_process(pid);
    trees_[root].push_back(process ? std::move(*process) : Process{.pid = pid, .name = {}});
  }

  /// It exits. Zombies would make each look longer than the last: what nobody had seen before, and so is not a child of
  /// our making, is reaped.
  void let_go(pid_t pid) {
    last_ = pid;
    if (!looked_at_.contains(pid)) {
      (void)reap(pid);
    } else if (has_exited(pid)) {
      known_.insert(pid);
    }
  }

  const std::vector<TreeRoot>& roots_;
  std::vector<std::vector<Process>>& trees_;
  const std::unordered_set<pid_t>& looked_at_;
  std::unordered_set<pid_t> known_;
  std::unordered_set<pid_t> owned_;
  pid_t last_ = 0;  ///< seen as it exited
};

}  // namespace

std::optional<std::vector<std::vector<Process>>> find_trees(const std::vector<TreeRoot>& roots) {
  const auto read = read_processes();
  if (!read) return std::nullopt;
  const std::vector<Process>& all = *read;
  const std::vector<int> owner = Ownership(roots, all).find();
  std::vector<std::vector<Process>> trees(roots.size());
  std::unordered_set<pid_t> looked_at;
  std::unordered_set<pid_t> known;
  for (std::size_t i = 0; i < all.size(); ++i) {
    looked_at.insert(all[i].pid);
    if (owner[i] != kNone && all[i].alive) trees[static_cast<std::size_t>(owner[i])].push_back(all[i]);
    if (owner[i] != kNone || !all[i].alive) known.insert(all[i].pid);
  }
  QuickOrphans(roots, trees, looked_at, std::move(known)).find();
  return trees;
}

void signal_tree(pid_t root, const std::vector<Process>& tree, int signal) {
  if (root > 0) ::kill(-root, signal);
  for (const auto& process : tree) {
    if (root <= 0 || process.group != root) signal_process(process, signal);
  }
}

void kill_group(pid_t group) {
  assert(group > 1);  // 0 would be our own group, and -1 everybody
  ::kill(-group, SIGKILL);
}

bool group_exists(pid_t group) {
  assert(group > 1);
  return ::kill(-group, 0) == 0;
}

}  // namespace runner::proc
