#include "exec/attempt_files.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <filesystem>
#include <system_error>
#include <tuple>

namespace runner::exec {
namespace {

/// Paths below the working directory are shown as people wrote them.
std::string shown(const core::ExpandedAttempt& attempt, const std::string& path) {
  const std::string& base = attempt.workdir;
  const bool below = !base.empty() && path.size() > base.size() + 1 && path.compare(0, base.size(), base) == 0 &&
                     path[base.size()] == '/';
  return below ? path.substr(base.size() + 1) : path;
}

util::Error error_at(const char* what, const core::ExpandedAttempt& attempt, const std::string& path, int error) {
  return util::errno_error(what + shown(attempt, path), error);
}

/// Opening a FIFO must not block the loop, but the program expects an ordinary descriptor.
util::Result<util::Fd> open_for_child(const std::string& path, int flags) {
  auto fd = util::open_file(path, flags | O_NONBLOCK | O_NOCTTY, 0666);
  if (fd) ::fcntl(fd->get(), F_SETFL, flags & O_ACCMODE);
  return fd;
}

/// `modified` is cut to what its file system can store, from whole seconds to nanoseconds; so `started` is, too.
bool is_older(const timespec& modified, const timespec& started) {
  long unit = 1'000'000'000;
  while (modified.tv_nsec % unit != 0) unit /= 10;
  const long nanoseconds = started.tv_nsec - started.tv_nsec % unit;
  return std::tie(modified.tv_sec, modified.tv_nsec) < std::tie(started.tv_sec, nanoseconds);
}

}  // namespace

util::Result<util::Fd> open_stdin(const core::ExpandedAttempt& attempt) {
  auto fd = open_for_child(attempt.stdin_path, O_RDONLY);
  if (!fd) return error_at("cannot read stdin ", attempt, attempt.stdin_path, fd.error().errno_value);
  struct stat info {};
  if (::fstat(fd->get(), &info) == 0 && S_ISDIR(info.st_mode))
    return error_at("cannot read stdin ", attempt, attempt.stdin_path, EISDIR);
  return fd;
}

util::Result<util::Fd> open_stdout(const core::ExpandedAttempt& attempt) {
  constexpr int kFlags = O_WRONLY | O_CREAT | O_TRUNC;
  auto fd = open_for_child(attempt.stdout_path, kFlags);
  if (!fd && fd.error().errno_value == ENOENT) {
    std::error_code ec;
    std::filesystem::create_directories(std::filesystem::path(attempt.stdout_path).parent_path(), ec);
    if (ec) return error_at("cannot make the directory of stdout ", attempt, attempt.stdout_path, ec.value());
    fd = open_for_child(attempt.stdout_path, kFlags);
  }
  if (!fd) return error_at("cannot write stdout ", attempt, attempt.stdout_path, fd.error().errno_value);
  return fd;
}

timespec file_time_now() {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME_COARSE, &now);
  return now;
}

timespec not_after(const timespec& started, const timespec& now, util::Duration elapsed) {
  using namespace std::chrono_literals;
  const auto of = [](const timespec& time) {
    return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
  };
  // Neither clock is exact to a tick of the coarse one.
  const util::Duration began = of(now) - elapsed;
  if (began > of(started) - 100ms) return started;
  const auto seconds = std::chrono::floor<std::chrono::seconds>(began);
  return {.tv_sec = seconds.count(), .tv_nsec = (began - seconds).count()};
}

std::string check_outputs(const core::ExpandedAttempt& attempt, const timespec& started) {
  for (const auto& path : attempt.outputs) {
    struct stat info {};
    if (::stat(path.c_str(), &info) != 0) {
      const std::string missing = "missing output " + shown(attempt, path);
      return errno == ENOENT ? missing : util::errno_error(missing, errno).message;
    }
    if (is_older(info.st_mtim, started)) return "output " + shown(attempt, path) + " is older than this attempt";
  }
  return {};
}

}  // namespace runner::exec
