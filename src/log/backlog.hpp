// Backlog: how far the logging thread is behind, and a way to hurry it. Shared by the thread that logs, the logging
// thread and the crash handler; everything here may be used inside a signal handler. Never allocates or locks.
#pragma once

#include <semaphore.h>
#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <ctime>

namespace runner::log {

class Backlog {
 public:
  Backlog() { ::sem_init(&wake_, 0, 0); }
  ~Backlog() { ::sem_destroy(&wake_); }
  Backlog(const Backlog&) = delete;
  Backlog& operator=(const Backlog&) = delete;

  // The thread that logs.
  void queued() { queued_.fetch_add(1, std::memory_order_release); }
  [[nodiscard]] std::uint64_t queued_lines() const { return queued_.load(std::memory_order_acquire); }
  [[nodiscard]] std::uint64_t flushed_lines() const { return flushed_.load(std::memory_order_acquire); }

  /// The logging thread does not linger for the moment.
  void hurry() {
    if (!hurried_.exchange(true)) ::sem_post(&wake_);
  }
  /// Nor ever again: the end is near.
  void hurry_for_good() {
    closing_.store(true);
    hurry();
  }

  // The logging thread.
  void flushed(std::uint64_t lines) { flushed_.store(lines, std::memory_order_release); }
  /// Waits so that what comes meanwhile is taken in one go; cut short by hurry().
  void linger(std::chrono::milliseconds at_most) {
    if (closing_.load()) return;
    std::timespec until{};
    ::clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += std::chrono::nanoseconds(at_most).count();
    until.tv_sec += until.tv_nsec / 1'000'000'000;
    until.tv_nsec %= 1'000'000'000;
    if (::sem_clockwait(&wake_, CLOCK_MONOTONIC, &until) == 0) hurried_.store(false);
  }

 private:
  std::atomic<std::uint64_t> queued_{0};
  std::atomic<std::uint64_t> flushed_{0};  ///< handed to the kernel, or given up because the disk refuses
  std::atomic<bool> hurried_{false};
  std::atomic<bool> closing_{false};
  sem_t wake_{};
};

}  // namespace runner::log
