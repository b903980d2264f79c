// Reads prepare, shutdown and teardown, of the run and of its jobs. A hook becomes a job of its own that runs once, so
// that it has a log, a timeout and a record like any slice; what it waits for makes it what it is.
#pragma once

#include "core/spec.hpp"
#include "spec/job_reader.hpp"
#include "spec/reader.hpp"

namespace runner::spec {

/// "prepare", "shutdown", "teardown"
const std::vector<std::string>& hook_keys();

/// Appends the hooks in `root`, and in the jobs of its map `jobs`, to spec.jobs, which has those jobs in the same
/// order.
void read_hooks(const Node& root, const JobContext& context, core::Spec& spec, Reader& reader);

}  // namespace runner::spec
