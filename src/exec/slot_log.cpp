#include "exec/slot_log.hpp"

#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>

#include "util/private_file.hpp"

namespace runner::exec {
namespace {

/// "100M": as people write it in the spec, where it comes out even.
std::string limit_text(std::uint64_t bytes) {
  for (const auto& [shift, unit] : {std::pair{30U, "G"}, std::pair{20U, "M"}, std::pair{10U, "K"}}) {
    if (bytes != 0 && bytes % (std::uint64_t{1} << shift) == 0) return std::to_string(bytes >> shift) + unit;
  }
  return std::to_string(bytes) + " bytes";
}

/// A file as the *at() calls want it.
struct Place {
  explicit Place(const std::string& path)
      : dir(util::open_directory(std::filesystem::path(path).parent_path())),
        name(std::filesystem::path(path).filename()) {}
  [[nodiscard]] int fd() const { return dir ? dir->get() : -1; }
  void unlink() const { ::unlinkat(fd(), name.c_str(), 0); }

  util::Result<util::Fd> dir;
  std::string name;
};

/// rename(2) that refuses to replace a file. 0 or an errno.
int rename_new(int from_dir, const std::string& from, int to_dir, const std::string& to) {
  if (::renameat2(from_dir, from.c_str(), to_dir, to.c_str(), RENAME_NOREPLACE) == 0) return 0;
  if (errno != EINVAL && errno != ENOSYS) return errno;
  // Not every file system knows that flag. Nobody else makes files here, so looking first is good enough.
  if (::faccessat(to_dir, to.c_str(), F_OK, AT_SYMLINK_NOFOLLOW) == 0) return EEXIST;
  return ::renameat(from_dir, from.c_str(), to_dir, to.c_str()) == 0 ? 0 : errno;
}

int rename_new(const Place& from, const Place& to) {
  for (const auto* place : {&from, &to}) {
    if (!place->dir) return place->dir.error().errno_value;
  }
  return rename_new(from.fd(), from.name, to.fd(), to.name);
}

bool ends_with_newline(const std::string& file, std::uint64_t size) {
  const auto fd = util::open_no_links(file, O_RDONLY);
  char last = 0;
  return size == 0 || (fd && ::pread(fd->get(), &last, 1, static_cast<off_t>(size - 1)) == 1 && last == '\n');
}

}  // namespace

SlotLog::~SlotLog() {
  if (path_.empty()) return;
  const Place place(absolute(path_));
  struct stat info {};
  if (::fstatat(place.fd(), place.name.c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0 && info.st_size == 0) place.unlink();
}

/// "slices/.slot-0.0.17.1.log": slot, job, slice, attempt; `copy`, where that name is in use.
std::string SlotLog::draft_of(const core::AttemptId& id, unsigned copy) const {
  std::string draft = "slices/.slot-" + std::to_string(slot_);
  for (const std::uint64_t part : {std::uint64_t{id.job}, id.slice, std::uint64_t{id.number}})
    draft += "." + std::to_string(part);
  if (copy > 0) draft += "." + std::to_string(copy);
  return draft + ".log";
}

util::Result<int> SlotLog::open(const core::AttemptId& id, bool new_name) {
  if (!path_.empty()) {
    const auto taken_over = take_over(new_name ? draft_of(id, 0) : path_);
    if (!taken_over) return taken_over.error();
    if (*taken_over) return fd_.get();
  }
  unsigned copy = 0;
  while (true) {
    path_ = draft_of(id, copy);
    auto fd = util::open_private(absolute(path_), O_WRONLY | O_APPEND);
    const int error = fd ? 0 : fd.error().errno_value;
    if (fd && !is_taken(fd->get())) {
      fd_ = std::move(*fd);
      return fd_.get();
    }
    const bool in_the_way = fd || error == ELOOP || error == EISDIR || error == EEXIST || error == ENXIO;
    if (in_the_way && util::open_directory(absolute("slices"))) {
      ++copy;  // what is there stays as it is
      continue;
    }
    const auto made = error == ENOENT ? util::make_private_directory(absolute("slices")) : false;
    if (!made || !*made) return std::move(fd.error());
  }
}

/// The file that the attempt before left empty gets the name before anything can be written to it: a reader who
/// finds the old name gone knows that what is in there now is not that attempt's. False: this attempt needs another
/// file. An error: the process is short of something that comes back, and the file is still there then.
util::Result<bool> SlotLog::take_over(const std::string& draft) {
  const auto is_short = [](int error) { return error == EMFILE || error == ENFILE || error == ENOMEM; };
  auto fd = util::open_no_links(absolute(path_), O_WRONLY | O_APPEND);
  if (!fd && is_short(fd.error().errno_value)) return std::move(fd.error());
  if (!fd || is_taken(fd->get())) return false;
  if (path_ != draft) {
    const Place from(absolute(path_));
    if (!from.dir && is_short(from.dir.error().errno_value)) return from.dir.error();
    if (!from.dir) return false;
    if (rename_new(from.fd(), from.name, from.fd(), std::filesystem::path(draft).filename()) != 0) {
      from.unlink();
      return false;
    }
  }
  path_ = draft;
  fd_ = std::move(*fd);
  return true;
}

/// Something is in it: left by a runner that was killed, it is the record's log of that attempt. Or a process that an
/// earlier attempt left behind may still write: the lock belongs to the opening of the file that the attempt was
/// given, so it lasts as long as any process has that. Where there are no locks nothing is known of such processes.
bool SlotLog::is_taken(int fd) const {
  struct stat info {};
  if (::fstat(fd, &info) == 0 && info.st_size > 0) return true;
  if (::flock(fd, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK) return false;
  Place(absolute(path_)).unlink();  // it was empty, and would be in the way for ever
  return true;
}

void SlotLog::begin(std::optional<std::uint64_t> limit) {
  limit_ = limit;
  written_ = 0;
  dropped_ = 0;
  problem_.clear();
}

void SlotLog::append(std::string_view piece) {
  const std::uint64_t room = limit_ ? *limit_ - std::min(*limit_, written_) : piece.size();
  const auto kept = piece.substr(0, room);
  dropped_ += piece.size() - kept.size();
  written_ += kept.size();
  if (kept.empty() || !problem_.empty()) return;
  if (const auto result = util::write_all(fd_.get(), kept, "its log is incomplete"); !result)
    problem_ = result.error().message;
}

void SlotLog::enforce_limit() {
  if (!limit_) return;
  const std::uint64_t now = size();
  if (now <= *limit_ || ::ftruncate(fd_.get(), static_cast<off_t>(*limit_)) != 0) return;
  dropped_ += now - *limit_;
}

std::string SlotLog::end(const std::string& target, bool others_may_write) {
  enforce_limit();
  if (dropped_ > 0) note_limit();
  const bool is_empty = size() == 0;
  fd_.reset();
  if (is_empty) {
    if (others_may_write) {  // what they write now must not appear in the next attempt's log
      Place(absolute(path_)).unlink();
      path_.clear();
    }
    return {};
  }
  const Place from(absolute(path_));
  std::string name = target;
  for (unsigned copy = 1;; ++copy) {
    int error = rename_new(from, Place(absolute(name)));
    if (error == ENOENT) {
      (void)util::make_private_directory(std::filesystem::path(absolute(name)).parent_path());
      error = rename_new(from, Place(absolute(name)));
    }
    if (error == 0) break;
    if (error == ENOENT) {  // the directory is there: it is the file that is not
      problem_ = "its log was removed while it ran";
      path_.clear();
      return {};
    }
    if (error != EEXIST) {
      name = path_;
      break;
    }
    name = target + "." + std::to_string(copy);
  }
  path_.clear();
  return name;
}

std::uint64_t SlotLog::size() const {
  struct stat info {};
  return ::fstat(fd_.get(), &info) == 0 ? static_cast<std::uint64_t>(info.st_size) : 0;
}

void SlotLog::note_limit() {
  std::string note = ends_with_newline(absolute(path_), size()) ? "" : "\n";
  note += "[runner: log limit " + limit_text(*limit_) + " reached; " + std::to_string(dropped_) + " bytes dropped]\n";
  (void)util::write_all(fd_.get(), note, path_);
}

}  // namespace runner::exec
