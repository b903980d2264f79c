// What tests of spec/ share: a directory that is gone afterwards, and short ways to load text.
#pragma once

#include <filesystem>
#include <stdexcept>
#include <string>
#include <variant>
#include <vector>

#include "core/spec.hpp"
#include "spec/loader.hpp"
#include "temporary_directory.hpp"

namespace runner::test {

/// The directory tests/ of the source tree.
inline std::string tests_dir() {
  return std::filesystem::path(__FILE__).parent_path().string();
}

using Loaded = std::variant<core::Spec, std::vector<spec::Problem>>;

/// The problems, one a line; "" for a good spec.
inline std::string messages(const Loaded& loaded) {
  std::string out;
  if (const auto* problems = std::get_if<std::vector<spec::Problem>>(&loaded)) {
    for (const auto& problem : *problems) out += (out.empty() ? "" : "\n") + spec::to_string(problem);
  }
  return out;
}

/// The spec, or an exception with the problems.
inline core::Spec good(const Loaded& loaded) {
  if (const auto* loaded_spec = std::get_if<core::Spec>(&loaded)) return *loaded_spec;
  throw std::runtime_error(messages(loaded));
}

inline core::Spec load_good(const std::string& text, const spec::Overrides& overrides = {}) {
  return good(spec::load_text(text, "/tmp/spec.yaml", overrides));
}

inline std::string load_wrong(const std::string& text, const spec::Overrides& overrides = {}) {
  return messages(spec::load_text(text, "/tmp/spec.yaml", overrides));
}

}  // namespace runner::test
