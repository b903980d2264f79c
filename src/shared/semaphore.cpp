#include "shared/semaphore.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>

#include "util/file_lock.hpp"
#include "util/private_file.hpp"
#include "util/text.hpp"
#include "util/trust.hpp"

namespace runner::shared {
namespace {

using namespace std::chrono_literals;
using util::errno_error;
using util::Error;
using util::Result;

// What the bytes of the file mean to locks. What is written in it is the number of slots.
constexpr off_t kMembers = 0;  ///< shared: all who are inside or wait; alone: may set the number of slots
constexpr off_t kTurn = 1;     ///< the first in the queue
constexpr off_t kFirstSlot = 2;

constexpr auto kFirstLook = 500us;  ///< for a free slot; then doubling
constexpr auto kLastLook = 8ms;
constexpr std::size_t kNumberWidth = 8;  ///< always overwritten as a whole, so no two numbers mix
constexpr std::size_t kLongestName = 64;

/// When waiting is over. While one with a time lives, system calls that wait fail with EINTR once it has come: again
/// and again, as the first time may be just before the call.
class Deadline {
 public:
  explicit Deadline(std::optional<util::Duration> timeout) {
    if (!timeout) return;
    at_ = util::steady_now() + std::min<util::Duration>(*timeout, 365 * 24h);
    struct sigaction action {};
    action.sa_handler = [](int) {};
    ::sigaction(SIGALRM, &action, &former_);
    const auto left = std::max<util::Duration>(at_ - util::steady_now(), 1ms);
    set_timer({.tv_sec = left / 1s, .tv_usec = left % 1s / 1us});
  }
  ~Deadline() {
    if (at_ == util::TimePoint::max()) return;
    set_timer({});
    ::sigaction(SIGALRM, &former_, nullptr);
  }
  Deadline(const Deadline&) = delete;
  Deadline& operator=(const Deadline&) = delete;

  [[nodiscard]] bool is_over() const { return util::steady_now() >= at_; }
  [[nodiscard]] util::Duration left() const { return at_ - util::steady_now(); }

