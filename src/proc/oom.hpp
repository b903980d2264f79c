// OomCounter: whether the kernel's OOM killer explains a SIGKILL that nobody of ours sent. Reads the oom_kill counter
// of our cgroup, or the one above it that has the controller (v2 memory.events, v1 memory.oom_control), else the
// machine's (/proc/vmstat), which is only a hint. Owned by an executor; keeps the file open and reads it only when
// asked.
#pragma once

#include <cstdint>
#include <string>

#include "util/clock.hpp"
#include "util/fd.hpp"

namespace runner::proc {

class OomCounter {
 public:
  /// The counter of the cgroup we are in, or the nearest above it that has one.
  OomCounter();
  /// The line "oom_kill N" of this file.
  explicit OomCounter(const std::string& file);

  /// How many processes the kernel has killed so far: to be asked before an attempt is launched. The machine's counter
  /// is slow to read, and as old as 20 ms.
  [[nodiscard]] std::uint64_t kills();
  /// True if the kernel has killed a process since there were `before` kills and that kill explains no other death yet:
  /// n kills explain n deaths at most.
  bool explains_a_death(std::uint64_t before);

 private:
  [[nodiscard]] std::uint64_t read() const;

  util::Fd file_;
  bool slow_ = false;
  std::uint64_t last_ = 0;  ///< what was read at last_at_, when slow
  util::TimePoint last_at_{};
  std::uint64_t explained_ = 0;  ///< the counter's value up to which every kill is accounted for
};

}  // namespace runner::proc
