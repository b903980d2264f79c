// runner sem: runs a command while it holds one of N slots of a name, for slices (and others) that share a scarce
// thing.
#include <cerrno>
#include <cstdlib>

#include "commands.hpp"
#include "common.hpp"
#include "exit_codes.hpp"
#include "proc/foreground.hpp"
#include "shared/semaphore.hpp"
#include "util/text.hpp"

namespace runner::app {

namespace {

constexpr int kNotFound = 127;  // as a shell has them
constexpr int kNotExecutable = 126;

/// Where the semaphores are; "" (and said) where that is not known.
std::string directory_of(const SemCommand& command) {
  if (!command.directory.empty()) return command.directory;
  const char* of_run = std::getenv("RUNNER_SEM_DIR");
  if (of_run != nullptr && *of_run != '\0') return of_run;
  complain("outside of a slice --dir DIR says where, the same for all who share '" + command.name +
           "', such as: runner sem " + command.name + " --dir ~/.cache/sem -- COMMAND");
  return {};
}

}  // namespace

int sem(const SemCommand& command) {
  const std::string directory = directory_of(command);
  if (directory.empty()) return kUsage;
  auto slot = shared::Semaphore::take(directory, command.name, command.slots, command.timeout);
  if (!slot) {
    complain("sem: " + slot.error().message);
    if (slot.error().errno_value == ETIMEDOUT) return kLive;
    return slot.error().errno_value == EBUSY ? kUsage : kRecordFailed;
  }
  const auto status = proc::run_in_foreground({.argv = command.command,
                                               .env = {"RUNNER_SEM_SLOT=" + std::to_string(slot->slot())},
                                               .handed_down = slot->descriptor()});
  slot->give_back();  // also where the command has left processes behind
  if (!status) {
    complain("sem: " + status.error().message);
    return status.error().errno_value == ENOENT ? kNotFound : kNotExecutable;
  }
  return status->signal != 0 ? kSignalBase + status->signal : status->code;
}

}  // namespace runner::app
