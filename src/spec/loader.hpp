// Loads a spec: YAML -> core::Spec, strictly. Every mistake is reported, each with its line and column, and with the
// nearest right word. Reads the spec and the files it lists slices from; starts nothing, writes nothing.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "core/spec.hpp"

namespace runner::spec {

/// One mistake. Printed as "<file>:<line>:<column>: <message>".
struct Problem {
  std::string file;  ///< as the user named it
  int line = 0;      ///< from 1; 0 where the file as a whole is meant
  int column = 0;
  std::string message;
};
std::string to_string(const Problem& problem);

/// What the command line changes in a spec.
struct Overrides {
  std::optional<std::string> n_procs;                    ///< as in YAML: "8", "auto", "50%"
  std::vector<std::pair<std::string, std::string>> set;  ///< --set var=value; the variable must exist in `vars`
  std::optional<std::string> state_dir;
};

/// The spec, or every problem found in it (at least one), in order of position.
std::variant<core::Spec, std::vector<Problem>> load(const std::string& path, const Overrides& overrides = {});
/// The same from text already read, as if it stood in a file at `path` (resume reads the stored copy so).
std::variant<core::Spec, std::vector<Problem>> load_text(std::string_view text, const std::string& path,
                                                         const Overrides& overrides = {});

}  // namespace runner::spec
