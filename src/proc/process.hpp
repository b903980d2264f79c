// Processes as /proc shows them. Plain functions; a look at all of them takes some ms, so callers collect and ask once.
// A pid alone proves nothing: with its start it names a process for good, and signals go out only after that check.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace runner::proc {

struct Process {
  pid_t pid = 0;
  pid_t parent = 0;
  pid_t group = 0;
  pid_t session = 0;
  pid_t foreground = -1;    ///< the group in the foreground of its terminal; -1: it has no terminal
  std::uint64_t start = 0;  ///< clock ticks since boot; with the pid it names a process for good
  bool alive = false;       ///< neither a zombie nor dead
  bool stopped = false;     ///< by a signal or a debugger
  bool in_kernel = false;   ///< in a call that no signal interrupts: it takes one before it runs again
  bool has_memory = false;  ///< else it is past its end, alive or not
  std::string name;         ///< of the program, at most 15 bytes, as the process sets it: not to be trusted
};

/// nullopt when there is none.
[[nodiscard]] std::optional<Process> read_process(pid_t pid);

/// All there are, ourselves and the dead included; nullopt when /proc cannot be read, be it in part (no descriptor
/// left), or is not ours (not mounted): then nothing is known, which is not the same as none.
[[nodiscard]] std::optional<std::vector<Process>> read_processes();

/// The children of this process's first thread, zombies included: what it started, and what it has inherited as a
/// subreaper, but not what another thread started. None on a kernel without that file.
[[nodiscard]] std::vector<pid_t> children();

/// "NAME=value", each ended by a NUL; "" for somebody else's process, or one that is gone.
[[nodiscard]] std::string environment_of(pid_t pid);

/// Of this process; "0" where the kernel does not say. In another one the same pid means another process.
[[nodiscard]] std::string pid_namespace();

/// The start of a process, as in Process; 0 if there is none.
[[nodiscard]] std::uint64_t start_of(pid_t pid);

/// Sends `signal` to a process if that is still the one. False: we are not permitted to.
bool signal_process(const Process& process, int signal);

/// Whether a process is in the foreground of its terminal, or has none.
[[nodiscard]] bool is_in_foreground(pid_t pid);

}  // namespace runner::proc
