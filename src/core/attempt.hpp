// Names of things that run: which attempt of which slice of which job, and the record of one attempt.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>

#include "core/outcome.hpp"
#include "core/report.hpp"

namespace runner::core {

/// One execution of one slice. `job` is the job's position in the spec, `slice` the 0-based index.
struct AttemptId {
  std::uint32_t job = 0;
  std::uint64_t slice = 0;
  std::uint32_t number = 1;  ///< from 1, over all resumes
  auto operator<=>(const AttemptId&) const = default;
};

/// One row of the store's attempt table: what is known of an attempt. Without an ending it was claimed, and
/// with a pid it is known to have been started.
struct AttemptRecord {
  AttemptId id;
  std::string key;
  std::optional<util::WallTime> started_at;
  int pid = 0;  ///< 0: never seen to start
  std::string host;
  std::string log;  ///< relative to the run directory; of a running attempt its slot's file
  std::optional<Ending> ending;
  Report report{};  ///< of one that runs: how far it said it is
  // Of the last attempt of a slice, as the record has it:
  std::uint32_t never_started = 0;  ///< of its attempts so far, how many were cancelled before they started
  bool outdated = false;            ///< cancelled so because what it was made of changed after its success

  /// No process was made for it.
  [[nodiscard]] bool was_cancelled_before_start() const {
    return pid == 0 && ending && ending->outcome == Outcome::cancelled;
  }
};

}  // namespace runner::core
