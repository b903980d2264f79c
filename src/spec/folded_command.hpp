// A trap of YAML's: a folded text (`>`) keeps the break before a line that is indented more than the one above, so that
// what looks like the command's next arguments is a command of its own to the shell. Pure.
#pragma once

#include <cstddef>
#include <optional>

#include "spec/yaml_tree.hpp"

namespace runner::spec {

/// Where in the value of a command the first line begins (behind its blanks) that became a command by its indentation
/// alone; nothing where there is none, or where the line break may well be meant: in quotes, behind `do` or `\`.
std::optional<std::size_t> line_split_off(const Node& command);

}  // namespace runner::spec
