// The lock of a state directory: an open file description lock and, in the file, a note that says who holds it. Where
// other hosts may not see locks (shared_file_system()), the note is rewritten now and then: a sign of life to them.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <string>
#include <thread>

#include "store/file_system.hpp"
#include "store/state_dir.hpp"
#include "util/file_lock.hpp"
#include "util/private_file.hpp"
#include "util/text.hpp"

namespace runner::store {

using util::errno_error;
using util::Error;
using util::Result;

namespace {

using namespace std::chrono_literals;

constexpr auto kSettles = 2s;  ///< how long a note may contradict the lock: a holder that comes, or has just died
constexpr auto kLook = 5ms;

std::string host_name() {
  std::array<char, HOST_NAME_MAX + 1> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 ? std::string(name.data()) : "?";
}

/// Two hosts may have one name, and one host two lives.
std::string kernel_id() {
  const auto id = util::read_file("/proc/sys/kernel/random/boot_id", 100);
  return id ? std::string(util::trim(*id)) : "?";
}

/// "host\npid\nstarted at\nkernel\nbeats\n"; anything else, such as a note half written, leaves the fields empty.
struct Note {
  LockOwner owner;
  std::string kernel;
  std::string beats;
};

Note read_note(int fd) {
  std::array<char, 1024> buffer{};
  const ssize_t n = ::pread(fd, buffer.data(), buffer.size(), 0);
  if (n <= 0) return {};
  const auto lines = util::split({buffer.data(), static_cast<std::size_t>(n)}, '\n');
  if (lines.size() < 6) return {};
  const auto pid = util::parse_int(lines[1]);
  if (!pid || *pid <= 0 || *pid > INT_MAX) return {};
  return {.owner = {.host = std::string(lines[0]), .pid = static_cast<int>(*pid), .started_at = std::string(lines[2])},
          .kernel = std::string(lines[3]),
          .beats = std::string(lines[4])};
}

/// Opened anew, so that a network file system asks its server.
Note read_note(const std::string& path) {
  const auto fd = util::open_no_links(path, O_RDONLY | O_NONBLOCK);
  return fd ? read_note(fd->get()) : Note();
}

/// In one write: no reader finds a mixture, and what is cut off after it no reader looks at.
Result<void> write_note(int fd, const std::string& path, const Note& note) {
  const std::string text = note.owner.host + "\n" + std::to_string(note.owner.pid) + "\n" + note.owner.started_at +
                           "\n" + note.kernel + "\n" + note.beats + "\n";
  if (::pwrite(fd, text.data(), text.size(), 0) != static_cast<ssize_t>(text.size())) return errno_error(path, errno);
  if (::ftruncate(fd, static_cast<off_t>(text.size())) != 0) return errno_error(path, errno);
  if (note.beats != "0" && ::fdatasync(fd) != 0 && errno != EINVAL) return errno_error(path, errno);
  return {};
}

Note own_note() {
  return {.owner = {.host = host_name(), .pid = ::getpid(), .started_at = util::format_local(util::wall_now())},
          .kernel = kernel_id(),
          .beats = "0"};
}

bool is_same_holder(const Note& a, const Note& b) {
  return a.owner.host == b.owner.host && a.owner.pid == b.owner.pid && a.kernel == b.kernel &&
         a.owner.started_at == b.owner.started_at;
}

/// False: the note is empty, or of a process that was killed here, and whoever has the lock has not written yet.
bool is_plausible(const LockOwner& owner) {
  if (owner.pid == 0) return false;
  return owner.host != host_name() || ::access(("/proc/" + std::to_string(owner.pid)).c_str(), F_OK) == 0;
}

/// Whether the file that is open still has this name.
Result<bool> names_file(const std::string& path, int fd) {
  struct stat opened {};
  struct stat named {};
  if (::fstat(fd, &opened) != 0 || ::stat(path.c_str(), &named) != 0) {
    if (errno == ENOENT || errno == ESTALE) return false;  // ESTALE: removed on another client of the same NFS
    return errno_error("cannot look at " + path, errno);
  }
  return opened.st_ino == named.st_ino && opened.st_dev == named.st_dev;
}

/// Watches the note of a holder on another host for a sign of life.
bool is_beating(const std::string& path, const Note& note, util::Duration silence) {
  const auto deadline = util::steady_now() + silence;
  while (util::steady_now() < deadline) {
    std::this_thread::sleep_for(std::min<util::Duration>(silence / 10, 500ms));  // before the run: nobody waits for us
    const Note now = read_note(path);
    if (now.owner.pid == 0) return false;  // it has ended in order
    if (now.beats != note.beats || !is_same_holder(now, note)) return true;
  }
  return false;
}

}  // namespace

// ---- who holds it

struct StateLock::Held {
  util::Fd fd;
  std::string path;
  Note note;
  std::optional<util::Duration> beat;  ///< how often to give a sign of life; unset: locks are seen by all
  util::TimePoint last_beat{};
  std::uint64_t beats = 0;
};

StateLock::StateLock(std::unique_ptr<Held> held) : held_(std::move(held)) {}
StateLock::StateLock(StateLock&&) noexcept = default;
StateLock& StateLock::operator=(StateLock&&) noexcept = default;

StateLock::~StateLock() {
  // An empty note says that the run has ended: nobody has to wait for a sign of life.
  if (held_ && is_same_holder(read_note(held_->fd.get()), held_->note)) (void)!::ftruncate(held_->fd.get(), 0);
}

std::string StateLock::place() const {
  struct stat info {};
  return ::fstat(held_->fd.get(), &info) == 0 ? std::to_string(info.st_ino) : std::string();
}

Result<void> StateLock::keep() {
  const auto is_there = names_file(held_->path, held_->fd.get());
  if (!is_there) return is_there.error();
  if (!*is_there) {
    return Error{held_->path + ": was removed or replaced while the run was live, and another run may have begun"};
  }
  const auto now = util::steady_now();
  if (!held_->beat || now - held_->last_beat < *held_->beat) return {};
  held_->last_beat = now;
  const Note there = read_note(held_->path);
  if (!is_same_holder(there, held_->note)) {
    return Error{held_->path + ": was taken over by pid " + std::to_string(there.owner.pid) + " on " +
                 there.owner.host + ", which saw no sign of life of this run"};
  }
  held_->note.beats = std::to_string(++held_->beats);
  return write_note(held_->fd.get(), held_->path, held_->note);
}

// ---- taking it and asking for it

namespace {

/// The owner, once its note can be believed; nullopt: the lock is worth another try.
std::optional<LockOwner> believe(const Note& note, util::TimePoint deadline) {
  if (is_plausible(note.owner) || util::steady_now() >= deadline) return note.owner;
  std::this_thread::sleep_for(kLook);
  return std::nullopt;
}

}  // namespace

Result<std::variant<StateLock, LockOwner>> StateDir::lock(const LockOptions& options) const {
  const std::string path = path_ + "/lock";
  const auto deadline = util::steady_now() + kSettles;
  while (true) {
    auto fd = util::open_private(path, O_RDWR);
    if (!fd) return fd.error();
    const int refused = util::try_lock(fd->get(), util::file_lock(F_WRLCK));
    const Note before = read_note(fd->get());
    if (refused == EAGAIN) {
      if (auto owner = believe(before, deadline)) return std::variant<StateLock, LockOwner>(std::move(*owner));
      continue;
    }
    if (refused != 0) {
      return errno_error(path + ": this file system gives no locks, and without one two runs could share the record " +
                             "(mount it with locking, or choose another place with --state-dir)",
                         refused);
    }
    const auto is_there = names_file(path, fd->get());
    if (!is_there) return is_there.error();
    if (!*is_there) continue;  // it was removed before we had the lock
    const auto shared = shared_file_system_of(path);
    if (!shared) return shared.error();
    const bool beats = options.shared || shared->has_value();
    const Note own = own_note();
    const bool other_host =
        before.owner.pid != 0 && (before.owner.host != own.owner.host || before.kernel != own.kernel);
    if (beats && other_host) {
      if (options.waits) options.waits(before.owner, options.silence);
      if (is_beating(path, before, options.silence)) return std::variant<StateLock, LockOwner>(read_note(path).owner);
    }
    if (auto written = write_note(fd->get(), path, own); !written) return written.error();
    auto held = std::make_unique<StateLock::Held>();
    held->fd = std::move(*fd);
    held->path = path;
    held->note = own;
    if (beats) held->beat = options.beat;
    return std::variant<StateLock, LockOwner>(std::in_place_type<StateLock>, std::move(held));
  }
}

std::optional<LockOwner> StateDir::owner() const {
  auto fd = util::open_no_links(path_ + "/lock", O_RDONLY | O_NONBLOCK);
  if (!fd) return std::nullopt;
  struct flock lock = util::file_lock(F_RDLCK);
  if (::fcntl(fd->get(), F_OFD_GETLK, &lock) != 0 || lock.l_type == F_UNLCK) return std::nullopt;
  return read_note(fd->get()).owner;
}

}  // namespace runner::store
