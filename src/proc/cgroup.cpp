#include "proc/cgroup.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <memory>
#include <set>
#include <utility>

#include "util/cgroups.hpp"
#include "util/fd.hpp"
#include "util/text.hpp"

namespace runner::proc {
namespace {

constexpr std::string_view kPrefix = "runner-";
constexpr std::size_t kMaxFile = std::size_t{16} << 20U;
constexpr auto kFirstPause = std::chrono::microseconds(100);
constexpr auto kLastPause = std::chrono::milliseconds(20);
constexpr auto kFreezes =
    std::chrono::milliseconds(20);  ///< takes longer only where one of them is stuck in the kernel

std::string read_or_empty(const std::string& path) {
  auto text = util::read_file(path, kMaxFile);
  return text ? std::move(*text) : std::string();
}

/// To a file of the kernel's: in one piece or not at all.
bool write_to(const util::Fd& file, std::string_view text) {
  return ::pwrite(file.get(), text.data(), text.size(), 0) == static_cast<ssize_t>(text.size());
}

bool write_file(const std::string& path, std::string_view text) {
  const auto fd = util::open_file(path, O_WRONLY);
  return fd && write_to(*fd, text);
}

void pause_for(util::Duration pause) {
  const timespec wait = {.tv_sec = 0, .tv_nsec = pause.count()};
  ::nanosleep(&wait, nullptr);
}

bool contains(const std::vector<pid_t>& pids, pid_t pid) {
  return std::find(pids.begin(), pids.end(), pid) != pids.end();
}

/// Of what can be read no more: it has been removed, or is not ours to read. Else it is there, and unknown.
bool is_nothing(int error) {
  return error == ENOENT || error == ENODEV || error == EACCES || error == EOPNOTSUPP;
}

std::optional<std::vector<pid_t>> pids_in(const std::string& cgroup) {
  const auto text = util::read_file(cgroup + "/cgroup.procs", kMaxFile);
  std::vector<pid_t> pids;
  if (!text) return is_nothing(text.error().errno_value) ? std::optional(pids) : std::nullopt;
  for (const auto line : util::split(*text, '\n')) {
    const auto pid = util::parse_int(line);
    if (pid && *pid > 0) pids.push_back(static_cast<pid_t>(*pid));  // 0: outside of our pid namespace
  }
  return pids;
}

std::optional<std::vector<std::string>> directories_in(const std::string& directory) {
  std::vector<std::string> names;
  const std::unique_ptr<DIR, int (*)(DIR*)> open(::opendir(directory.c_str()), &::closedir);
  if (open == nullptr) return is_nothing(errno) ? std::optional(names) : std::nullopt;
  while (const dirent* entry = ::readdir(open.get())) {  // NOLINT(concurrency-mt-unsafe): a stream of our own
    const std::string_view name = entry->d_name;
    if (entry->d_type == DT_DIR && name != "." && name != "..") names.emplace_back(name);
  }
  return names;
}

std::vector<std::string> known_directories_in(const std::string& directory) {
  return directories_in(directory).value_or(std::vector<std::string>());
}

std::string child_of(const std::string& cgroup, const std::string& name) {
  std::string path = cgroup;
  path += '/';
  path += name;
  return path;
}

/// 0, or the errno.
int remove_tree(const std::string& cgroup) {
  for (const auto& name : known_directories_in(cgroup)) remove_tree(child_of(cgroup, name));
  return ::rmdir(cgroup.c_str()) == 0 || errno == ENOENT ? 0 : errno;
}

/// Unknown is no.
bool holds_us(const std::optional<std::vector<pid_t>>& pids) {
  return pids && contains(*pids, ::getpid());
}

std::string parent_of(const std::string& cgroup) {
  return cgroup.substr(0, cgroup.rfind('/'));
}

std::vector<std::string> visible_cgroups() {
  return util::cgroup_directories(read_or_empty("/proc/self/mountinfo"), read_or_empty("/proc/self/cgroup"), "");
}

bool is_abandoned(const CgroupOwner& owner) {
  if (owner.pid_namespace != pid_namespace()) return false;
  const auto engine = read_process(owner.pid);
  return !engine || !engine->alive || engine->start != owner.start;
}

bool is_own(const std::string& directory) {
  struct stat info {};
  return ::lstat(directory.c_str(), &info) == 0 && info.st_uid == ::geteuid();
}

/// False: a part of it is not known.
bool collect_abandoned(const std::string& directory, std::vector<RunCgroup>& found) {
  const auto names = directories_in(directory);
  if (!names) return false;
  return std::ranges::all_of(*names, [&](const std::string& name) {
    const std::string path = directory + "/" + name;
    auto owner = parse_cgroup_name(name);
    if (owner && is_own(path) && is_abandoned(*owner)) found.push_back({path, std::move(*owner)});
    return collect_abandoned(path, found);
  });
}

/// Those of runs, right below it.
std::vector<RunCgroup> run_cgroups_in(const std::string& parent) {
  std::vector<RunCgroup> found;
  for (const auto& name : known_directories_in(parent)) {
    if (auto owner = parse_cgroup_name(name)) found.push_back({child_of(parent, name), std::move(*owner)});
  }
  return found;
}

std::vector<pid_t> known_members(const std::string& cgroup) {
  return cgroup_members(cgroup).value_or(std::vector<pid_t>());
}

}  // namespace

std::string cgroup_name(const CgroupOwner& owner) {
  return std::string(kPrefix) + owner.run_id + "." + owner.pid_namespace + "." + std::to_string(owner.pid) + "." +
         std::to_string(owner.start);
}

std::optional<CgroupOwner> parse_cgroup_name(std::string_view name) {
  if (!name.starts_with(kPrefix)) return std::nullopt;
  name.remove_prefix(kPrefix.size());
  CgroupOwner owner;
  if (!util::take_number(name, owner.start) || !util::take_number(name, owner.pid)) return std::nullopt;
  const auto dot = name.rfind('.');
  if (dot == std::string_view::npos || dot == 0) return std::nullopt;
  owner.pid_namespace = name.substr(dot + 1);
  owner.run_id = name.substr(0, dot);
  return owner;
}

std::string own_cgroup() {
  const auto directories = visible_cgroups();
  // What is shown may only be one above it.
  if (directories.empty() || !holds_us(pids_in(directories.front()))) return {};
  return directories.front();
}

std::string enter_run_cgroup(const std::string& run_id) {
  const std::string parent = own_cgroup();
  if (parent.empty()) return {};
  std::string path = child_of(parent, cgroup_name({run_id, pid_namespace(), ::getpid(), start_of(::getpid())}));
  if (::mkdir(path.c_str(), 0755) != 0) return {};
  if (write_file(path + "/cgroup.procs", "0")) return path;
  ::rmdir(path.c_str());
  return {};
}

void remove_empty_run_cgroups() {
  for (const auto& [path, owner] : run_cgroups_in(own_cgroup())) {
    if (is_abandoned(owner)) ::rmdir(path.c_str());  // as long as anything is in it: EBUSY
  }
}

std::string run_cgroup_of(const std::string& parent, pid_t pid, std::uint64_t start) {
  for (const auto& [path, owner] : run_cgroups_in(parent)) {
    if (owner.pid == pid && owner.start == start && owner.pid_namespace == pid_namespace()) return path;
  }
  return {};
}

std::optional<std::vector<RunCgroup>> abandoned_cgroups() {
  std::vector<RunCgroup> found;
  const auto directories = visible_cgroups();
  if (!directories.empty() && !collect_abandoned(directories.back(), found)) return std::nullopt;
  return found;
}

std::optional<std::vector<pid_t>> cgroup_members(const std::string& cgroup) {
  auto pids = pids_in(cgroup);
  const auto names = directories_in(cgroup);
  if (!pids || !names) return std::nullopt;
  for (const auto& name : *names) {
    const auto below = cgroup_members(child_of(cgroup, name));
    if (!below) return std::nullopt;
    pids->insert(pids->end(), below->begin(), below->end());
  }
  return pids;
}

void kill_members_one_by_one(const std::string& cgroup) {
  write_file(cgroup + "/cgroup.freeze", "1");  // what is frozen does not fork, and can be killed
  for (const pid_t pid : known_members(cgroup)) {
    // The descriptor pins the process; if it is still a member after that, it is the one.
    const util::Fd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
    if (pid == ::getpid() || !contains(known_members(cgroup), pid)) continue;
    if (pidfd) {
      ::syscall(SYS_pidfd_send_signal, pidfd.get(), SIGKILL, nullptr, 0);
    } else {
      ::kill(pid, SIGKILL);
    }
  }
}

void kill_cgroup(const std::string& cgroup) {
  const auto members = cgroup_members(cgroup);
  if (!members || (holds_us(members) && !write_file(parent_of(cgroup) + "/cgroup.procs", "0"))) return;
  if (!write_file(cgroup + "/cgroup.kill", "1")) kill_members_one_by_one(cgroup);
}

FrozenCgroup::FrozenCgroup(const std::string& cgroup) {
  if (cgroup.empty()) return;
  auto freeze = util::open_file(cgroup + "/cgroup.freeze", O_WRONLY);
  auto members = util::open_file(cgroup + "/cgroup.procs", O_WRONLY);
  if (!freeze || !members || !write_file(parent_of(cgroup) + "/cgroup.procs", "0")) return;
  freeze_ = std::move(*freeze);
  members_ = std::move(*members);
  if (!write_to(freeze_, "1")) return;
  const auto deadline = util::steady_now() + kFreezes;
  while (read_or_empty(cgroup + "/cgroup.events").find("frozen 1") == std::string::npos &&
         util::steady_now() < deadline) {
    pause_for(kFirstPause);
  }
}

FrozenCgroup::~FrozenCgroup() {
  if (!freeze_) return;
  write_to(freeze_, "0");
  write_to(members_, "0");  // last: what enters a frozen one stands still, too
}

std::vector<Process> end_cgroup(const std::string& cgroup, util::Duration patience) {
  const auto deadline = util::steady_now() + patience;
  std::vector<Process> killed;
  std::set<std::pair<pid_t, std::uint64_t>> seen;
  util::Duration pause = kFirstPause;
  while (remove_tree(cgroup) == EBUSY && util::steady_now() < deadline) {
    for (const pid_t pid : known_members(cgroup)) {
      auto process = read_process(pid);
      if (pid == ::getpid() || !process || !process->alive) continue;
      if (seen.emplace(pid, process->start).second) killed.push_back(std::move(*process));
    }
    kill_cgroup(cgroup);
    pause_for(pause);
    pause = std::min<util::Duration>(pause * 2, kLastPause);
  }
  return killed;
}

}  // namespace runner::proc
