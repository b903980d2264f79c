// Load: how busy the machine is at this moment. Plain functions that read /proc; "/" is where it is mounted, but in
// tests.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace runner::host {

struct Load {
  std::optional<double> average;           ///< of the last minute
  std::optional<std::uint64_t> available;  ///< memory that programs may have without swapping, bytes
};

[[nodiscard]] Load load(const std::string& root = "/");

}  // namespace runner::host
