// NotifySocket: where slices say how far they are, by the protocol of sd_notify(3): datagrams of "STATUS=reading" and
// "X_PROGRESS=0.35" lines to the socket in NOTIFY_SOCKET. Owned by an executor, on the loop's thread; never blocks.
// What comes is text from programs: it is cut, and believed only of a process that the kernel vouches for.
#pragma once

#include <sys/types.h>

#include <functional>
#include <memory>
#include <string>

#include "core/report.hpp"

namespace boost::asio {
class io_context;
}

namespace runner::exec {

class NotifySocket {
 public:
  using Told = std::function<void(pid_t sender, const core::Report& report)>;

  /// A socket in `directory`, which only this user can get at, or where that path is too long for one, under the
  /// abstract name `name`. Without any address() is "".
  NotifySocket(boost::asio::io_context& io, const std::string& directory, const std::string& name, Told told);
  ~NotifySocket();
  NotifySocket(const NotifySocket&) = delete;
  NotifySocket& operator=(const NotifySocket&) = delete;

  /// For NOTIFY_SOCKET: a path, or "@" and a name.
  [[nodiscard]] const std::string& address() const;

 private:
  class Impl;
  std::shared_ptr<Impl> impl_;
};

/// What a datagram says; what is no line of ours is passed over.
core::Report parse_notification(std::string_view text);

}  // namespace runner::exec
