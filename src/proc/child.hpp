// Waiting for a child and taking its status exactly. A child that has exited stays a zombie until reap(), and pins its
// pid, process group and session ids until then: that is when signals to them are safe. Plain functions; no state.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>

#include "util/clock.hpp"
#include "util/fd.hpp"

namespace runner::proc {

/// How a child ended and what it used, from wait4(2).
struct ExitStatus {
  int code = 0;    ///< exit code, when signal is 0
  int signal = 0;  ///< the signal that killed it
  util::Duration user{};
  util::Duration system{};
  std::int64_t max_rss_kib = 0;
};

/// Whether our child has exited and waits to be reaped; leaves it a zombie. Also true when it is not ours to wait for
/// any more, so that reap() can say so.
[[nodiscard]] bool has_exited(pid_t pid);

/// Blocks until our child has exited, and leaves it a zombie; whether its exit code is 0. False also where it is not
/// ours to wait for any more.
[[nodiscard]] bool wait_for_success(pid_t pid);

/// Takes the status of a child that has exited; nullopt if there is none to take (someone else reaped it).
[[nodiscard]] std::optional<ExitStatus> reap(pid_t pid);

/// As reap(), where the kernel has told of the exit: a tracer (strace -f) gets the status first, and lets go of it a
/// moment later. Blocks until then, at most 50 ms.
[[nodiscard]] std::optional<ExitStatus> reap_exited(pid_t pid);

/// Of our child; closed where the kernel has none.
[[nodiscard]] util::Fd open_pidfd(pid_t pid);

/// A process that was started with SIGCHLD ignored gets no zombies and so no statuses: set it back to the default.
void keep_zombies();

/// Opens /dev/null on those of 0, 1, 2 that are closed, so that no file of ours becomes a child's stdin by accident.
void open_standard_descriptors();

/// Raises this process's soft RLIMIT_NOFILE to the hard one (at most 2^20): a slot may need six descriptors. The former
/// one, for the children to have; nullopt when it was as high already.
std::optional<std::uint64_t> raise_descriptor_limit();

}  // namespace runner::proc
