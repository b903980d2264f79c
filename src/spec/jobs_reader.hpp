// Reads `jobs:`, several jobs that share what stands at the top of the spec, and what they need of each other.
#pragma once

#include "core/spec.hpp"
#include "spec/job_reader.hpp"
#include "spec/reader.hpp"

namespace runner::spec {

/// Keys that only a job of `jobs:` has.
const std::vector<std::string>& keys_of_several_jobs();

/// Why `name` cannot be a directory's name and a word on the command line; "" where it can.
std::string wrong_name(std::string_view name);

/// The jobs in `root`'s map `jobs`. What is wrong is reported, and the jobs are not complete then.
std::vector<core::JobSpec> read_jobs(const Node& root, const JobContext& context, Reader& reader);

}  // namespace runner::spec
