// Client: one request to the control socket of a live run, for the subcommands. Blocks, with a limit; keeps nothing.
#pragma once

#include <string>

#include "util/result.hpp"

namespace runner::control {

struct Answer {
  unsigned status = 0;
  std::string body;
};

/// `path` is the socket's. An error where nobody listens (ECONNREFUSED, ENOENT), or it is another user's.
util::Result<Answer> ask(const std::string& path, const std::string& method, const std::string& target,
                         const std::string& body);
/// The text of {"error": "..."}, else the body as it is.
std::string error_in(const std::string& body);

}  // namespace runner::control
