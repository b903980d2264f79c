// JobKind: what the jobs of a run are for. To the scheduler they are alike; people see them apart.
#pragma once

#include <cstdint>
#include <string_view>

namespace runner::core {

enum class JobKind : std::uint8_t { slices, hook };

constexpr std::string_view name(JobKind kind) {
  return kind == JobKind::hook ? "hook" : "slices";
}
constexpr JobKind job_kind_from_name(std::string_view text) {
  return text == name(JobKind::hook) ? JobKind::hook : JobKind::slices;
}

}  // namespace runner::core
