// Taking up a run that is recorded: whether it may be, what is left of it to do, and what was lost.
#pragma once

#include <optional>

#include "core/job_selection.hpp"
#include "run/session.hpp"

namespace runner::run {

Refusal no_run(const SessionRequest& request);

/// Completes `session`, which holds the lock. `wanted`: what --slices names. A refusal leaves the record as it is.
std::optional<Refusal> plan_resumed_run(const SessionRequest& request, const core::JobSelection& wanted,
                                        store::Reader& reader, Session& session);

}  // namespace runner::run
