#include "report/output_pump.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <cerrno>
#include <deque>
#include <optional>
#include <string>

namespace runner::report {

namespace asio = boost::asio;

namespace {

constexpr std::size_t kMaxBytes = 1U << 20U;
constexpr std::size_t kMaxFiles = 64;
// A pipe that polls writable takes this much (PIPE_BUF) without blocking, if nobody else fills it in between.
constexpr std::size_t kSafeWrite = 4096;
constexpr std::size_t kFileBlock = 64UL * 1024;
constexpr int kBurst = 64;  // writes in a row before the loop has its turn

/// How to write to the target without blocking.
enum class Way : std::uint8_t {
  direct,  ///< a regular file or /dev/null: always ready
  own,     ///< an open file description of our own, with O_NONBLOCK
  socket,  ///< MSG_DONTWAIT
  careful  ///< at most kSafeWrite after poll
};

struct Target {
  util::Fd fd;
  Way way = Way::careful;
  bool is_terminal = false;
};

Target open_target(int fd) {
  struct stat info {};
  if (::fstat(fd, &info) == 0) {
    if (S_ISREG(info.st_mode)) return {util::Fd(::fcntl(fd, F_DUPFD_CLOEXEC, 3)), Way::direct};
    if (S_ISSOCK(info.st_mode)) return {util::Fd(::fcntl(fd, F_DUPFD_CLOEXEC, 3)), Way::socket};
    // Opening a terminal or a pipe once more gives a description whose flags are ours alone. It may not be permitted
    // (after su) or possible (no /proc).
    if (S_ISFIFO(info.st_mode) || ::isatty(fd) == 1) {
      auto own = util::open_file("/proc/self/fd/" + std::to_string(fd), O_WRONLY | O_NONBLOCK | O_NOCTTY);
      if (own) return {std::move(*own), Way::own};
    }
  }
  return {util::Fd(::fcntl(fd, F_DUPFD_CLOEXEC, 3)), Way::careful};
}

}  // namespace

// The wait: Asio sets O_NONBLOCK on every descriptor it waits for (1.81, reactive_descriptor_service::start_op), so it
// is given an epoll descriptor that watches the target instead of the target.
class OutputPump::Queue : public std::enable_shared_from_this<Queue> {
 public:
  Queue(asio::io_context& io, int fd, PumpEvents events)
      : target_(open_target(fd)), events_(std::move(events)), wait_(io) {
    struct stat info {};  // not isatty(): a terminal that has hung up is none any more
    target_.is_terminal = ::fstat(fd, &info) == 0 && S_ISCHR(info.st_mode);
    if (target_.way == Way::direct) return;
    util::Fd epoll(::epoll_create1(EPOLL_CLOEXEC));
    epoll_event event{};
    event.events = EPOLLOUT;
    if (::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, target_.fd.get(), &event) == 0) {
      wait_.assign(epoll.release());
    } else {
      target_.way = Way::direct;  // EPERM: what cannot be polled never blocks
    }
  }

  void push(std::string_view text) {
    if (broken() || text.empty()) return;
    // Not onto a long one: what is written of a text is freed with all of it.
    if (items_.empty() || items_.back().file.is_open() || items_.back().text.size() > kFileBlock) items_.emplace_back();
    items_.back().text += text;
    bytes_ += text.size();
    pushed();
  }

  void push_file(util::Fd file, std::uint64_t size) {
    if (broken() || size == 0) return;
    Item& item = items_.emplace_back();
    item.file = std::move(file);
    item.left = size;
    ++files_;
    pushed();
  }

  [[nodiscard]] bool ready() const { return broken() || (bytes_ <= kMaxBytes && files_ <= kMaxFiles); }
  [[nodiscard]] bool broken() const { return error_ != 0; }
  [[nodiscard]] int lost() const {
    const bool reader_left = error_ == EPIPE || error_ == ECONNRESET || (error_ == EIO && target_.is_terminal);
    return reader_left ? 0 : error_;
  }

  void flush() {
    while (!broken() && !items_.empty()) {
      const int error = write_once();
      if (error == EAGAIN) {
        pollfd p{target_.fd.get(), POLLOUT, 0};
        ::poll(&p, 1, -1);
      } else if (error != 0) {
        error_ = error;
      }
    }
    items_.clear();
  }

  /// The pump is gone: nobody is to be called any more.
  void close() {
    events_ = {};
    items_.clear();
    boost::system::error_code ignored;
    wait_.close(ignored);
  }

 private:
  /// Text, or a file that is read block by block.
  struct Item {
    std::string text;
    std::size_t written = 0;  ///< of text
    util::Fd file;
    std::uint64_t offset = 0;
    std::uint64_t left = 0;  ///< of file, not yet in text
  };

