// Which hooks and services a resumed run runs again. Shutdown: when it has not succeeded, or there is more to shut
// down. Prepare: when slices or a shutdown are left, and it has not succeeded or what it made was torn down since.
// Teardown: when any of these run, or ran without a teardown after them - also where nothing else is left to do,
// because the run was killed before its end. A service: as long as there is anything to do but clearing up.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "core/job_plan.hpp"
#include "core/spec.hpp"
#include "store/store.hpp"

namespace runner::run {

/// Completes `plans`, which know already what is to be done of the jobs of slices; hooks that are closed are left out.
/// `stored` is the run as its last session left it. `is_partial`, by job: slices of it are left for another time, and
/// what it made is not to be used yet. `notice` tells what is done otherwise than in a new run.
util::Result<void> plan_hooks(const core::Spec& spec, const store::StoredRun& stored, store::Reader& reader,
                              std::vector<core::JobPlan>& plans, const std::vector<bool>& is_partial,
                              const std::function<void(const std::string&)>& notice);

}  // namespace runner::run
