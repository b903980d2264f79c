// ChildWatcher: says when a child has exited, by its pidfd in the event loop, or by SIGCHLD where there is none.
// Reaps nothing. Owned by an executor, used on the loop's thread; destroying it forgets every child.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <memory>

#include "util/fd.hpp"

namespace boost::asio {
class io_context;
}

namespace runner::proc {

class ChildWatcher {
 public:
  /// Called once per watched child, from the loop; `token` as given to watch().
  using Exited = std::function<void(pid_t pid, std::uint32_t token)>;

  ChildWatcher(boost::asio::io_context& io, Exited exited);
  ~ChildWatcher();
  ChildWatcher(const ChildWatcher&) = delete;
  ChildWatcher& operator=(const ChildWatcher&) = delete;

  /// Without a pidfd the child is found by SIGCHLD.
  void watch(pid_t pid, util::Fd pidfd, std::uint32_t token);

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace runner::proc
