// describe_topology() alone, so that nothing else is compiled against hwloc.
#include <hwloc.h>

#include <memory>
#include <string>

#include "host/machine.hpp"

namespace runner::host {
namespace {

struct Destroy {
  void operator()(hwloc_topology_t topology) const { hwloc_topology_destroy(topology); }
};

/// "2 cores, ": nothing where hwloc cannot tell.
void add_count(std::string& text, hwloc_topology_t topology, hwloc_obj_type_t type, const char* one, const char* many) {
  const int count = hwloc_get_nbobjs_by_type(topology, type);
  if (count <= 0) return;
  if (!text.empty()) text += ", ";
  text += std::to_string(count) + " " + (count == 1 ? one : many);
}

}  // namespace

std::string describe_topology() {
  hwloc_topology_t raw = nullptr;
  if (hwloc_topology_init(&raw) != 0) return "unknown topology";
  const std::unique_ptr<hwloc_topology, Destroy> topology(raw);
  if (hwloc_topology_load(raw) != 0) return "unknown topology";
  std::string text;
  add_count(text, raw, HWLOC_OBJ_CORE, "core", "cores");
  add_count(text, raw, HWLOC_OBJ_PU, "thread", "threads");
  add_count(text, raw, HWLOC_OBJ_PACKAGE, "package", "packages");
  add_count(text, raw, HWLOC_OBJ_NUMANODE, "NUMA node", "NUMA nodes");
  return text.empty() ? "unknown topology" : text;
}

}  // namespace runner::host
