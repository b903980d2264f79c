#include "proc/tree.hpp"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cassert>
#include <unordered_map>
#include <unordered_set>
#include <utility>

namespace runner::proc {
namespace {

constexpr int kNone = -1;
constexpr int kQuickLooks = 64;

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
void find_quick_orphans(const std::vector<TreeRoot>& roots, std::unordered_set<pid_t> known,
                        std::vector<std::vector<Process>>& trees) {
  bool any = true;
  for (int look = 0; any && look < kQuickLooks; ++look) {
    any = false;
    for (const pid_t pid : children()) {
      if (known.contains(pid)) continue;
      const std::string environment = environment_of(pid);
      const int root = owner_by_cookie(roots, environment);
      const auto process = read_process(pid);
      if (root != kNone) {
        const auto i = static_cast<std::size_t>(root);
        if (roots[i].kill) ::kill(pid, SIGKILL);  // our child, and nobody else reaps it: it is this one
        trees[i].push_back(process.value_or(Process{.pid = pid, .name = {}}));
      }
      // Without an environment it is about to exit, and its successor is not our child before it has.
      const bool is_exiting = root == kNone && environment.empty() && process && process->alive;
      if (!is_exiting) known.insert(pid);
      any = any || root != kNone || environment.empty();
    }
  }
}

}  // namespace

std::optional<std::vector<std::vector<Process>>> find_trees(const std::vector<TreeRoot>& roots) {
  const auto read = read_processes();
  if (!read) return std::nullopt;
  const std::vector<Process>& all = *read;
  const std::vector<int> owner = Ownership(roots, all).find();
  std::vector<std::vector<Process>> trees(roots.size());
  std::unordered_set<pid_t> known;
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (owner[i] != kNone && all[i].alive) trees[static_cast<std::size_t>(owner[i])].push_back(all[i]);
    if (owner[i] != kNone || !all[i].alive) known.insert(all[i].pid);
  }
  find_quick_orphans(roots, std::move(known), trees);
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
