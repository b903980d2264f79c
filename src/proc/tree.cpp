#include "proc/tree.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <cerrno>
#include <charconv>
#include <memory>
#include <optional>
#include <string_view>
#include <unordered_map>

#include "util/fd.hpp"

namespace runner::proc {
namespace {

constexpr int kNone = -1;
constexpr std::size_t kMaxEnvironment = std::size_t{4} << 20U;

/// Field `n` of /proc/PID/stat counted as proc(5) does, from the text behind "comm)", where field 3 begins.
template <class T>
T stat_field(std::string_view rest, int n) {
  for (int i = 3; i < n; ++i) rest.remove_prefix(std::min(rest.size(), rest.find(' ') + 1));
  T value{};
  std::from_chars(rest.data(), rest.data() + rest.size(), value);
  return value;
}

std::optional<Process> read_process(pid_t pid) {
  const auto fd = util::open_file("/proc/" + std::to_string(pid) + "/stat", O_RDONLY);
  if (!fd) return std::nullopt;
  std::array<char, 1024> buffer{};
  const ssize_t n = ::read(fd->get(), buffer.data(), buffer.size());
  if (n <= 0) return std::nullopt;
  std::string_view text(buffer.data(), static_cast<std::size_t>(n));
  const auto comm_end = text.rfind(')');  // the name before it may hold anything
  if (comm_end == std::string_view::npos || comm_end + 2 >= text.size()) return std::nullopt;
  text.remove_prefix(comm_end + 2);
  Process process;
  process.pid = pid;
  process.alive = text.front() != 'Z' && text.front() != 'X';
  process.parent = stat_field<pid_t>(text, 4);
  process.group = stat_field<pid_t>(text, 5);
  process.session = stat_field<pid_t>(text, 6);
  process.start = stat_field<std::uint64_t>(text, 22);
  return process;
}

/// "NAME=value", each ended by a NUL; nothing of somebody else's process, or of one that is gone.
std::string environment_of(pid_t pid) {
  auto text = util::read_file("/proc/" + std::to_string(pid) + "/environ", kMaxEnvironment);
  return text ? std::move(*text) : std::string();
}

std::vector<Process> read_all() {
  std::vector<Process> all;
  const std::unique_ptr<DIR, int (*)(DIR*)> proc(::opendir("/proc"), &::closedir);
  if (proc == nullptr) return all;
  while (const dirent* entry = ::readdir(proc.get())) {  // NOLINT(concurrency-mt-unsafe): a stream of our own
    const std::string_view name = entry->d_name;
    pid_t pid = 0;
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), pid);
    if (error != std::errc() || end != name.data() + name.size()) continue;
    if (const auto process = read_process(pid)) all.push_back(*process);
  }
  return all;
}

/// Whose process each one is: an index into the roots, or kNone.
class Ownership {
 public:
  Ownership(const std::vector<TreeRoot>& roots, const std::vector<Process>& all)
      : roots_(roots), all_(all), owner_(all.size(), kNone), our_session_(::getsid(0)) {
    for (std::size_t i = 0; i < roots.size(); ++i) {
      if (roots[i].pid <= 0) continue;
      by_pid_.emplace(roots[i].pid, static_cast<int>(i));
      by_session_.emplace(roots[i].pid, static_cast<int>(i));
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
    if (all_[i].alive && all_[i].session != our_session_) by_session_.emplace(all_[i].session, root);
  }

  /// Children of what is owned, and everything in a session of its own that an owned process made, until no more.
  void follow_kinship() {
    for (bool grew = true; grew;) {
      grew = false;
      for (std::size_t i = 0; i < all_.size(); ++i) {
        if (owner_[i] != kNone || all_[i].pid == ::getpid()) continue;
        auto found = by_pid_.find(all_[i].pid);
        if (found == by_pid_.end()) found = by_pid_.find(all_[i].parent);
        if (found == by_pid_.end()) {
          found = by_session_.find(all_[i].session);
          if (found == by_session_.end()) continue;
        }
        own(i, found->second);
        grew = true;
      }
    }
  }

  bool follow_cookies() {
    const std::uint64_t oldest = oldest_root();
    bool grew = false;
    for (std::size_t i = 0; i < all_.size(); ++i) {
      const Process& process = all_[i];
      constexpr pid_t kKernelThreads = 2;
      if (owner_[i] != kNone || !process.alive || process.start < oldest || process.parent == kKernelThreads) continue;
      if (process.pid == ::getpid() || process.pid == kKernelThreads) continue;
      const int root = owner_by_cookie(process.pid);
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

  int owner_by_cookie(pid_t pid) const {
    const std::string text = environment_of(pid);
    for (std::size_t i = 0; i < roots_.size(); ++i) {
      const std::string& cookie = roots_[i].cookie;
      if (cookie.empty()) continue;
      for (auto at = text.find(cookie); at != std::string::npos; at = text.find(cookie, at + 1)) {
        const auto end = at + cookie.size();
        if ((at == 0 || text[at - 1] == '\0') && (end == text.size() || text[end] == '\0')) return static_cast<int>(i);
      }
    }
    return kNone;
  }

  const std::vector<TreeRoot>& roots_;
  const std::vector<Process>& all_;
  std::vector<int> owner_;
  pid_t our_session_;
  std::unordered_map<pid_t, int> by_pid_;
  std::unordered_map<pid_t, int> by_session_;
};

}  // namespace

std::vector<std::vector<Process>> find_trees(const std::vector<TreeRoot>& roots) {
  const std::vector<Process> all = read_all();
  const std::vector<int> owner = Ownership(roots, all).find();
  std::vector<std::vector<Process>> trees(roots.size());
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (owner[i] != kNone && all[i].alive) trees[static_cast<std::size_t>(owner[i])].push_back(all[i]);
  }
  return trees;
}

std::set<std::string> find_cookies(const std::string& prefix) {
  std::set<std::string> found;
  for (const Process& process : read_all()) {
    if (!process.alive) continue;
    const std::string text = environment_of(process.pid);
    std::string_view rest = text;
    while (!rest.empty()) {
      const std::string_view entry = rest.substr(0, rest.find('\0'));
      if (entry.starts_with(prefix)) found.emplace(entry);
      rest.remove_prefix(std::min(rest.size(), entry.size() + 1));
    }
  }
  return found;
}

void signal_process(const Process& process, int signal) {
  // The descriptor pins the process, whichever it is; then its start says whether it is the one.
  const util::Fd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, process.pid, 0)));
  if (!pidfd && errno != ENOSYS) return;
  if (start_of(process.pid) != process.start) return;
  if (pidfd) {
    ::syscall(SYS_pidfd_send_signal, pidfd.get(), signal, nullptr, 0);
  } else {
    ::kill(process.pid, signal);
  }
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

std::uint64_t start_of(pid_t pid) {
  const auto process = read_process(pid);
  return process ? process->start : 0;
}

}  // namespace runner::proc
