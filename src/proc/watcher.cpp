#include "proc/watcher.hpp"

#include <signal.h>

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
  Impl(asio::io_context& context, Exited callback) : io(context), exited(std::move(callback)) {}

  /// False when the loop cannot take another descriptor.
  bool wait_for_pidfd(pid_t pid, std::uint32_t token, util::Fd& pidfd) {
    auto& descriptor = by_pidfd.try_emplace(pid, io).first->second;
    error_code ec;
    descriptor.assign(pidfd.get(), ec);
    if (ec) {
      by_pidfd.erase(pid);
      return false;
    }
    pidfd.release();
    wait_again(descriptor, pid, token);
    return true;
  }

  void wait_again(asio::posix::stream_descriptor& descriptor, pid_t pid, std::uint32_t token) {
    descriptor.async_wait(asio::posix::stream_descriptor::wait_read,
                          [self = shared_from_this(), pid, token](const error_code& ec) {
                            const auto found = self->by_pidfd.find(pid);
                            if (ec || found == self->by_pidfd.end()) return;
                            if (!has_exited(pid)) return self->wait_again(found->second, pid, token);
                            self->by_pidfd.erase(found);
                            self->exited(pid, token);
                          });
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
  std::unordered_map<pid_t, asio::posix::stream_descriptor> by_pidfd;
  std::map<pid_t, std::uint32_t> by_signal;
  std::optional<asio::signal_set> signals;
  bool waiting = false;
};

ChildWatcher::ChildWatcher(asio::io_context& io, Exited exited)
    : impl_(std::make_shared<Impl>(io, std::move(exited))) {}

ChildWatcher::~ChildWatcher() {
  impl_->by_pidfd.clear();
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
