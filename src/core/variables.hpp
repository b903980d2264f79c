// Variables: what {name} stands for in one attempt of one slice. Made anew for each attempt; owns its strings.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace runner::core {

/// Name -> value, in order of definition. Few (about 20), so a linear search beats a map.
class Variables {
 public:
  void reserve(std::size_t count) { all_.reserve(count); }
  void set(std::string_view name, std::string value);  ///< replaces an earlier one of that name
  [[nodiscard]] const std::string* find(std::string_view name) const;
  [[nodiscard]] const std::vector<std::pair<std::string, std::string>>& all() const { return all_; }

 private:
  std::vector<std::pair<std::string, std::string>> all_;
};

/// The environment variable a slice finds `name` in: RUNNER_SLICE, RUNNER_RUN_ID ... for those that are always there,
/// RUNNER_VAR_FILE_NAME for file.name.
std::string environment_name(std::string_view name);
/// Likewise the port of a service: RUNNER_SERVICE_DATA_BASE_PORT.
std::string port_environment_name(std::string_view service);

}  // namespace runner::core
