#include "store/state_dir.hpp"

#include <fcntl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <filesystem>

#include "util/private_file.hpp"
#include "util/text.hpp"
#include "util/trust.hpp"

namespace runner::store {

namespace fs = std::filesystem;
using util::errno_error;
using util::Result;

namespace {

/// A directory above the state directory: as the umask has it, but never for everyone to write to: they could put
/// another state directory in the place of ours.
Result<bool> make_parent(const std::string& path) {
  if (::mkdir(path.c_str(), 0775) != 0) {
    if (errno != EEXIST) return errno_error("cannot make the directory " + path, errno);
    std::error_code failure;
    if (!fs::is_directory(path, failure)) return util::Error{path + ": is in the way, a directory is needed", ENOTDIR};
    return false;
  }
  return true;
}

Result<void> make_parents(const fs::path& path) {
  const fs::path parent = path.parent_path();
  std::error_code failure;
  if (parent.empty() || fs::is_directory(parent, failure)) return {};
  if (auto made = make_parents(parent); !made) return made;
  const auto made = make_parent(parent.string());
  if (!made) return made.error();
  if (*made && parent.filename() == ".runner") {
    // A convenience: what cannot be written here shows again, with a message, a moment later.
    auto ignore = util::open_file(parent / ".gitignore", O_WRONLY | O_CREAT | O_EXCL, 0666);
    if (ignore) (void)util::write_all(ignore->get(), "*\n", ".gitignore");
  }
  return util::sync_directory(parent.parent_path().empty() ? "." : parent.parent_path().string());
}

/// Complete or not there, to whoever looks and whatever happens: written beside it and renamed.
Result<void> write_file(const std::string& path, std::string_view text) {
  const std::string draft = path + ".new";
  ::unlink(draft.c_str());
  auto fd = util::open_private(draft, O_WRONLY | O_EXCL);
  if (!fd) return fd.error();
  if (auto written = util::write_all(fd->get(), text, draft); !written) return written;
  if (::rename(draft.c_str(), path.c_str()) != 0) return errno_error(path, errno);
  return {};
}

Result<void> replace_symlink(const std::string& path, const std::string& target) {
  const std::string draft = path + ".new";
  ::unlink(draft.c_str());
  if (::symlink(target.c_str(), draft.c_str()) != 0) return errno_error(draft, errno);
  if (::rename(draft.c_str(), path.c_str()) == 0) return {};
  if (errno == EISDIR || errno == ENOTEMPTY || errno == EEXIST)
    return util::Error{path + ": a directory is in the way, a symbolic link belongs there: remove it", errno};
  return errno_error(path, errno);
}

/// An id names one directory and no path: the record may be damaged, and prune() deletes.
bool is_plain_name(std::string_view id) {
  return !id.empty() && id.front() != '.' && id.find('/') == std::string_view::npos;
}

/// With the symbolic links above it resolved: those are where the user put them, from here on none is followed.
std::string resolved(const std::string& path) {
  fs::path whole = fs::path(path).lexically_normal();
  if (!whole.has_filename()) whole = whole.parent_path();  // "dir/"
  if (whole.filename() == "..") return path;
  std::error_code failure;
  const fs::path parent = fs::weakly_canonical(whole.has_parent_path() ? whole.parent_path() : ".", failure);
  return failure ? path : (parent / whole.filename()).string();
}

/// Nobody else can change what is in it, or put another in its place.
Result<void> check_private(const std::string& path) {
  struct stat info {};
  if (::lstat(path.c_str(), &info) != 0) return errno_error(path, errno);
  if ((info.st_mode & 022U) != 0) {
    return util::Error{path + ": other users may write to it, and so change the record; type: chmod go-w " +
                       util::shell_quote_for_display(path) + " (or choose another place with --state-dir)"};
  }
  return {};
}

}  // namespace

StateDir::StateDir(const std::string& path) : path_(resolved(path)) {}

Result<void> StateDir::create() const {
  const std::string parent = fs::path(path_).parent_path().string();
  if (const std::string open = util::writable_by_everyone(path_); !open.empty() && open != path_) {
    return util::Error{path_ + ": everyone may write to " + open +
                       ", and so put another directory in its place; type: chmod o-w " +
                       util::shell_quote_for_display(open) + " (or choose another place with --state-dir)"};
  }
  if (auto made = make_parents(path_); !made) return made;
  const auto made = util::make_private_directory(path_);
  if (!made) return made.error();
  if (auto checked = check_private(path_); !checked) return checked;
  if (::access(path_.c_str(), R_OK | W_OK | X_OK) != 0) {
    return errno_error(path_ + ": cannot be written to (choose another place with --state-dir)", errno);
  }
  return *made ? util::sync_directory(parent.empty() ? "." : parent) : Result<void>();
}

bool StateDir::exists() const {
  struct stat info {};
  return ::lstat(path_.c_str(), &info) == 0;
}

std::string StateDir::run_dir(std::string_view run_id) const {
  return path_ + "/runs/" + std::string(run_id);
}

Result<void> StateDir::create_run_dir(std::string_view run_id, std::string_view spec_text) const {
  if (!is_plain_name(run_id)) return util::Error{path_ + ": the record is damaged: a run has an id that is a path"};
  const std::string dir = run_dir(run_id);
  for (const std::string& path : {path_ + "/runs", dir, dir + "/slices"}) {
    if (auto made = util::make_private_directory(path); !made) return made.error();
  }
  return write_file(dir + "/spec.yaml", spec_text);
}

Result<void> StateDir::set_latest(std::string_view run_id) const {
  return replace_symlink(path_ + "/latest", "runs/" + std::string(run_id));
}

void StateDir::tidy(std::string_view run_id) const {
  if (!is_plain_name(run_id)) return;
  const fs::path dir = run_dir(run_id);
  std::error_code failure;
  const fs::path state(path_);
  for (const fs::path& left :
       {dir / "spec.yaml.new", dir / "notify", state / "latest.new", state / "control", state / "control.sock"})
    fs::remove(left, failure);
  // Of attempts whose end is not known, which do not count. Links are not followed.
  if (const auto held = util::open_directory(dir.string())) {
    fs::remove_all("/proc/self/fd/" + std::to_string(held->get()) + "/counters", failure);
  }
  failure.clear();
  for (fs::directory_iterator entry(dir / "slices", failure), end; !failure && entry != end; entry.increment(failure)) {
    std::error_code gone;
    const bool hidden = entry->path().filename().string().front() == '.';
    if (hidden && entry->is_regular_file(gone) && entry->file_size(gone) == 0) fs::remove(entry->path(), gone);
  }
}

std::vector<std::string> StateDir::prune(const std::vector<std::string>& run_ids_newest_first,
                                         std::uint32_t keep) const {
  std::vector<std::string> removed;
  for (std::size_t i = keep == 0 ? 1 : keep; i < run_ids_newest_first.size(); ++i) {
    if (remove_run_dir(run_ids_newest_first[i])) removed.push_back(run_ids_newest_first[i]);
  }
  return removed;
}

bool StateDir::remove_run_dir(const std::string& run_id) const {
  // Held open, so that what is removed is below it whatever becomes of its name.
  const auto runs = util::open_directory(path_ + "/runs");
  if (!runs) return runs.error().errno_value == ENOENT;
  std::error_code failure;
  if (!is_plain_name(run_id)) return false;
  fs::remove_all("/proc/self/fd/" + std::to_string(runs->get()) + "/" + run_id, failure);  // follows no links in it
  return !failure;
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
