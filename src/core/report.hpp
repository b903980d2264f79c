// Report: how far a running attempt says it is. Plain data.
#pragma once

#include <optional>
#include <string>

namespace runner::core {

struct Report {
  std::optional<double> progress;     ///< 0 to 1
  std::optional<std::string> status;  ///< a line for people, as the slice wrote it: not to be trusted
  /// What a newer one does not say again stands.
  void update(const Report& newer) {
    if (newer.progress) progress = newer.progress;
    if (newer.status) status = newer.status;
  }
  [[nodiscard]] bool empty() const { return !progress && !status; }
};

}  // namespace runner::core
