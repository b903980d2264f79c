#include "run/capacity.hpp"

#include <algorithm>
#include <cmath>

#include "util/text.hpp"

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

}  // namespace

namespace {

/// Of the slices of one job, how many find room at the same time, and what for.
struct Room {
  std::uint64_t slices = UINT64_MAX;
  std::string why;
};

Room room_for(const core::JobSpec& job, const core::Resources& machine) {
  Room room;
  const auto text = [](double cpus) {
    std::string number = std::to_string(std::llround(cpus * 1000));  // 2.5 as it is
    number.insert(number.size() > 3 ? number.size() - 3 : 0, number.size() > 3 ? "." : "0.");
    number.erase(number.find_last_not_of('0') + 1);
    if (number.ends_with('.')) number.pop_back();
    return number;
  };
  if (job.memory && *job.memory > 0) {
    room = {machine.memory / *job.memory, "a slice of " + job.name + " needs " + util::format_size(*job.memory) +
                                              " of memory, and this process may use " +
                                              util::format_size(machine.memory)};
  }
  if (const auto cpus = job.cpus_milli.value_or(0); cpus > 0) {
    const auto fit = static_cast<std::uint64_t>(machine.cpus_milli / cpus);
    if (fit < room.slices) {
      room = {fit, "a slice of " + job.name + " needs " + text(static_cast<double>(cpus) / 1000) +
                       (cpus == 1000 ? " CPU" : " CPUs") + ", and this process may use " +
                       text(static_cast<double>(machine.cpus_milli) / 1000)};
    }
  }
  return room;
}

/// Of the job of which most do.
Room widest_room(const core::Spec& spec, const core::Resources& machine) {
  Room widest{.slices = 0, .why = {}};
  for (const core::JobSpec& job : spec.jobs) {
    if (job.kind != core::JobKind::slices) continue;
    if (Room room = room_for(job, machine); room.slices > widest.slices) widest = std::move(room);
  }
  return widest;
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
  if (const Room room = widest_room(spec, capacity.resources); !room.why.empty()) limit(room.slices, room.why);
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
