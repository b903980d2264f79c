#include "spec/job_map.hpp"

#include <algorithm>

#include "spec/limits.hpp"

namespace runner::spec {

const Node* JobMap::find(std::string_view key) const {
  const Node* found = own_.find(key);
  return found != nullptr || defaults_ == nullptr ? found : defaults_->find(key);
}

std::vector<JobMap::Entry> JobMap::entries(std::string_view key, std::string_view example, Reader& reader) const {
  std::vector<Entry> all;
  for (const Node* from : {defaults_, &own_}) {
    const Node* map = from == nullptr ? nullptr : from->find(key);
    if (map == nullptr || !reader.is_map(*map, key, example) || !reader.is_within(*map, key, kMaxNames)) continue;
    const std::size_t inherited = all.size();
    for (std::size_t i = 0; i < map->keys.size(); ++i) {
      const auto same = std::find_if(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(inherited),
                                     [&](const Entry& entry) { return entry.key->value == map->keys[i].value; });
      const Entry entry{&map->keys[i], &map->items[i]};
      if (same == all.begin() + static_cast<std::ptrdiff_t>(inherited)) {
        all.push_back(entry);
      } else {
        *same = entry;
      }
    }
  }
  return all;
}

}  // namespace runner::spec
