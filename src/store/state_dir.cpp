#include "store/state_dir.hpp"

#include <fcntl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <filesystem>

namespace runner::store {

namespace fs = std::filesystem;
using util::errno_error;
using util::Result;

namespace {

/// A new entry is safe only once its directory is on disk too. File systems that cannot do this (EINVAL) need not.
Result<void> sync_directory(const std::string& path) {
  auto fd = util::open_file(path, O_RDONLY | O_DIRECTORY);
  if (!fd) return fd.error();
  if (::fsync(fd->get()) != 0 && errno != EINVAL) return errno_error(path, errno);
  return {};
}

/// One directory with exactly this mode; one that is there keeps the mode it has. True: it is new.
Result<bool> make_directory(const std::string& path, std::optional<mode_t> mode) {
  if (::mkdir(path.c_str(), mode.value_or(0777)) == 0) {
    if (mode && ::chmod(path.c_str(), *mode) != 0) return errno_error(path, errno);
    return true;
  }
  if (errno != EEXIST) return errno_error("cannot make the directory " + path, errno);
  std::error_code failure;
  if (!fs::is_directory(path, failure)) return util::Error{path + ": is in the way, a directory is needed", ENOTDIR};
  return false;
}

Result<void> make_parents(const fs::path& path) {
  const fs::path parent = path.parent_path();
  std::error_code failure;
  if (parent.empty() || fs::is_directory(parent, failure)) return {};
  if (auto made = make_parents(parent); !made) return made;
  const auto made = make_directory(parent.string(), std::nullopt);
  if (!made) return made.error();
  if (*made && parent.filename() == ".runner") {
    // A convenience: what cannot be written here shows again, with a message, a moment later.
    auto ignore = util::open_file(parent / ".gitignore", O_WRONLY | O_CREAT | O_EXCL, 0666);
    if (ignore) (void)util::write_all(ignore->get(), "*\n", ".gitignore");
  }
  return sync_directory(parent.parent_path().empty() ? "." : parent.parent_path().string());
}

/// Complete or not there, to whoever looks and whatever happens: written beside it and renamed.
Result<void> write_file(const std::string& path, std::string_view text) {
  const std::string draft = path + ".new";
  ::unlink(draft.c_str());
  auto fd = util::open_file(draft, O_WRONLY | O_CREAT | O_EXCL, 0600);
  if (!fd) return fd.error();
  if (auto written = util::write_all(fd->get(), text, draft); !written) return written;
  if (::rename(draft.c_str(), path.c_str()) != 0) return errno_error(path, errno);
  return {};
}

Result<void> replace_symlink(const std::string& path, const std::string& target) {
  const std::string draft = path + ".new";
  ::unlink(draft.c_str());
  if (::symlink(target.c_str(), draft.c_str()) != 0) return errno_error(draft, errno);
  if (::rename(draft.c_str(), path.c_str()) != 0) return errno_error(path, errno);
  return {};
}

/// An id names one directory and no path: the record may be damaged, and prune() deletes.
bool is_plain_name(const std::string& id) {
  return !id.empty() && id.front() != '.' && id.find('/') == std::string::npos;
}

}  // namespace

Result<void> StateDir::create() const {
  if (auto made = make_parents(path_); !made) return made;
  const auto made = make_directory(path_, 0700);
  if (!made) return made.error();
  if (::access(path_.c_str(), R_OK | W_OK | X_OK) != 0) {
    return errno_error(path_ + ": cannot be written to (choose another place with --state-dir)", errno);
  }
  const std::string parent = fs::path(path_).parent_path().string();
  return *made ? sync_directory(parent.empty() ? "." : parent) : Result<void>();
}

bool StateDir::exists() const {
  std::error_code failure;
  return fs::is_directory(path_, failure);
}

std::string StateDir::run_dir(std::string_view run_id) const {
  return path_ + "/runs/" + std::string(run_id);
}

Result<void> StateDir::create_run_dir(std::string_view run_id, std::string_view spec_text) const {
  const std::string dir = run_dir(run_id);
  for (const std::string& path : {path_ + "/runs", dir, dir + "/slices"}) {
    if (auto made = make_directory(path, 0700); !made) return made.error();
  }
  if (auto written = write_file(dir + "/spec.yaml", spec_text); !written) return written;
  return replace_symlink(path_ + "/latest", "runs/" + std::string(run_id));
}

std::vector<std::string> StateDir::prune(const std::vector<std::string>& run_ids_newest_first,
                                         std::uint32_t keep) const {
  std::vector<std::string> removed;
  for (std::size_t i = keep == 0 ? 1 : keep; i < run_ids_newest_first.size(); ++i) {
    const std::string& id = run_ids_newest_first[i];
    std::error_code failure;
    if (!is_plain_name(id)) continue;
    fs::remove_all(run_dir(id), failure);
    if (!failure) removed.push_back(id);
  }
  return removed;
}

std::string new_run_id(util::WallTime now) {
  const std::string local = util::format_local(now);  // 2026-11-21 16:43:28
  std::string id;
  for (const char c : local) {
    if (c >= '0' && c <= '9') id += c;
    if (c == ' ') id += '-';
  }
  constexpr std::string_view kLetters = "abcdefghijkmnpqrstuvwxyz23456789";  // 32 of them, none like another
  std::array<unsigned char, 4> random{};
  if (::getrandom(random.data(), random.size(), 0) != static_cast<ssize_t>(random.size())) {
    // Never for so few bytes (getrandom(2)); the microseconds will do.
    random[0] = static_cast<unsigned char>(now.time_since_epoch().count());
  }
  id += '-';
  for (const unsigned char byte : random) id += kLetters[byte % kLetters.size()];
  return id;
}

}  // namespace runner::store
