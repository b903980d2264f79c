#include "proc/environment.hpp"

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
  for (const auto& variable : variables) set(variable.c_str());
  for (const auto& variable : last) set(variable.c_str());
  built_.push_back(nullptr);
  return built_.data();
}

void Environment::set(const char* variable) {
  const std::string_view name = name_of(variable);
  if (const auto known = position_.find(name); known != position_.end()) {
    built_[known->second] = variable;
    return;
  }
  for (std::size_t i = inherited_.size(); i < built_.size(); ++i) {  // some 20 at most
    if (name_of(built_[i]) == name) {
      built_[i] = variable;
      return;
    }
  }
  built_.push_back(variable);
}

const char* Environment::find(std::string_view name) const {
  for (const char* variable : built_) {
    if (variable == nullptr) break;
    if (std::strncmp(variable, name.data(), name.size()) == 0 && variable[name.size()] == '=')
      return variable + name.size() + 1;
  }
  return nullptr;
}

}  // namespace runner::proc
