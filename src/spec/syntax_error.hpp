// Says what a YAML parser's complaint means in terms of what was typed. Pure.
#pragma once

#include <cstddef>
#include <optional>
#include <string>

#include "spec/source.hpp"

namespace runner::spec {

/// What the parser had seen when it gave up.
struct ParserState {
  std::size_t offset = 0;                   ///< where it gave up
  std::string message;                      ///< yaml-cpp's
  std::optional<std::size_t> open_flow;     ///< start of the innermost [ or { not closed yet
  std::optional<std::size_t> closed_value;  ///< start of the last [...], {...} or quoted value seen
};

struct SyntaxError {
  std::size_t offset = 0;
  std::string message;
};
SyntaxError explain(const Source& source, const ParserState& state);

/// Where the line of `offset` has a tab in its indentation, if it has.
std::optional<std::size_t> tab_in_indentation(const Source& source, std::size_t offset);

}  // namespace runner::spec
