// Event: one thing that happened, told after its record is safe on disk. The one type that feeds the log, the
// console, the live view and (later) clients; no part learns of a run any other way.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "core/attempt.hpp"
#include "core/lifecycle.hpp"

namespace runner::core {

enum class SystemKind : std::uint8_t { run, job, slice };

struct Event {
  util::WallTime at{};
  SystemKind kind = SystemKind::slice;
  State state = State::initial;  ///< the state the system is in now
  AttemptId id;                  ///< of a slice; `id.job` also of a job
  std::string name;              ///< "correlate" (run or job), "correlate/17" (slice)
  std::string key;               ///< of a slice
  int pid = 0;                   ///< the runner's own for a run and a job
  unsigned slot = 0;
  util::TimePoint since{};       ///< of a slice that started: the time by the steady clock
  std::string log;               ///< of a slice that started: where its output goes, relative to the run directory
  std::optional<Ending> ending;  ///< set when an attempt ended
  std::optional<util::Duration> retry_in;  ///< the slice stays `running` and another attempt follows
  bool untold = false;                     ///< for the view alone: another event tells it
  std::string reason;  ///< why, where there is more to say ("max_failed: 6 slices failed, 5 allowed")
};

}  // namespace runner::core
