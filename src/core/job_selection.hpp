// JobSelection: which slices of which jobs --slices names. Pure; nothing is kept.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/interval_set.hpp"
#include "core/spec.hpp"
#include "util/result.hpp"

namespace runner::core {

/// By job, in the order of the spec; nullopt: left out.
using JobSelection = std::vector<std::optional<IntervalSet>>;

/// Each text is a list as SliceList::select() takes it; where there are several jobs it is JOB/LIST, or a job's name
/// alone for all of it; of one job JOB/ may be left out. Without any: every slice of every job. An error says which
/// text is wrong, and why.
util::Result<JobSelection> select_slices(const Spec& spec, const std::vector<std::string>& texts);

}  // namespace runner::core
