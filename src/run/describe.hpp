// What the record, the view and the scheduler want to know of a run and its jobs, made from the spec. Used where a run
// is new and where it is taken up again; nothing is kept.
#pragma once

#include <optional>
#include <string>

#include "core/interval_set.hpp"
#include "core/job_plan.hpp"
#include "core/run_view.hpp"
#include "run/session.hpp"

namespace runner::run {

/// Nothing to do yet. `slices`: of them shares are taken, as in max_failed: 5%.
core::JobPlan make_plan(const core::JobSpec& job, std::uint64_t slices);

/// The run's row and its jobs' rows, of this process and this moment; no selections yet.
store::NewRun describe(const SessionRequest& request, const store::StateLock& lock, std::string id);
core::RunInfo info_of(const store::NewRun& run);

/// A selection as it is stored: by index, "" for everything, store::kLeftOut for a job that is left out (nullopt).
std::string stored_selection(const core::JobSpec& job, const std::optional<core::IntervalSet>& selection);
/// The other way, of a job of so many slices; one that is left out has nothing selected. An error: the record is
/// damaged.
util::Result<core::IntervalSet> parse_stored_selection(const std::string& text, std::uint64_t slices);

}  // namespace runner::run
