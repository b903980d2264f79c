// Capacity: how much of the machine the slices of a run may use. Worked out once, before the first launch; looks at
// nothing itself.
#pragma once

#include <cstdint>
#include <string>

#include "core/job_plan.hpp"
#include "core/spec.hpp"
#include "host/machine.hpp"

namespace runner::run {

/// n_procs as a number of slots, and the CPUs and memory that declared needs are held against. What limits leave no
/// room for is not tried: a slice that could be started but cannot start its own processes would fail.
struct Capacity {
  core::Resources resources;
  std::uint32_t most_slots = 100'000;  ///< what there is room for; the spec takes no more
  std::string most_slots_because{};    ///< "" if no limit was found
  std::string note;                    ///< why the slots are fewer than n_procs, for people; "" if they are not
};
/// `captured`: the slices' output goes through pipes (--print).
Capacity capacity(const core::Spec& spec, const host::Machine& machine, bool captured);

}  // namespace runner::run
