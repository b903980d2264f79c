#include "util/result.hpp"

#include <system_error>

#include "util/display.hpp"

namespace runner::util {

constexpr std::size_t kLongest = 20'000;  // of a path of 4096 bytes, each escaped

Error errno_error(std::string_view what, int errno_value) {
  return {escape_for_display(what, kLongest) + ": " + std::generic_category().message(errno_value), errno_value};
}

}  // namespace runner::util
