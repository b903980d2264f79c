// JobMap: the keys of one job - its own, and for what it leaves out those at the top of the spec, where there are
// several jobs. Borrows the tree for one load.
#pragma once

#include <string_view>
#include <vector>

#include "spec/reader.hpp"
#include "spec/yaml_tree.hpp"

namespace runner::spec {

class JobMap {
 public:
  struct Entry {
    const Node* key = nullptr;
    const Node* value = nullptr;
  };

  /// `defaults`: nullptr where the spec is one job.
  explicit JobMap(const Node& own, const Node* defaults = nullptr) : own_(own), defaults_(defaults) {}

  [[nodiscard]] const Node& own() const { return own_; }
  [[nodiscard]] bool is_one_of_several() const { return defaults_ != nullptr; }
  [[nodiscard]] const Node* find(std::string_view key) const;
  /// What the map `key` holds: the job's entries, and those of the defaults that it does not have itself. What is no
  /// map, or too large, is reported and left out. `example`: how it would be right.
  [[nodiscard]] std::vector<Entry> entries(std::string_view key, std::string_view example, Reader& reader) const;

 private:
  const Node& own_;
  const Node* defaults_;
};

}  // namespace runner::spec
