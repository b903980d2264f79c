// CrashDrain: while one lives, a fatal signal (SIGSEGV, SIGABRT, SIGBUS, SIGFPE, SIGILL) or exit() waits for the
// logging thread to put on disk what was queued, at most two seconds, before the process dies as it would have.
// Owned by RunLog; at most one at a time, because signal handlers are the process's. Never swallows a signal.
#pragma once

#include <sys/types.h>

#include "log/backlog.hpp"

namespace runner::log {

class RotatingFile;

class CrashDrain {
 public:
  /// `thread` is the logging thread's id (gettid). It cannot be waited for when it is the one that crashed; `file` is
  /// then flushed as it is. Both references outlive this object.
  CrashDrain(Backlog& backlog, const RotatingFile& file, pid_t thread);
  /// Puts the previous handlers back.
  ~CrashDrain();
  CrashDrain(const CrashDrain&) = delete;
  CrashDrain& operator=(const CrashDrain&) = delete;
};

}  // namespace runner::log