 private:
  static void set_timer(timeval first) {
    const itimerval timer = {.it_interval = {.tv_sec = 0, .tv_usec = 50'000}, .it_value = first};
    ::setitimer(ITIMER_REAL, &timer, nullptr);
  }
  util::TimePoint at_ = util::TimePoint::max();
  struct sigaction former_ {};
};

/// 0 or an errno; EAGAIN: others have it.
int try_lock(int fd, off_t byte, short type) {
  return util::try_lock(fd, util::file_lock(type, byte, 1));
}

/// 0 or an errno; ETIMEDOUT.
int wait_for_lock(int fd, off_t byte, short type, const Deadline& deadline) {
  int error = try_lock(fd, byte, type);
  while (error == EAGAIN || error == EINTR) {
    if (deadline.is_over()) return ETIMEDOUT;
    struct flock lock = util::file_lock(type, byte, 1);
    error = ::fcntl(fd, F_OFD_SETLKW, &lock) == 0 ? 0 : errno;
  }
  return error;
}

void pause_for(util::Duration time) {
  const timespec wait = {.tv_sec = time / 1s, .tv_nsec = (time % 1s).count()};
  ::nanosleep(&wait, nullptr);
}

/// The number of slots that was agreed on; 0: none yet.
std::uint32_t agreed_slots(int fd) {
  std::array<char, kNumberWidth> text{};
  const ssize_t n = ::pread(fd, text.data(), text.size(), 0);
  if (n != static_cast<ssize_t>(text.size())) return 0;
  const auto number = util::parse_int(util::trim({text.data(), text.size()}));
  return number && *number >= 1 && *number <= kMaxSlots ? static_cast<std::uint32_t>(*number) : 0;
}

int set_agreed_slots(int fd, std::uint32_t slots) {
  std::string text = std::to_string(slots) + "\n";
  text.insert(0, kNumberWidth - text.size(), ' ');
  const ssize_t n = ::pwrite(fd, text.data(), text.size(), 0);
  if (n == static_cast<ssize_t>(text.size())) return 0;
  return n < 0 ? errno : ENOSPC;
}

/// Becomes one of those who have agreed on `slots`. 0 or an errno; EBUSY: the others are for another number.
int join(int fd, std::uint32_t slots, const Deadline& deadline) {
  while (true) {
    int error = try_lock(fd, kMembers, F_WRLCK);
    if (error == EAGAIN) {
      error = wait_for_lock(fd, kMembers, F_RDLCK, deadline);
      if (error != 0) return error;
      const std::uint32_t agreed = agreed_slots(fd);
      if (agreed == slots) return 0;
      error = try_lock(fd, kMembers, F_WRLCK);  // they may have left
      if (error == EAGAIN && agreed != 0) return EBUSY;
    }
    if (error == 0) {
      if (agreed_slots(fd) != slots) error = set_agreed_slots(fd, slots);
      return error != 0 ? error : try_lock(fd, kMembers, F_RDLCK);
    }
    if (error != EAGAIN) return error;
    (void)try_lock(fd, kMembers, F_UNLCK);  // the one who was to write the number is gone: one of us will be alone
    pause_for(kFirstLook);
  }
}

/// The first free slot; nullopt: all are held.
Result<std::optional<std::uint32_t>> find_slot(int fd, std::uint32_t slots) {
  for (std::uint32_t slot = 0; slot < slots; ++slot) {
    const int error = try_lock(fd, kFirstSlot + slot, F_WRLCK);
    if (error == 0) return std::optional(slot);
    if (error != EAGAIN) return errno_error("a slot cannot be locked", error);
  }
  return std::optional<std::uint32_t>();
}

/// Stands in the queue until it is first and finds a slot.
Result<std::uint32_t> wait_for_slot(int fd, std::uint32_t slots, const Deadline& deadline) {
  const int error = wait_for_lock(fd, kTurn, F_WRLCK, deadline);
  if (error != 0) return Error{"", error};
  util::Duration pause = kFirstLook;
  while (true) {
    const auto found = find_slot(fd, slots);
    if (!found) return found.error();
    if (*found) {
      (void)try_lock(fd, kTurn, F_UNLCK);
      return **found;
    }
    if (deadline.is_over()) return Error{"", ETIMEDOUT};
    pause_for(std::min(pause, deadline.left()));
    pause = std::min<util::Duration>(pause * 2, kLastLook);
  }
}

/// Made where it is not there, and nobody else's to write to.
Result<std::string> prepare_directory(const std::string& wanted) {
  namespace fs = std::filesystem;
  std::error_code failure;
  std::string path = fs::weakly_canonical(wanted, failure).string();
  if (failure) return errno_error(wanted, failure.value());
  if (!path.empty() && path.back() == '/') path.pop_back();  // of a directory that is not there
  if (!fs::is_directory(path, failure)) {
    if (auto made = util::make_private_directory(path); !made) return made.error();
  }
  if (util::writable_by_everyone(path).empty()) return path;
  return Error{util::escape_for_display(path) + ": everyone may write to it, or exchange it; choose another directory"};
}

Error explained(const std::string& name, const Error& error, std::uint32_t slots, int fd) {
  if (error.errno_value == ETIMEDOUT) {
    return {(slots == 1 ? "the one slot of " + name + " was not"
                        : "none of the " + std::to_string(slots) + " slots of " + name + " was") +
                " free in time",
            ETIMEDOUT};
  }
  if (error.errno_value == EBUSY) {
    const std::uint32_t agreed = agreed_slots(fd);
    return {name + " has " + std::to_string(agreed) + (agreed == 1 ? " slot" : " slots") +
                " while anybody holds one or waits, not " + std::to_string(slots) +
                "; give the same --slots everywhere",
            EBUSY};
  }
  if (error.message.empty()) return errno_error("cannot lock " + name, error.errno_value);
  return error;
}

}  // namespace

bool is_semaphore_name(std::string_view name) {
  const auto is_good = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-' ||
           c == '.';
  };
  return !name.empty() && name.size() <= kLongestName && name.front() != '.' && name.front() != '-' &&
         std::ranges::all_of(name, is_good);
}

Result<Semaphore> Semaphore::take(const std::string& directory, const std::string& name, std::uint32_t slots,
                                  std::optional<util::Duration> timeout) {
  const auto path = prepare_directory(directory);
  if (!path) return path.error();
  auto file = util::open_private(*path + "/" + name + ".sem", O_RDWR);
  if (!file) return file.error();
  const Deadline deadline(timeout);
  if (const int error = join(file->get(), slots, deadline); error != 0) {
    return explained(name, {"", error}, slots, file->get());
  }
  const auto slot = wait_for_slot(file->get(), slots, deadline);
  if (!slot) return explained(name, slot.error(), slots, file->get());
  return Semaphore(std::move(*file), *slot);
}

void Semaphore::give_back() {
  if (!file_) return;
  (void)util::try_lock(file_.get(), util::file_lock(F_UNLCK));
  file_.reset();
}

}  // namespace runner::shared
