// The lock of a state directory.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <string>

#include "store/state_dir.hpp"
#include "util/text.hpp"

namespace runner::store {

using util::errno_error;
using util::Result;

namespace {

std::string host_name() {
  std::array<char, HOST_NAME_MAX + 1> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 ? std::string(name.data()) : "?";
}

/// A lock on the whole file, owned by the open file description and not, as F_SETLK's, lost when any descriptor of the
/// file is closed.
struct flock whole_file(short type) {
  struct flock lock {};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  return lock;
}

/// "host\npid\nstarted at\n"; anything else, such as a note half written, leaves the fields empty.
LockOwner read_owner(int fd) {
  std::array<char, 1024> buffer{};
  const ssize_t n = ::pread(fd, buffer.data(), buffer.size(), 0);
  if (n <= 0) return {};
  const auto lines = util::split({buffer.data(), static_cast<std::size_t>(n)}, '\n');
  if (lines.size() < 4) return {};
  const auto pid = util::parse_int(lines[1]);
  if (!pid || *pid <= 0 || *pid > INT_MAX) return {};
  return {.host = std::string(lines[0]), .pid = static_cast<int>(*pid), .started_at = std::string(lines[2])};
}

Result<void> write_owner(int fd, const std::string& path) {
  const std::string note =
      host_name() + "\n" + std::to_string(::getpid()) + "\n" + util::format_local(util::wall_now()) + "\n";
  if (::ftruncate(fd, 0) != 0) return errno_error(path, errno);
  return util::write_all(fd, note, path);
}

}  // namespace

std::string StateLock::place() const {
  struct stat info {};
  if (::fstat(fd_.get(), &info) != 0) return {};
  return std::to_string(info.st_dev) + ":" + std::to_string(info.st_ino);
}

Result<std::variant<StateLock, LockOwner>> StateDir::lock() const {
  const std::string path = path_ + "/lock";
  auto fd = util::open_file(path, O_RDWR | O_CREAT | O_NOFOLLOW, 0600);
  if (!fd) return fd.error();
  struct flock lock = whole_file(F_WRLCK);
  int result = -1;
  do {
    result = ::fcntl(fd->get(), F_OFD_SETLK, &lock);
  } while (result != 0 && errno == EINTR);
  if (result != 0) {
    if (errno == EAGAIN || errno == EACCES) return std::variant<StateLock, LockOwner>(read_owner(fd->get()));
    return errno_error(path + ": this file system gives no locks, and without one two runs could share the record " +
                           "(mount it with locking, or choose another place with --state-dir)",
                       errno);
  }
  if (auto written = write_owner(fd->get(), path); !written) return written.error();
  return std::variant<StateLock, LockOwner>(std::in_place_type<StateLock>, std::move(*fd));
}

std::optional<LockOwner> StateDir::owner() const {
  auto fd = util::open_file(path_ + "/lock", O_RDONLY | O_NOFOLLOW);
  if (!fd) return std::nullopt;
  struct flock lock = whole_file(F_RDLCK);
  if (::fcntl(fd->get(), F_OFD_GETLK, &lock) != 0 || lock.l_type == F_UNLCK) return std::nullopt;
  return read_owner(fd->get());
}

}  // namespace runner::store
