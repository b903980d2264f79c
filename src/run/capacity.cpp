#include "run/capacity.hpp"

#include <algorithm>
#include <cmath>

#include "util/text.hpp"
#include "util/units.hpp"

namespace runner::run {

namespace {

// A shell, its command, and a pipeline or a few threads.
constexpr std::uint64_t kProcessesOfSlice = 4;
// runner's own, with a few for a launch and a look at /proc; then a log and a pidfd for each slice, with two pipes.
constexpr std::uint64_t kOwnDescriptors = 32;
constexpr std::uint64_t kDescriptorsOfSlice = 2;
constexpr std::uint64_t kDescriptorsOfCaptured = 4;

std::uint32_t wanted_slots(const core::Spec& spec, const host::Machine& machine) {
  switch (spec.n_procs.kind) {
    case core::ProcCount::Kind::count:
      return spec.n_procs.value;
    case core::ProcCount::Kind::automatic:
      break;
    case core::ProcCount::Kind::percent:
      return static_cast<std::uint32_t>(std::lround(machine.cpus * static_cast<double>(spec.n_procs.value) / 100.0));
  }
  return machine.cpus;
}

/// How many slices find room at the same time, and what for.
struct Room {
  std::uint64_t slices = UINT64_MAX;
  std::string why;
};

/// By what a slice declares that it needs. Of several jobs nobody knows which run beside each other.
Room declared_room(const core::Spec& spec, const core::Resources& machine) {
  if (std::ranges::count(spec.jobs, core::JobKind::slices, &core::JobSpec::kind) != 1) return {};
  const core::JobSpec& job = *std::ranges::find(spec.jobs, core::JobKind::slices, &core::JobSpec::kind);
  Room room;
  if (job.memory && *job.memory > 0) {
    room = {.slices = machine.memory / *job.memory,
            .why = util::format_size(*job.memory) + " of memory, and this process may use " +
                   util::format_size(machine.memory)};
  }
  const std::int64_t cpus = job.cpus_milli.value_or(0);
  if (cpus > 0 && static_cast<std::uint64_t>(machine.cpus_milli / cpus) < room.slices) {
    room = {.slices = static_cast<std::uint64_t>(machine.cpus_milli / cpus),
            .why = util::format_milli(cpus) + (cpus == 1000 ? " CPU" : " CPUs") + ", and this process may use " +
                   util::format_milli(machine.cpus_milli)};
  }
  if (!room.why.empty()) room.why = "a slice of " + job.name + " needs " + room.why;
  return room;
}

}  // namespace

Capacity capacity(const core::Spec& spec, const host::Machine& machine, bool captured) {
  const std::uint32_t wanted = std::max(1U, wanted_slots(spec, machine));
  Capacity capacity;
  capacity.resources = {.slots = wanted, .cpus_milli = std::int64_t{machine.cpus} * 1000, .memory = machine.memory};
  const auto limit = [&](std::uint64_t slots, const std::string& why) {
    if (slots < capacity.most_slots) {
      capacity.most_slots = static_cast<std::uint32_t>(std::max<std::uint64_t>(1, slots));
      capacity.most_slots_because = why;
    }
    if (slots >= capacity.resources.slots) return;
    capacity.resources.slots = static_cast<std::uint32_t>(std::max<std::uint64_t>(1, slots));
    capacity.note =
        util::format_count(capacity.resources.slots) + " at a time, not " + util::format_count(wanted) + ": " + why;
  };
  if (const Room room = declared_room(spec, capacity.resources); !room.why.empty()) limit(room.slices, room.why);
  if (machine.descriptors > 0) {
    const std::uint64_t left = machine.descriptors - std::min(machine.descriptors, kOwnDescriptors);
    limit(left / (captured ? kDescriptorsOfCaptured : kDescriptorsOfSlice),
          "the limit of open files (ulimit -n) is " + util::format_count(machine.descriptors));
  }
  if (machine.processes) {
    limit(*machine.processes / kProcessesOfSlice, "there may be " + util::format_count(*machine.processes) +
                                                      " more processes (" + machine.processes_reason +
                                                      "), and a slice may need " + std::to_string(kProcessesOfSlice));
  }
  return capacity;
}

}  // namespace runner::run
