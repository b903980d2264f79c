#include "proc/program.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <string_view>

namespace runner::proc {
namespace {

/// 0, or why this is not a program we may execute.
int check(const std::string& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) return errno;
  if (S_ISDIR(info.st_mode)) return ENOENT;  // a directory named like the program: the search goes on
  return ::faccessat(AT_FDCWD, path.c_str(), X_OK, AT_EACCESS) == 0 ? 0 : errno;
}

}  // namespace

util::Result<std::string> find_program(const std::string& name, const char* path, const std::string& workdir) {
  if (name.empty()) return util::Error{"cannot execute '': the command is empty", ENOENT};
  if (name.find('/') != std::string::npos) return name;
  std::string_view rest = path == nullptr ? "/bin:/usr/bin" : path;
  int denied = 0;
  while (true) {
    const auto colon = rest.find(':');
    const auto entry = rest.substr(0, colon);
    std::string candidate = entry.empty() || entry.front() != '/' ? workdir + "/" : "";
    candidate.append(entry);
    if (!entry.empty()) candidate += '/';
    candidate += name;
    const int error = check(candidate);
    if (error == 0) return candidate;
    if (error == EACCES) denied = error;
    if (colon == std::string_view::npos) break;
    rest.remove_prefix(colon + 1);
  }
  if (denied != 0) return util::errno_error("cannot execute '" + name + "'", denied);
  return util::Error{"cannot execute '" + name + "': not found in PATH", ENOENT};
}

}  // namespace runner::proc
