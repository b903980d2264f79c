// Reads the keys that describe one job: its slices, its command, its variables and its rules. Everything about the run
// as a whole (n_procs, state_dir, log) is the loader's.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "core/spec.hpp"
#include "spec/job_map.hpp"
#include "spec/reader.hpp"

namespace runner::spec {

struct JobContext {
  std::string name;
  std::string spec_dir;   ///< absolute
  std::string shown_dir;  ///< as the user named it, with its slash; "" for the current one
  std::vector<std::pair<std::string, std::string>> set;  ///< --set
  const std::vector<core::Limit>* limits = nullptr;      ///< what `uses` may name
};

/// Keys read_job() understands.
const std::vector<std::string>& job_keys();

/// The job in `map`. Where something is wrong it is reported and the job is not complete.
core::JobSpec read_job(const JobMap& map, const JobContext& context, Reader& reader);

}  // namespace runner::spec
