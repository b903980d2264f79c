// Cuts a template's text into literal pieces and placeholders; the part of template.cpp that knows the syntax of
// braces and nothing of shells. Used by template.cpp only. Pure.
#pragma once

#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "core/template.hpp"

namespace runner::core {

/// Adjacent literals are one piece, and none is empty.
std::variant<std::vector<Piece>, TemplateError> parse_pieces(std::string_view text,
                                                             const std::vector<std::string>& names);

}  // namespace runner::core
