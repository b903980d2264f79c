// What a resume makes outdated: slices that succeeded with what other jobs had made until then, where one of these has
// slices to run first, or other slices than it had - a merge over the slices there were. Decides by what is to run, not
// by clocks. Pure; hooks of the kind `prepare` count, as they may use what their job needs.
#pragma once

#include <vector>

#include "core/interval_set.hpp"
#include "core/spec.hpp"
#include "run/history.hpp"
#include "store/store.hpp"

namespace runner::run {

/// One job as the resume finds it, by its list of slices as it is now.
struct JobBefore {
  const History* history = nullptr;
  core::IntervalSet succeeded;
  core::IntervalSet first;      ///< to run, before what needs them
  bool was_part_of_run = true;  ///< else what needs it did not wait for it
};

/// `before`: by job, as `jobs`, whose needs have no cycle. One entry for each job and cause; no slice twice.
std::vector<store::Outdated> find_outdated(const std::vector<core::JobSpec>& jobs,
                                           const std::vector<JobBefore>& before);

}  // namespace runner::run
