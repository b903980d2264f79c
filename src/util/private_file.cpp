#include "util/private_file.hpp"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>

#include "util/display.hpp"

namespace runner::util {
namespace {

constexpr mode_t kFileMode = 0600;
constexpr mode_t kDirectoryMode = 0700;

Error link_error(const std::string& path) {
  return {escape_for_display(path, 20'000) +
              ": a symbolic link is in the way, and runner follows none in its state directory: remove it",
          ELOOP};
}

bool leads_out(const std::string& name) {
  const std::filesystem::path path(name);
  for (const auto& part : path) {
    if (part == "..") return true;
  }
  return path.is_absolute();
}

/// openat2(2); where the kernel, or a sandbox around us, has none, openat(2), which looks at the last name only.
int open_by(int dir, const std::string& path, int flags, mode_t mode, std::uint64_t resolve) {
  open_how how{};
  how.flags = static_cast<std::uint64_t>(flags);
  how.mode = mode;
  how.resolve = resolve;
  const auto fd = static_cast<int>(::syscall(SYS_openat2, dir, path.c_str(), &how, sizeof how));
  if (fd >= 0 || (errno != ENOSYS && errno != EPERM)) return fd;
  return ::openat(dir, path.c_str(), flags | O_NOFOLLOW, mode);
}

Result<Fd> open_retrying(int dir, const std::string& path, int flags, mode_t mode, std::uint64_t resolve) {
  int fd = -1;
  do {
    fd = open_by(dir, path, flags | O_CLOEXEC, mode, resolve);
  } while (fd < 0 && (errno == EINTR || errno == EAGAIN));
  if (fd < 0) return errno == ELOOP ? link_error(path) : errno_error(path, errno);
  return Fd(fd);
}

}  // namespace

Result<Fd> open_no_links(const std::string& path, int flags, mode_t mode) {
  return open_retrying(AT_FDCWD, path, flags, mode, RESOLVE_NO_SYMLINKS);
}

Result<Fd> open_beneath(const Fd& dir, const std::string& name, int flags) {
  if (leads_out(name)) return Error{name + ": leads out of the state directory", EXDEV};
  return open_retrying(dir.get(), name, flags, 0, RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH);
}

Result<Fd> open_directory(const std::string& path) {
  return open_no_links(path, O_PATH | O_DIRECTORY);
}

Result<Fd> open_private(const std::string& path, int flags) {
  auto fd = open_no_links(path, flags | O_CREAT | O_NONBLOCK, kFileMode);  // a FIFO must not hold us
  if (!fd) return fd;
  struct stat info {};
  if (::fstat(fd->get(), &info) != 0) return errno_error(path, errno);
  if (S_ISFIFO(info.st_mode)) return Error{path + ": is in the way, a file is needed", EEXIST};
  ::fcntl(fd->get(), F_SETFL, flags & ~(O_CREAT | O_EXCL));
  // The umask took away what the owner needs.
  const bool shut_out = (info.st_mode & kFileMode) != kFileMode && info.st_uid == ::geteuid();
  if (shut_out && ::fchmod(fd->get(), kFileMode) != 0) return errno_error(path, errno);
  return fd;
}

Result<bool> make_private_directory(const std::string& path) {
  const std::filesystem::path whole(path);
  const std::string name = whole.filename().string();
  const std::string parent = whole.has_parent_path() ? whole.parent_path().string() : ".";
  auto dir = open_directory(parent);
  if (!dir) return dir.error();
  if (::mkdirat(dir->get(), name.c_str(), kDirectoryMode) == 0) {
    if (::fchmodat(dir->get(), name.c_str(), kDirectoryMode, 0) != 0) return errno_error(path, errno);
    return true;
  }
  if (errno != EEXIST) return errno_error("cannot make the directory " + path, errno);
  struct stat info {};
  if (::fstatat(dir->get(), name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) return errno_error(path, errno);
  if (S_ISLNK(info.st_mode)) return link_error(path);
  if (!S_ISDIR(info.st_mode)) return Error{path + ": is in the way, a directory is needed", ENOTDIR};
  return false;
}

}  // namespace runner::util
