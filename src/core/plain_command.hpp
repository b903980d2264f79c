// Recognises shell strings that need no shell, so that they can be run directly: same result, one process less.
// Used by template.cpp only. Pure.
#pragma once

#include <vector>

#include "core/template.hpp"

namespace runner::core {

/// The words of a command without operator, expansion, glob or assignment, whose first word is no builtin: each
/// is what a shell would pass on as one argument, whatever the values are. Empty if the shell is needed, or might be.
std::vector<std::vector<Piece>> split_plain_command(const std::vector<Piece>& pieces);

}  // namespace runner::core
