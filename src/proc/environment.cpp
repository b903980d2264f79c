#include "proc/environment.hpp"

#include <algorithm>
#include <cstring>

namespace runner::proc {
namespace {

std::string_view name_of(const char* variable) {
  const char* equals = std::strchr(variable, '=');
  return equals == nullptr ? std::string_view(variable)
                           : std::string_view(variable, static_cast<std::size_t>(equals - variable));
}

}  // namespace

Environment::Environment(const char* const* inherited, const std::vector<std::string>& more) {
  for (; inherited != nullptr && *inherited != nullptr; ++inherited) inherited_.emplace_back(*inherited);
  for (const auto& variable : more) {
    std::erase_if(inherited_, [&](const auto& other) { return name_of(other.c_str()) == name_of(variable.c_str()); });
    inherited_.push_back(variable);
  }
  for (std::size_t i = 0; i < inherited_.size(); ++i) position_.try_emplace(name_of(inherited_[i].c_str()), i);
}

const char* const* Environment::with(const std::vector<std::string>& variables, std::span<const std::string> last) {
  built_.clear();
  for (const auto& variable : inherited_) built_.push_back(variable.c_str());
  std::size_t number = 0;
  for (const auto& variable : variables) set(variable.c_str(), number++);
  for (const auto& variable : last) set(variable.c_str(), number++);
  built_.push_back(nullptr);
  return built_.data();
}

/// `number`: it is the how-manieth of its call. What went before it has the same places as in the call before, or its
/// place is forgotten.
void Environment::set(const char* variable, std::size_t number) {
  const bool is_known = number < places_.size() &&
                        std::strncmp(variable, places_[number].start.c_str(), places_[number].start.size()) == 0;
  if (!is_known) {
    places_.resize(std::min(places_.size(), number));
    const std::string_view name = name_of(variable);
    places_.push_back({std::string(name) + '=', place_of(name)});
  }
  const std::size_t index = places_[number].index;
  if (index == built_.size()) {
    built_.push_back(variable);
  } else {
    built_[index] = variable;
  }
}

std::size_t Environment::place_of(std::string_view name) const {
  if (const auto known = position_.find(name); known != position_.end()) return known->second;
  std::size_t index = inherited_.size();
  while (index < built_.size() && built_[index] != nullptr && name_of(built_[index]) != name) ++index;
  return index;
}

const char* Environment::find(std::string_view name) const {
  const std::size_t index = built_.empty() ? 0 : place_of(name);
  if (index >= built_.size() || built_[index] == nullptr) return nullptr;
  return built_[index][name.size()] == '=' ? built_[index] + name.size() + 1 : nullptr;
}

}  // namespace runner::proc