  void pushed() {
    if (!waiting_) pump();
    if (!ready()) stalled_ = true;
  }

  /// Writes until the target takes no more, then waits.
  void pump() {
    int error = 0;
    for (int n = 0; n < kBurst && !items_.empty() && error == 0; ++n) {
      error = target_.way == Way::careful && !writable() ? EAGAIN : write_once();
    }
    if (error != 0 && error != EAGAIN) {
      fail(error);
    } else if (!items_.empty()) {
      wait();
    }
    if (!ready()) stalled_ = true;  // a block of a file is in memory now
  }

  /// One write(2) from the front of the queue; 0, or the errno.
  int write_once() {
    Item& item = items_.front();
    if (const int error = refill(item); error != 0) return error;
    const std::size_t size = item.text.size() - item.written;
    const ssize_t n = write_some(item.text.data() + item.written, size);
    if (n < 0) return errno == EINTR ? 0 : errno == EWOULDBLOCK ? EAGAIN : errno;
    item.written += static_cast<std::size_t>(n);
    bytes_ -= static_cast<std::size_t>(n);
    if (item.written == item.text.size() && item.left == 0) {
      if (item.file.is_open()) --files_;
      items_.pop_front();
    }
    return 0;
  }

  ssize_t write_some(const char* data, std::size_t size) const {
    switch (target_.way) {
      case Way::socket:
        return ::send(target_.fd.get(), data, size, MSG_DONTWAIT | MSG_NOSIGNAL);
      case Way::careful:
        return ::write(target_.fd.get(), data, std::min(size, kSafeWrite));
      case Way::direct:
      case Way::own:
        break;
    }
    return ::write(target_.fd.get(), data, std::min(size, kFileBlock));
  }

  int refill(Item& item) {
    if (item.written < item.text.size() || item.left == 0) return 0;
    item.text.resize(static_cast<std::size_t>(std::min<std::uint64_t>(item.left, kFileBlock)));
    item.written = 0;
    const ssize_t n = ::pread(item.file.get(), item.text.data(), item.text.size(), static_cast<off_t>(item.offset));
    if (n <= 0) {
      item.text.clear();
      return n < 0 ? errno : EIO;
    }
    item.text.resize(static_cast<std::size_t>(n));
    item.offset += static_cast<std::uint64_t>(n);
    item.left -= static_cast<std::uint64_t>(n);
    bytes_ += static_cast<std::size_t>(n);
    return 0;
  }

  [[nodiscard]] bool writable() const {
    pollfd p{target_.fd.get(), POLLOUT, 0};
    return ::poll(&p, 1, 0) == 1;
  }

  void wait() {
    waiting_ = true;
    const auto go_on = [self = shared_from_this()](const boost::system::error_code& error) {
      self->waiting_ = false;
      if (error) return;
      self->pump();
      if (!self->stalled_ || !self->ready()) return;
      self->stalled_ = false;
      if (self->events_.drained) self->events_.drained();
    };
    if (target_.way == Way::direct) {
      asio::post(wait_.get_executor(), [go_on] { go_on({}); });
    } else {
      wait_.async_wait(asio::posix::stream_descriptor::wait_read, go_on);
    }
  }

  void fail(int error) {
    error_ = error;
    items_.clear();
    bytes_ = files_ = 0;
    // Later, because this may be inside of write().
    asio::post(wait_.get_executor(), [self = shared_from_this(), error] {
      if (self->events_.broken) self->events_.broken(error);
    });
  }

  Target target_;
  PumpEvents events_;
  asio::posix::stream_descriptor wait_;
  std::deque<Item> items_;
  std::size_t bytes_ = 0;
  std::size_t files_ = 0;
  int error_ = 0;  ///< what broke it
  bool waiting_ = false;
  bool stalled_ = false;  ///< ready() was false since drained was last called
};

OutputPump::OutputPump(asio::io_context& io, int fd, PumpEvents events)
    : queue_(std::make_shared<Queue>(io, fd, std::move(events))) {}

OutputPump::~OutputPump() {
  queue_->close();
}

void OutputPump::write(std::string_view text) {
  queue_->push(text);
}

void OutputPump::write_file(util::Fd file, std::uint64_t size) {
  queue_->push_file(std::move(file), size);
}

bool OutputPump::ready() const {
  return queue_->ready();
}

bool OutputPump::broken() const {
  return queue_->broken();
}

int OutputPump::lost() const {
  return queue_->lost();
}

void OutputPump::flush() {
  queue_->flush();
}

bool same_target(int a, int b) {
  struct stat x {};
  struct stat y {};
  return ::fstat(a, &x) == 0 && ::fstat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino &&
         x.st_rdev == y.st_rdev;
}

}  // namespace runner::report
