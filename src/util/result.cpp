#include "util/result.hpp"

#include <system_error>

namespace runner::util {

Error errno_error(std::string_view what, int errno_value) {
  return {std::string(what) + ": " + std::generic_category().message(errno_value), errno_value};
}

}  // namespace runner::util
