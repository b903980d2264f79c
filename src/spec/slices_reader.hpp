// Reads `slices`: every form of it, with the files it names. See config/SPEC.md for the forms.
#pragma once

#include <optional>
#include <string>

#include "core/slices.hpp"
#include "spec/reader.hpp"

namespace runner::spec {

/// What reading slices needs to know of the rest of the spec.
struct SlicesContext {
  std::string spec_dir;         ///< absolute: where relative paths start
  std::string shown_dir;        ///< the same as the user named it, with its slash ("config/"), for messages
  bool paths_absolute = false;  ///< whether {file} must be absolute, as commands run in another directory
  bool allow_empty = false;
};

/// Nothing where `node` is wrong; what is wrong has been reported.
std::optional<core::SliceList> read_slices(const Node& node, const SlicesContext& context, Reader& reader);

}  // namespace runner::spec
