// Here-documents in a shell string: reads "<<EOF" and finds the end of the body. Only the simple forms, about which all
// shells agree. Used by shell_scan.cpp only. Pure.
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

namespace runner::core {

struct HereDocument {
  std::string_view delimiter;
  bool strips_tabs = false;  ///< <<-
  bool expands = false;      ///< the delimiter is not quoted: $ and ` work in the body
};

/// Reads the operator and its delimiter at `at` ("<<EOF", "<<- 'EOF'") and moves `at` behind them. Nothing where the
/// delimiter is no simple word.
std::optional<HereDocument> read_here_operator(std::string_view text, std::size_t& at);

struct HereBody {
  std::size_t end = 0;     ///< of the body: where the delimiter's line begins
  std::size_t after = 0;   ///< the end of the delimiter's line
  bool is_certain = true;  ///< the shells cannot differ about where it ends
};
/// `begin`: the first byte of the body.
HereBody find_here_body(std::string_view text, std::size_t begin, const HereDocument& document);

}  // namespace runner::core
