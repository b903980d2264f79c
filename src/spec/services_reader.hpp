// Reads `services`: programs that run beside the slices, from before the first to after the last that needs them.
#pragma once

#include "core/spec.hpp"
#include "spec/job_reader.hpp"
#include "spec/reader.hpp"

namespace runner::spec {

/// Appends the services in `root` to spec.jobs, which has the jobs of slices, and lets those need them.
void read_services(const Node& root, const JobContext& context, core::Spec& spec, Reader& reader);

}  // namespace runner::spec
