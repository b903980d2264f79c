#include "core/variables.hpp"

#include <algorithm>
#include <array>

namespace runner::core {

namespace {

std::string upper_name(std::string_view name) {
  std::string upper;
  for (const char c : name) {
    const bool is_lower = c >= 'a' && c <= 'z';
    const bool is_other = (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    upper += is_lower ? static_cast<char>(c - 'a' + 'A') : is_other ? c : '_';
  }
  return upper;
}

}  // namespace

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

std::string environment_name(std::string_view name) {
  static constexpr std::array<std::pair<std::string_view, std::string_view>, 6> kAlwaysThere = {{
      {"slice", "RUNNER_SLICE"},
      {"index", "RUNNER_INDEX"},
      {"attempt", "RUNNER_ATTEMPT"},
      {"slot", "RUNNER_SLOT"},
      {"run", "RUNNER_RUN_ID"},
      {"name", "RUNNER_NAME"},
  }};
  for (const auto& [variable, environment] : kAlwaysThere) {
    if (name == variable) return std::string(environment);
  }
  return "RUNNER_VAR_" + upper_name(name);
}

std::string port_environment_name(std::string_view service) {
  return "RUNNER_SERVICE_" + upper_name(service) + "_PORT";
}

}  // namespace runner::core
