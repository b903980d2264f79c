// Starter: makes the process of one attempt: finds its program, opens its files, builds its environment, launches it.
// Owned by the local executor; keeps what is the same for every launch. Never waits, never calls back.
#pragma once

#include <sys/types.h>

#include <memory>
#include <optional>
#include <string>

#include "exec/executor.hpp"
#include "exec/slot_log.hpp"
#include "util/fd.hpp"

namespace runner::exec {

class Starter {
 public:
  struct Options {
    std::string run_dir;
    std::string cookie_prefix;  ///< of the variable that marks the processes of an attempt
    bool capture = false;       ///< stdout and stderr through pipes
    bool use_pidfd = true;
    std::string notify_address{};                     ///< for NOTIFY_SOCKET; "": that is empty
    std::optional<mode_t> umask{};                    ///< the children's, where it is not ours
    std::optional<std::uint64_t> descriptor_limit{};  ///< likewise
  };
  struct Child {
    pid_t pid = -1;
    util::Fd pidfd;     ///< closed where the kernel has none
    util::Fd out, err;  ///< our ends of the pipes, when capturing
  };

  explicit Starter(Options options);
  ~Starter();
  Starter(const Starter&) = delete;
  Starter& operator=(const Starter&) = delete;

  /// The child, or why there is none, ready to be shown; is_shortage() tells whether waiting may help.
  util::Result<Child> start(const LaunchRequest& request, SlotLog& log);

  /// Of an attempt that has ended; see CounterFiles::settle().
  void settle_counters(const core::AttemptId& id, core::Ending& ending);

  /// The machine is short of something that comes back (processes, descriptors, memory, room for a log or for stdout).
  static bool is_shortage(const util::Error& error);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace runner::exec
