// OomCounter: whether the kernel's OOM killer explains a SIGKILL that nobody of ours sent. Reads the oom_kill counter
// of our cgroup (v2 memory.events, v1 memory.oom_control), else the machine's (/proc/vmstat), which is only a hint.
// Owned by an executor; reads files only when asked.
#pragma once

#include <cstdint>
#include <string>

namespace runner::proc {

class OomCounter {
 public:
  /// The counter of the cgroup we are in. What was killed before counts for nothing.
  OomCounter();
  /// The line "oom_kill N" of this file.
  explicit OomCounter(std::string file);

  /// True if the kernel has killed a process that explains no other death yet: n kills explain n deaths at most.
  bool explains_a_death();

 private:
  [[nodiscard]] std::uint64_t read() const;

  std::string file_;
  std::uint64_t explained_ = 0;  ///< the counter's value up to which every kill is accounted for
};

}  // namespace runner::proc
