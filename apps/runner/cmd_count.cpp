// runner count: adds to a counter of the run, from inside a slice.
#include <cstdlib>
#include <exception>
#include <runner/counter.hpp>

#include "commands.hpp"
#include "common.hpp"
#include "exit_codes.hpp"

namespace runner::app {

int count(const CountCommand& command) {
  if (const char* file = std::getenv("RUNNER_COUNTERS"); file == nullptr || *file == '\0') {
    complain("count: nothing counts outside of a slice of a run (RUNNER_COUNTERS is not set)");
    return kUsage;
  }
  try {
    Counter(command.name).add(command.number);
    return kSucceeded;
  } catch (const std::exception& error) {
    complain("count " + command.name + ": " + error.what());
    return kRecordFailed;
  }
}

}  // namespace runner::app
