// spawn: one process from one plan, by clone(2) with vfork semantics, so that its cost does not grow with our memory.
// The parent waits in the call until the child has executed its program or failed, and learns which step failed.
// Owned and called by the launcher; one call at a time per SpawnContext. Never allocates, never runs our handlers or
// exit functions in the child, leaves no zombie when a step fails.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "util/fd.hpp"

namespace runner::proc {

/// The step of a launch that failed.
enum class Stage : std::uint8_t { none, clone, group, death_signal, workdir, setup, descriptors, exec };

/// Everything the child does, in this order; pointers are borrowed for the call.
struct SpawnPlan {
  const char* executable = nullptr;   ///< a path: PATH is not searched here
  const char* const* argv = nullptr;  ///< null-terminated, as env
  const char* const* env = nullptr;
  std::optional<mode_t> umask;
  std::optional<std::uint64_t> descriptor_limit;  ///< soft RLIMIT_NOFILE
  const char* workdir = nullptr;                  ///< unset: ours
  /// Runs in the child after chdir (dup2 and the like): async-signal-safe calls only; returns an errno or 0.
  int (*setup)(void* data) = nullptr;
  void* setup_data = nullptr;
  std::span<const int> keep_fds;  ///< ascending; left open besides 0, 1, 2
  bool pidfd = true;              ///< ask the kernel for one; false, or an old kernel: Spawned::pidfd stays closed
};

struct Spawned {
  pid_t pid = -1;  ///< -1: not started, see failed and error
  util::Fd pidfd;
  Stage failed = Stage::none;
  int error = 0;  ///< errno of the failed step
};

/// What launches have in common: the stack the child runs on until exec (it shares our memory, so it must not run on
/// ours), and which signals it must put back to their defaults. Handlers are to be in place when this is made.
class SpawnContext {
 public:
  SpawnContext();
  ~SpawnContext();
  SpawnContext(const SpawnContext&) = delete;
  SpawnContext& operator=(const SpawnContext&) = delete;
  [[nodiscard]] std::uint64_t changed_signals() const { return changed_signals_; }  ///< bit n-1 for signal n
  [[nodiscard]] void* top() const { return static_cast<std::byte*>(base_) + kSize; }

 private:
  static constexpr std::size_t kSize = std::size_t{256} << 10U;
  void* base_ = nullptr;
  std::uint64_t changed_signals_ = 0;
};

/// Starts the process: in a process group of its own, all signals at their defaults and unblocked, no descriptors but
/// 0, 1, 2 and keep_fds, and to be killed when the calling thread ends.
[[nodiscard]] Spawned spawn(const SpawnPlan& plan, const SpawnContext& context);

/// Why nothing was started, for people: "cannot execute 'prog': Permission denied". `name` is what the user wrote.
[[nodiscard]] util::Error describe_failure(const Spawned& spawned, const std::string& name,
                                           const std::string& executable, const std::string& workdir);

}  // namespace runner::proc
