// JobPlan: what the scheduler is told of one job, and the resources it deals out. Made by the session from spec and
// record; plain data.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "core/interval_set.hpp"
#include "core/median.hpp"
#include "core/spec.hpp"

namespace runner::core {

/// What one slice of a job occupies, and what the machine has. Slots are always counted; the rest only where declared.
struct Resources {
  std::uint32_t slots = 1;
  std::int64_t cpus_milli = 0;
  std::uint64_t memory = 0;  ///< bytes
};

struct JobPlan {
  std::string name;
  IntervalSet todo;                                            ///< slices to run, in this order
  std::unordered_map<std::uint64_t, std::uint32_t> attempted;  ///< slice -> attempts of earlier sessions
  IntervalSet succeeded;                                       ///< in earlier sessions
  bool closed = false;    ///< has nothing to do here, and nothing is to be said of it: completed before, or left out
  bool left_out = false;  ///< of what was asked for, so closed; what needs it does not wait for it
  RetryPolicy retry;
  std::optional<util::Duration> timeout;
  std::optional<double> timeout_percent;  ///< of the median of its slices that succeeded, once there is one
  Median runtimes;                        ///< of those of earlier sessions; kept only with timeout_percent
  util::Duration grace = std::chrono::seconds(10);
  Resources need;
  std::optional<std::uint64_t> max_failed;  ///< tolerated failures
  OnHalt on_halt = OnHalt::drain;
  std::vector<Need> needs;
  std::uint64_t allow_failures = 0;      ///< slices that may fail and the jobs that need this one go on all the same
  std::vector<Use> uses;                 ///< what one slice takes of the limits
  std::optional<std::uint32_t> n_procs;  ///< slices of it at a time; unset: as many as there are slots
  /// Its one slice runs beside the slots, until nothing needs it; `timeout` until it is ready.
  bool is_service = false;
  bool is_teardown = false;  ///< runs also when the run is stopped, if anything it is to clear up after has begun
  bool has_begun = false;    ///< in an earlier session
  /// Its slices may be launched in the slot of one that has ended before that end was looked at, where they are short.
  bool may_follow = false;
  int priority = 0;  ///< ready slices of jobs with a higher one go first
};

}  // namespace runner::core
