#include "proc/process.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <memory>
#include <sstream>
#include <string_view>

#include "util/fd.hpp"

namespace runner::proc {
namespace {

constexpr std::size_t kMaxEnvironment = std::size_t{4} << 20U;

/// Field `n` of /proc/PID/stat counted as proc(5) does, from the text behind "comm)", where field 3 begins.
template <class T>
T stat_field(std::string_view rest, int n) {
  for (int i = 3; i < n; ++i) rest.remove_prefix(std::min(rest.size(), rest.find(' ') + 1));
  T value{};
  std::from_chars(rest.data(), rest.data() + rest.size(), value);
  return value;
}

/// Why a process that was listed has no stat: it ended meanwhile, or it is somebody else's (mount option hidepid=1).
/// 0: its text is none, which a process that ends may have.
bool is_hidden_or_gone(int error) {
  return error == 0 || error == ENOENT || error == ESRCH || error == EACCES || error == EPERM;
}

}  // namespace

std::optional<Process> read_process(pid_t pid) {
  const auto fd = util::open_file("/proc/" + std::to_string(pid) + "/stat", O_RDONLY);
  if (!fd) return std::nullopt;
  std::array<char, 1024> buffer{};
  const ssize_t n = ::read(fd->get(), buffer.data(), buffer.size());
  if (n <= 0) return std::nullopt;
  std::string_view text(buffer.data(), static_cast<std::size_t>(n));
  const auto comm_begin = text.find('(');
  const auto comm_end = text.rfind(')');  // the name before it may hold anything
  if (comm_begin == std::string_view::npos || comm_end == std::string_view::npos || comm_end + 2 >= text.size())
    return std::nullopt;
  Process process;
  process.pid = pid;
  process.name = text.substr(comm_begin + 1, comm_end - comm_begin - 1);
  text.remove_prefix(comm_end + 2);
  process.alive = text.front() != 'Z' && text.front() != 'X';
  process.in_kernel = text.front() == 'D';
  process.stopped = text.front() == 'T' || text.front() == 't';
  process.parent = stat_field<pid_t>(text, 4);
  process.group = stat_field<pid_t>(text, 5);
  process.session = stat_field<pid_t>(text, 6);
  process.foreground = stat_field<pid_t>(text, 8);
  process.start = stat_field<std::uint64_t>(text, 22);
  process.has_memory = stat_field<std::uint64_t>(text, 23) != 0;
  return process;
}

std::optional<std::vector<Process>> read_processes() {
  std::vector<Process> all;
  const std::unique_ptr<DIR, int (*)(DIR*)> proc(::opendir("/proc"), &::closedir);
  if (proc == nullptr) return std::nullopt;
  while (true) {
    errno = 0;
    const dirent* entry = ::readdir(proc.get());  // NOLINT(concurrency-mt-unsafe): a stream of our own
    if (entry == nullptr && errno != 0) return std::nullopt;
    if (entry == nullptr) break;
    const std::string_view name = entry->d_name;
    pid_t pid = 0;
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), pid);
    if (error != std::errc() || end != name.data() + name.size()) continue;
    errno = 0;
    if (auto process = read_process(pid)) {
      all.push_back(std::move(*process));
    } else if (!is_hidden_or_gone(errno)) {
      return std::nullopt;
    }
  }
  // Nothing is mounted there, or what belongs to another pid namespace.
  if (std::ranges::none_of(all, [](const Process& process) { return process.pid == ::getpid(); })) return std::nullopt;
  return all;
}

std::vector<pid_t> children() {
  std::vector<pid_t> found;
  const auto text = util::read_file("/proc/self/task/" + std::to_string(::getpid()) + "/children");
  if (!text) return found;
  std::istringstream pids(*text);
  for (pid_t pid = 0; pids >> pid;) found.push_back(pid);
  return found;
}

std::string environment_of(pid_t pid) {
  auto text = util::read_file("/proc/" + std::to_string(pid) + "/environ", kMaxEnvironment);
  return text ? std::move(*text) : std::string();
}

std::string pid_namespace() {
  struct stat info {};
  return std::to_string(::stat("/proc/self/ns/pid", &info) == 0 ? info.st_ino : 0);
}

std::uint64_t start_of(pid_t pid) {
  const auto process = read_process(pid);
  return process ? process->start : 0;
}

bool signal_process(const Process& process, int signal) {
  // The descriptor pins the process, whichever it is; then its start says whether it is the one.
  const util::Fd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, process.pid, 0)));
  if (!pidfd && errno == ESRCH) return true;
  if (start_of(process.pid) != process.start) return true;
  const long result = pidfd ? ::syscall(SYS_pidfd_send_signal, pidfd.get(), signal, nullptr, 0)
                            : ::kill(process.pid, signal);  // an old kernel, or no descriptor left
  return result == 0 || errno != EPERM;
}

bool is_in_foreground(pid_t pid) {
  const auto process = read_process(pid);
  return !process || process->foreground <= 0 || process->foreground == process->group;
}

}  // namespace runner::proc
