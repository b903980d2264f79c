// How many slices at a time a machine and its limits allow.
#include <doctest/doctest.h>

#include "run/capacity.hpp"

using namespace runner;

namespace {

run::Capacity capacity_of(std::uint32_t n_procs, const host::Machine& machine, bool captured = false) {
  core::Spec spec;
  spec.n_procs = {core::ProcCount::Kind::count, n_procs};
  return run::capacity(spec, machine, captured);
}

}  // namespace

TEST_CASE("n_procs is what is done where no limit is near") {
  host::Machine machine;
  machine.processes = 4000;
  machine.descriptors = 20000;
  CHECK(capacity_of(1000, machine).resources.slots == 1000);
  CHECK(capacity_of(1000, machine).note.empty());
  CHECK(capacity_of(5000, host::Machine{}).resources.slots == 5000);
}

TEST_CASE("slices leave each other room for the processes they start") {
  host::Machine machine;
  machine.processes = 20;
  machine.processes_reason = "ulimit -u 24";
  const auto capacity = capacity_of(50, machine);
  CHECK(capacity.resources.slots == 5);
  CHECK(capacity.note == "5 at a time, not 50: there may be 20 more processes (ulimit -u 24), and a slice may need 4");
  machine.processes = 0;
  CHECK(capacity_of(50, machine).resources.slots == 1);
}

TEST_CASE("what slices declare that they need leaves room for fewer of them") {
  host::Machine machine;
  machine.cpus = 4;
  machine.memory = std::uint64_t{16} << 30U;
  core::Spec spec;
  spec.n_procs = {core::ProcCount::Kind::count, 10};
  core::JobSpec& fit = spec.jobs.emplace_back();
  fit.name = "fit";
  fit.memory = std::uint64_t{3} << 30U;
  auto capacity = run::capacity(spec, machine, false);
  CHECK(capacity.resources.slots == 5);
  CHECK(capacity.note == "5 at a time, not 10: a slice of fit needs 3 GiB of memory, and this process may use 16 GiB");
  fit.cpus_milli = 2500;
  capacity = run::capacity(spec, machine, false);
  CHECK(capacity.resources.slots == 1);
  CHECK(capacity.note == "1 at a time, not 10: a slice of fit needs 2.5 CPUs, and this process may use 4");
  fit.cpus_milli = 50;
  fit.memory.reset();
  spec.n_procs.value = 100;
  CHECK(run::capacity(spec, machine, false).note.find(" needs 0.05 CPUs,") != std::string::npos);
  spec.n_procs.value = 10;
  fit.cpus_milli = 2500;
  spec.jobs.emplace_back().name = "plot";  // may run beside it
  capacity = run::capacity(spec, machine, false);
  CHECK(capacity.resources.slots == 10);
  CHECK(capacity.note.empty());
}

TEST_CASE("descriptors are kept for the record, and captured output takes more of them") {
  host::Machine machine;
  machine.descriptors = 1024;
  CHECK(capacity_of(5000, machine).resources.slots == 496);
  CHECK(capacity_of(5000, machine).note == "496 at a time, not 5,000: the limit of open files (ulimit -n) is 1,024");
  CHECK(capacity_of(5000, machine, true).resources.slots == 248);
  machine.processes = 40;
  CHECK(capacity_of(5000, machine).resources.slots == 10);
  machine.descriptors = 16;
  CHECK(capacity_of(5000, machine).resources.slots == 1);
}
