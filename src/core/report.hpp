// Report: how far a running attempt says it is. Plain data.
#pragma once

#include <optional>
#include <string>

namespace runner::core {

struct Report {
  std::optional<double> progress;     ///< 0 to 1
  std::optional<std::string> status;  ///< a line for people, as the slice wrote it: not to be trusted
  [[nodiscard]] bool empty() const { return !progress && !status; }
};

}  // namespace runner::core
