// Progress: how far a session is, how fast, and when it will be over. Pure: fed with endings and with invented or real
// times; draws one line of text. Owned by the console.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "core/run_view.hpp"

namespace runner::report {

class Progress {
 public:
  /// Once, before the first ending of the session: slices that succeeded earlier are done already.
  void begin(const core::RunView& view);
  /// One that had failed for good may run again, if somebody asks for it.
  void started(const core::AttemptId& id);
  /// `final`: no further attempt of the slice follows.
  void ended(const core::AttemptId& id, const core::Ending& ending, bool final);
  /// Folds what has ended since the last call into the rate.
  void tick(const core::RunView& view, util::TimePoint now);

  [[nodiscard]] std::uint64_t total() const { return total_; }
  [[nodiscard]] std::uint64_t done() const { return done_; }
  [[nodiscard]] unsigned percent() const;  ///< rounded down: 100 only when all is done
  /// Slices a second, lately; unset until there is something to tell it from.
  [[nodiscard]] std::optional<double> rate() const;
  /// Unset until a first round of slices has ended.
  [[nodiscard]] std::optional<util::Duration> eta(const core::RunView& view, util::TimePoint now) const;

  /// "correlate: 50/100 (50%), 2 failed, ETA 42s, 10 running, 1.2/s, oldest 17 3m05s": what does not fit into `width`
  /// columns is left out from the right.
  [[nodiscard]] std::string line(const core::RunView& view, util::TimePoint now, std::size_t width) const;

 private:
  [[nodiscard]] double left_of(const core::RunningAttempt& attempt, util::TimePoint now) const;
  [[nodiscard]] double longest_left(const core::RunView& view, util::TimePoint now) const;

  std::uint64_t total_ = 0;
  std::uint64_t done_ = 0;
  std::map<std::uint32_t, core::ChunkedSet> failed_;     ///< by job, in this session; done as well
  std::map<std::uint32_t, core::ChunkedSet> cancelled_;  ///< likewise
  std::size_t widest_ = 0;                               ///< most slices seen running at once: the slots there are

  // Exponentially weighted throughput: slices and seconds, both decaying, so that their ratio is right from the start.
  std::optional<util::TimePoint> last_tick_;
  std::uint64_t since_tick_ = 0;
  double recent_slices_ = 0;
  double recent_seconds_ = 0;
  // Exponentially weighted time a slice takes, its failed attempts included; seconds.
  double slice_seconds_ = 0;
  std::uint64_t samples_ = 0;
  double retried_seconds_ = 0;  ///< of attempts whose slices are still to end
};

/// "12.3/s", "4.2/min", "3.1/h"
std::string format_rate(double per_second);

}  // namespace runner::report
