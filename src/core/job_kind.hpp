// JobKind: what the jobs of a run are for. To the scheduler they are alike; people see them apart.
#pragma once

#include <cstdint>
#include <string_view>

namespace runner::core {

enum class JobKind : std::uint8_t { slices, hook, service };

constexpr std::string_view name(JobKind kind) {
  switch (kind) {
    case JobKind::slices:
      return "slices";
    case JobKind::hook:
      return "hook";
    case JobKind::service:
      return "service";
  }
  return {};
}
constexpr JobKind job_kind_from_name(std::string_view text) {
  for (const JobKind kind : {JobKind::hook, JobKind::service}) {
    if (name(kind) == text) return kind;
  }
  return JobKind::slices;
}

}  // namespace runner::core
