#include "core/variables.hpp"

#include <algorithm>

namespace runner::core {

void Variables::set(std::string_view name, std::string value) {
  const auto it = std::find_if(all_.begin(), all_.end(), [&](const auto& entry) { return entry.first == name; });
  if (it != all_.end()) {
    it->second = std::move(value);
  } else {
    all_.emplace_back(name, std::move(value));
  }
}

const std::string* Variables::find(std::string_view name) const {
  const auto it = std::find_if(all_.begin(), all_.end(), [&](const auto& entry) { return entry.first == name; });
  return it == all_.end() ? nullptr : &it->second;
}

}  // namespace runner::core
