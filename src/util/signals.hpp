// Which signals this process ignores, because it was told to or by itself, and which its threads leave to the loop's.
#pragma once

#include <csignal>
#include <initializer_list>
#include <span>

namespace runner::util {

/// What was ignored when we began stays so: nohup's SIGHUP, the SIGINT of a background job.
bool is_ignored(int signal);

/// SIGCHLD, and those of `signals` that are not ignored: waiting for one that is would undo that.
sigset_t signals_to_await(std::span<const int> signals);

/// A thread that is made while this lives leaves to the loop's what is sent to the process. Not a fault of its own:
/// that cannot be blocked without losing the handler. A signal that its maker blocks, it does, too.
class BlockedSignals {
 public:
  BlockedSignals() : BlockedSignals(std::initializer_list<int>{}) {}
  /// Leaves these open, too.
  static BlockedSignals all_but(std::initializer_list<int> open) { return BlockedSignals(open); }
  ~BlockedSignals();
  BlockedSignals(const BlockedSignals&) = delete;
  BlockedSignals& operator=(const BlockedSignals&) = delete;

 private:
  BlockedSignals(std::initializer_list<int> open);

  sigset_t before_{};
};

/// SIGUSR1 and SIGUSR2 steer a run: while none listens they are ignored, for by default they would end what is there.
void ignore_steering();

}  // namespace runner::util
