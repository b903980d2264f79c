// Terminal: what is known of the place text goes to - whether a line can be redrawn there, colours, the width. A value;
// detect_terminal() looks once, tests make their own. Style colours state words and nothing else.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "core/lifecycle.hpp"

namespace runner::report {

enum class ColorMode : std::uint8_t { automatic, always, never };

struct Terminal {
  bool live = false;  ///< a line can be drawn over: a terminal, and not a dumb one
  bool color = false;
  /// The width now (it may be resized); 0 while nothing should be drawn: runner is in the background.
  std::function<unsigned()> columns = [] { return 80U; };
};

/// `automatic`: colours on a terminal unless NO_COLOR is set (no-color.org) or TERM is dumb.
Terminal detect_terminal(int fd, ColorMode mode);

enum class Tone : std::uint8_t { good, bad, caution };

class Style {
 public:
  explicit Style(bool color) : color_(color) {}
  [[nodiscard]] std::string operator()(Tone tone, std::string_view word) const;
  [[nodiscard]] std::string operator()(core::State state) const;

 private:
  bool color_;
};

}  // namespace runner::report
