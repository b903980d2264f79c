// This process before it knows what it is to do, and when it cannot go on doing it. Plain functions; no state.
#pragma once

#include <exception>

#include "exit_codes.hpp"

namespace runner::app {

/// Puts right what was inherited: closed descriptors, blocked signals. False (and said): no command can work here.
bool begin_process();

/// Says what an exception that nobody expected means, a limit or a bug, and returns the exit code for it.
ExitCode report(const std::exception& error);

}  // namespace runner::app
