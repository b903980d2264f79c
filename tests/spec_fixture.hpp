// What tests of spec/ share: a directory that is gone afterwards, and short ways to load text.
#pragma once

#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <variant>
#include <vector>

#include "core/spec.hpp"
#include "spec/loader.hpp"

namespace runner::test {

/// The directory tests/ of the source tree.
inline std::string tests_dir() {
  return std::filesystem::path(__FILE__).parent_path().string();
}

class TempDir {
 public:
  TempDir() {
    std::string path =
        (std::filesystem::canonical(std::filesystem::temp_directory_path()) / "runner-spec-XXXXXX").string();
    if (::mkdtemp(path.data()) == nullptr) throw std::runtime_error("mkdtemp");
    path_ = path;
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  ~TempDir() { std::filesystem::remove_all(path_); }

  [[nodiscard]] const std::string& path() const { return path_; }
  /// Writes a file, with its directories; its path.
  std::string write(const std::string& name, const std::string& text) const {
    const std::filesystem::path path = std::filesystem::path(path_) / name;
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path, std::ios::binary) << text;
    return path.string();
  }

 private:
  std::string path_;
};

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
