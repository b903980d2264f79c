#include "util/trust.hpp"

#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <system_error>

namespace runner::util {
namespace {

namespace fs = std::filesystem;

bool is_open(const fs::path& path, bool on_the_way) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) return false;
  const bool sticky = on_the_way && (info.st_mode & S_ISVTX) != 0;
  return (info.st_mode & S_IWOTH) != 0 && !sticky;
}

/// The outermost, which has to be mended first.
std::string first_open(const fs::path& path) {
  fs::path at;
  for (const auto& part : path) {
    at /= part;
    if (is_open(at, at != path)) return at.string();
  }
  return {};
}

}  // namespace

std::string writable_by_everyone(const std::string& path) {
  std::error_code error;
  const fs::path whole = fs::absolute(path, error);
  if (error) return {};
  std::string open = first_open(whole);
  if (open.empty()) {
    const fs::path real = fs::canonical(whole, error);
    if (!error) open = first_open(real);
  }
  return open;
}

std::string foreign_owner(const std::string& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0 || info.st_uid == ::geteuid() || info.st_uid == 0) return {};
  std::array<char, 4096> buffer{};
  passwd entry{};
  passwd* found = nullptr;
  (void)::getpwuid_r(info.st_uid, &entry, buffer.data(), buffer.size(), &found);
  return found != nullptr ? found->pw_name : "user " + std::to_string(info.st_uid);
}

bool has_borrowed_rights() {
  return ::getuid() != ::geteuid() || ::getgid() != ::getegid();
}

}  // namespace runner::util
