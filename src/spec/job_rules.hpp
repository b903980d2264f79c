// Reads how a job's attempts are judged, repeated, bounded and halted: timeout, retries, limits, needs of a slice.
#pragma once

#include "core/spec.hpp"
#include "spec/reader.hpp"

namespace runner::spec {

void read_rules(const Node& map, core::JobSpec& job, Reader& reader);

}  // namespace runner::spec
