// Reads a command that is no job of slices - a hook, a service, what asks whether a service is ready - as a job that
// runs once. Of what surrounds it it takes workdir, and of vars and env what does not speak of slices.
#pragma once

#include <string>
#include <vector>

#include "spec/job_reader.hpp"
#include "spec/reader.hpp"

namespace runner::spec {

struct Surroundings {
  const JobMap& map;
  const std::vector<std::string>& slice_variables;  ///< what `slices` of any job defines
  bool has_port = false;                            ///< {port} is a variable, whose value is known when the run begins
};

/// `node` is the command, or a map with `command` and others of `keys`.
core::JobSpec read_attached_job(const Node& node, Label label, const std::vector<std::string>& keys,
                                const Surroundings& around, const JobContext& context, Reader& reader);

}  // namespace runner::spec
