#include "control/place.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <sstream>
#include <utility>

#include "util/hash.hpp"
#include "util/private_file.hpp"
#include "util/text.hpp"
#include "util/unix_socket.hpp"

namespace runner::control {
namespace {

constexpr const char* kPointer = "/control";
constexpr int kBacklog = 64;

/// A directory, and nobody but this user can change what is in it.
bool is_ours_alone(const std::string& path) {
  struct stat info {};
  return ::lstat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode) && info.st_uid == ::geteuid() &&
         (info.st_mode & 077) == 0;
}

std::string name_for(const std::string& state_dir) {
  std::array<char, 24> text{};
  (void)std::snprintf(text.data(), text.size(), "/%016llx", static_cast<unsigned long long>(util::fnv1a(state_dir)));
  return text.data();
}

std::optional<std::string> made(const std::string& directory) {
  if (::mkdir(directory.c_str(), 0700) == 0) (void)::chmod(directory.c_str(), 0700);
  return is_ours_alone(directory) ? std::optional(directory) : std::nullopt;
}

util::Result<Listener> listen_at(const std::string& path) {
  const auto address = util::unix_address(path);
  if (!address) return util::errno_error("control socket " + path, ENAMETOOLONG);
  util::Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket) return util::errno_error("control socket", errno);
  (void)::fchmod(socket.get(), 0600);  // what bind() makes has this mode
  (void)::unlink(path.c_str());
  if (::bind(socket.get(), address->get(), address->size) != 0 || ::listen(socket.get(), kBacklog) != 0) {
    return util::errno_error("control socket " + path, errno);
  }
  return Listener{std::move(socket), path};
}

/// Where the user's session keeps such things; else beside the record; else, where that path is too long, in /tmp.
util::Result<Listener> listen_somewhere(const std::string& state_dir) {
  const char* runtime = std::getenv("XDG_RUNTIME_DIR");
  if (runtime != nullptr && *runtime == '/' && is_ours_alone(runtime)) {
    const auto directory = made(std::string(runtime) + "/runner");
    if (auto listener = directory ? listen_at(*directory + name_for(state_dir)) : util::Error{}) return listener;
  }
  auto beside = listen_at(state_dir + "/control.sock");
  if (beside) return beside;
  const auto directory = made("/tmp/runner-" + std::to_string(::geteuid()));
  return directory ? listen_at(*directory + name_for(state_dir)) : std::move(beside);
}

}  // namespace

util::Result<Listener> listen_for(const std::string& state_dir) {
  auto listener = listen_somewhere(state_dir);
  if (!listener) return listener;
  const std::string pointer = state_dir + kPointer;
  const auto fd = util::open_private(pointer, O_WRONLY | O_CREAT | O_TRUNC);
  const auto written = fd ? util::write_all(fd->get(), listener->path + "\n", pointer) : util::Result<void>(fd.error());
  if (written) return listener;
  (void)::unlink(listener->path.c_str());
  return written.error();
}

void remove_place(const std::string& state_dir, const std::string& path) {
  (void)::unlink(path.c_str());
  (void)::unlink((state_dir + kPointer).c_str());
}

util::Result<std::string> find_place(const std::string& state_dir) {
  const auto fd = util::open_no_links(state_dir + kPointer, O_RDONLY);
  if (!fd) return fd.error();
  std::array<char, 4096> text{};
  const ssize_t n = ::read(fd->get(), text.data(), text.size());
  if (n <= 0) return util::errno_error(state_dir + kPointer, n < 0 ? errno : ENOENT);
  const std::string_view line(text.data(), static_cast<std::size_t>(n));
  return std::string(line.substr(0, line.find('\n')));
}

Peer peer_of(int socket) {
  ucred who{};
  socklen_t size = sizeof who;
  if (::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &who, &size) != 0) return {};
  return {.trusted = who.uid == ::geteuid() || who.uid == 0, .uid = who.uid};
}

std::string user_name(unsigned uid) {
  constexpr std::size_t kMax = std::size_t{1} << 20U;
  if (const auto text = util::read_file("/etc/passwd", kMax)) {
    std::istringstream lines(*text);
    for (std::string line; std::getline(lines, line);) {
      const auto name_end = line.find(':');
      const auto uid_begin = name_end == std::string::npos ? name_end : line.find(':', name_end + 1);
      if (uid_begin == std::string::npos) continue;
      const auto uid_end = line.find(':', uid_begin + 1);
      if (line.substr(uid_begin + 1, uid_end - uid_begin - 1) == std::to_string(uid)) return line.substr(0, name_end);
    }
  }
  return "uid " + std::to_string(uid);
}

}  // namespace runner::control
