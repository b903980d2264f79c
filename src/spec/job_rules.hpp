// Reads how a job's attempts are judged, repeated, bounded and halted: timeout, retries, limits, needs of a slice.
#pragma once

#include "core/spec.hpp"
#include "spec/job_map.hpp"
#include "spec/reader.hpp"

namespace runner::spec {

/// `5%` of a job's slices, or a number of them.
std::optional<core::FailureLimit> read_failure_limit(const Node& node, Label label, Reader& reader);

void read_rules(const JobMap& map, core::JobSpec& job, Reader& reader);

}  // namespace runner::spec
