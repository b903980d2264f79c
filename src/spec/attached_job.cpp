#include "spec/attached_job.hpp"

#include <algorithm>
#include <utility>

namespace runner::spec {
namespace {

Node map_node(std::size_t offset) {
  Node map;
  map.kind = Node::Kind::map;
  map.offset = offset;
  return map;
}

void add(Node& map, const std::string& key, const Node& value) {
  Node name;
  name.kind = Node::Kind::scalar;
  name.offset = value.offset;
  name.value = key;
  map.keys.push_back(std::move(name));
  map.items.push_back(value);
}

/// The entries of `vars` or `env` around that do not speak of slices.
Node general_entries(const std::string& key, const Surroundings& around, std::size_t offset, Reader& reader) {
  Node kept = map_node(offset);
  for (const auto& entry : around.map.entries(key, "{NAME: value}", reader)) {
    const bool speaks_of_slices = std::ranges::any_of(around.slice_variables, [&](const std::string& name) {
      return entry.value->value.find("{" + name) != std::string::npos;
    });
    if (speaks_of_slices) continue;
    kept.keys.push_back(*entry.key);
    kept.items.push_back(*entry.value);
  }
  return kept;
}

}  // namespace

core::JobSpec read_attached_job(const Node& node, Label label, const std::vector<std::string>& keys,
                                const Surroundings& around, const JobContext& context, Reader& reader) {
  Node own = map_node(node.offset);
  if (node.kind == Node::Kind::map) {
    reader.check_keys(node, label, keys);
    for (std::size_t i = 0; i < node.keys.size(); ++i) {
      const auto& of_jobs = job_keys();
      if (std::ranges::find(of_jobs, node.keys[i].value) == of_jobs.end()) continue;  // the caller's
      own.keys.push_back(node.keys[i]);
      own.items.push_back(node.items[i]);
    }
  } else {
    add(own, "command", node);
  }
  if (const Node* workdir = around.map.find("workdir"); workdir != nullptr && own.find("workdir") == nullptr)
    add(own, "workdir", *workdir);
  Node defaults = map_node(node.offset);
  Node vars = general_entries("vars", around, node.offset, reader);
  if (around.has_port) {
    Node unknown;
    unknown.kind = Node::Kind::scalar;
    unknown.value = "0";
    unknown.offset = node.offset;
    add(vars, "port", unknown);
  }
  add(defaults, "vars", vars);
  add(defaults, "env", general_entries("env", around, node.offset, reader));
  return read_job(JobMap(own, &defaults), context, reader);
}

}  // namespace runner::spec
