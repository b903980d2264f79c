#include "exec/notify_socket.hpp"

#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <charconv>
#include <cstddef>
#include <cstring>
#include <optional>
#include <utility>

#include "util/fd.hpp"
#include "util/text.hpp"
#include "util/unix_socket.hpp"

namespace runner::exec {

namespace asio = boost::asio;

namespace {

constexpr std::size_t kMaxMessage = 4096;
constexpr std::size_t kMaxStatus = 200;
constexpr int kAtOnce = 64;  ///< messages, before the loop's other work has its turn
constexpr std::size_t kMaxDescriptors = 16;

util::Fd bound_socket(const std::string& text) {
  const auto address = util::unix_address(text);
  if (!address) return {};
  util::Fd fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.is_open()) return {};
  if (text[0] != '@') ::unlink(text.c_str());  // of an engine that was killed
  const int on = 1;
  const bool good = ::bind(fd.get(), address->get(), address->size) == 0 &&
                    ::setsockopt(fd.get(), SOL_SOCKET, SO_PASSCRED, &on, sizeof on) == 0;
  return good ? std::move(fd) : util::Fd();
}

struct Received {
  pid_t sender = 0;
  std::string text;
};

/// nullopt: nothing more now. Descriptors that come along are closed: systemd-notify waits for that (BARRIER=1).
std::optional<Received> receive(int fd) {
  std::array<char, kMaxMessage> text{};
  iovec data{text.data(), text.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(ucred)) + CMSG_SPACE(kMaxDescriptors * sizeof(int))> control{};
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  const ssize_t size = ::recvmsg(fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (size < 0) return std::nullopt;
  Received received;
  received.text.assign(text.data(), static_cast<std::size_t>(size));
  for (cmsghdr* part = CMSG_FIRSTHDR(&message); part != nullptr; part = CMSG_NXTHDR(&message, part)) {
    if (part->cmsg_level != SOL_SOCKET) continue;
    if (part->cmsg_type == SCM_CREDENTIALS) {
      ucred sender{};
      std::memcpy(&sender, CMSG_DATA(part), sizeof sender);
      if (sender.uid == ::geteuid() || sender.uid == 0) received.sender = sender.pid;
    } else if (part->cmsg_type == SCM_RIGHTS) {
      const std::size_t bytes = part->cmsg_len - CMSG_LEN(0);
      for (std::size_t at = 0; at + sizeof(int) <= bytes; at += sizeof(int)) {
        int passed = -1;
        std::memcpy(&passed, CMSG_DATA(part) + at, sizeof passed);
        util::Fd(passed).reset();
      }
    }
  }
  return received;
}

}  // namespace

class NotifySocket::Impl : public std::enable_shared_from_this<Impl> {
 public:
  Impl(asio::io_context& io, Told told) : told_(std::move(told)), socket_(io) {}
  ~Impl() {
    if (!address_.empty() && address_[0] != '@') ::unlink(address_.c_str());
  }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  void open(const std::string& directory, const std::string& name) {
    for (const std::string& text : {directory + "/notify", "@" + name}) {
      util::Fd fd = bound_socket(text);
      boost::system::error_code ec;
      if (fd.is_open()) socket_.assign(fd.get(), ec);
      if (!fd.is_open() || ec) continue;
      fd.release();  // socket_'s now
      address_ = text;
      return wait();
    }
  }
  void close() {
    boost::system::error_code ec;
    socket_.close(ec);
  }
  [[nodiscard]] const std::string& address() const { return address_; }

 private:
  void wait() {
    socket_.async_wait(asio::posix::stream_descriptor::wait_read,
                       [self = shared_from_this()](const boost::system::error_code& ec) {
                         if (!ec) self->take();
                       });
  }

  void take() {
    for (int n = 0; n < kAtOnce; ++n) {
      const auto received = receive(socket_.native_handle());
      if (!received) break;
      const core::Report report = parse_notification(received->text);
      if (received->sender > 0 && !report.empty()) told_(received->sender, report);
    }
    if (socket_.is_open()) wait();
  }

  Told told_;
  asio::posix::stream_descriptor socket_;
  std::string address_;
};

NotifySocket::NotifySocket(asio::io_context& io, const std::string& directory, const std::string& name, Told told)
    : impl_(std::make_shared<Impl>(io, std::move(told))) {
  impl_->open(directory, name);
}

NotifySocket::~NotifySocket() {
  impl_->close();
}

const std::string& NotifySocket::address() const {
  return impl_->address();
}

core::Report parse_notification(std::string_view text) {
  constexpr std::string_view kStatus = "STATUS=";
  constexpr std::string_view kProgress = "X_PROGRESS=";
  core::Report report;
  for (const auto line : util::split(text, '\n')) {
    if (line.starts_with(kStatus)) {
      report.status = std::string(line.substr(kStatus.size(), kMaxStatus));
    } else if (line.starts_with(kProgress)) {
      const auto number = line.substr(kProgress.size());
      double value = 0;
      const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), value);
      const bool is_all = error == std::errc() && end == number.data() + number.size();
      if (is_all && value >= 0 && value <= 1) report.progress = value;
    }
  }
  return report;
}

}  // namespace runner::exec
