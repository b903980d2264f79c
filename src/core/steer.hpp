// Steering: what a user may ask of a run while it runs. Plain inputs of the scheduler, which answers a Steer with a
// Steered action; a request that cannot be met is refused with a text, never a bug.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/interval_set.hpp"

namespace runner::core {

enum class Steering : std::uint8_t {
  suspend,  ///< stop what runs where it is, start nothing new
  resume,   ///< the opposite
  cancel,   ///< end what runs, without a retry; what has not begun is disabled
  retry,    ///< what has ended for good and not succeeded runs again now, with all its retries
  disable,  ///< what has not begun will not
  enable    ///< the opposite
};

inline constexpr std::array<std::string_view, 6> kSteeringNames = {"suspend", "resume",  "cancel",
                                                                   "retry",   "disable", "enable"};
constexpr std::string_view name(Steering what) {
  return kSteeringNames[static_cast<std::size_t>(what)];
}
constexpr std::optional<Steering> steering_from(std::string_view text) {
  for (std::size_t i = 0; i < kSteeringNames.size(); ++i) {
    if (kSteeringNames[i] == text) return static_cast<Steering>(i);
  }
  return std::nullopt;
}

/// One request names at most so many slices: each may become an event. Whole jobs are no such list.
inline constexpr std::uint64_t kMaxSteeredSlices = 100'000;

struct Steer {
  Steering what = Steering::suspend;
  std::optional<std::uint32_t> job{};   ///< unset: all
  std::optional<IntervalSet> slices{};  ///< of that job; unset: the job as a whole
  std::string by{};                     ///< who, for the reasons: "cancelled by ada"
};

/// From now on so many slots, at least 1. More are used at once; what runs in a slot above goes on to its end.
struct Scale {
  std::uint32_t slots = 1;
};

/// Nothing is started while so many run (the machine is loaded); but one may always. Unset: no such limit.
struct Throttle {
  std::optional<std::uint32_t> ceiling;
};

}  // namespace runner::core
