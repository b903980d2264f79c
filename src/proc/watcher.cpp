#include "proc/watcher.hpp"

#include <signal.h>
#include <sys/epoll.h>

#include <array>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <map>
#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

#include "proc/child.hpp"

namespace runner::proc {

namespace asio = boost::asio;
using boost::system::error_code;

/// Shared with the handlers that wait: one may run after the watcher is gone.
struct ChildWatcher::Impl : std::enable_shared_from_this<Impl> {
  Impl(asio::io_context& context, Exited callback)
      : io(context), exited(std::move(callback)), children(::epoll_create1(EPOLL_CLOEXEC)), any_exited(context) {
    error_code ec;
    if (children.is_open()) any_exited.assign(children.get(), ec);
    if (!ec && children.is_open()) {
      children.release();  // any_exited's now
    } else {
      children.reset();
    }
  }

  /// False when there can be no descriptor for it.
  bool wait_for_pidfd(pid_t pid, std::uint32_t token, util::Fd& pidfd) {
    if (!any_exited.is_open()) return false;
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.fd = pid;
    if (::epoll_ctl(any_exited.native_handle(), EPOLL_CTL_ADD, pidfd.get(), &event) != 0) return false;
    by_pidfd.insert_or_assign(pid, Child{std::move(pidfd), token});
    if (!waiting_for_pidfds) wait_for_pidfds();
    return true;
  }

  /// All pidfds stand behind one descriptor of the loop's: a child then costs it one system call, not four.
  void wait_for_pidfds() {
    waiting_for_pidfds = true;
    any_exited.async_wait(asio::posix::stream_descriptor::wait_read, [self = shared_from_this()](const error_code& ec) {
      self->waiting_for_pidfds = false;
      if (ec || self->by_pidfd.empty()) return;
      self->take_exited();
      if (!self->by_pidfd.empty() && !self->waiting_for_pidfds) self->wait_for_pidfds();
    });
  }

  /// A pidfd is readable once its process is a zombie; those not taken here are readable still in the next round.
  void take_exited() {
    std::array<epoll_event, 64> events{};
    const int count = ::epoll_wait(any_exited.native_handle(), events.data(), static_cast<int>(events.size()), 0);
    for (int i = 0; i < count; ++i) {
      auto child = by_pidfd.extract(events[static_cast<std::size_t>(i)].data.fd);
      if (child.empty()) continue;
      const std::uint32_t token = child.mapped().token;
      const pid_t pid = child.key();
      child.mapped().pidfd.reset();  // which takes it out of `children`
      exited(pid, token);
    }
  }

  void wait_for_signal() {
    if (!signals) signals.emplace(io, SIGCHLD);
    if (waiting) return;
    waiting = true;
    signals->async_wait([self = shared_from_this()](const error_code& ec, int) {
      if (ec) return;
      self->waiting = false;
      self->check();
      if (!self->by_signal.empty()) self->wait_for_signal();
    });
  }

  /// One SIGCHLD may stand for several children.
  void check() {
    std::vector<std::pair<pid_t, std::uint32_t>> ended;
    for (const auto& [pid, token] : by_signal) {
      if (has_exited(pid)) ended.emplace_back(pid, token);
    }
    for (const auto& [pid, token] : ended) by_signal.erase(pid);
    for (const auto& [pid, token] : ended) exited(pid, token);
  }

  asio::io_context& io;
  Exited exited;
  struct Child {
    util::Fd pidfd;
    std::uint32_t token = 0;
  };
  util::Fd children;  ///< an epoll descriptor, until any_exited has it
  asio::posix::stream_descriptor any_exited;
  bool waiting_for_pidfds = false;
  std::unordered_map<pid_t, Child> by_pidfd;
  std::map<pid_t, std::uint32_t> by_signal;
  std::optional<asio::signal_set> signals;
  bool waiting = false;
};

ChildWatcher::ChildWatcher(asio::io_context& io, Exited exited)
    : impl_(std::make_shared<Impl>(io, std::move(exited))) {}

ChildWatcher::~ChildWatcher() {
  impl_->by_pidfd.clear();
  error_code ec;
  impl_->any_exited.close(ec);
  impl_->by_signal.clear();
  impl_->signals.reset();
}

void ChildWatcher::watch(pid_t pid, util::Fd pidfd, std::uint32_t token) {
  if (pidfd.is_open() && impl_->wait_for_pidfd(pid, token, pidfd)) return;
  impl_->by_signal.emplace(pid, token);
  impl_->wait_for_signal();
  // It may have exited before the handler was in place.
  if (has_exited(pid)) ::raise(SIGCHLD);
}

}  // namespace runner::proc
