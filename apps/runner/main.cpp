// runner: runs one command over many slices of a data set, N at a time, and records what happened to each.
#include <exception>
#include <variant>

#include "commands.hpp"
#include "common.hpp"
#include "exit_codes.hpp"
#include "process.hpp"

int main(int argc, char** argv) {
  using namespace runner::app;  // NOLINT(google-build-using-namespace): main is all there is here
  struct Dispatch {
    int operator()(const RunCommand& command) const { return command.dry_run ? dry_run(command) : run(command); }
    int operator()(const StatusCommand& command) const { return status(command); }
    int operator()(const LogsCommand& command) const { return logs(command); }
    int operator()(const CheckCommand& command) const { return check(command); }
    int operator()(const SemCommand& command) const { return sem(command); }
    int operator()(const CountCommand& command) const { return count(command); }
    int operator()(const ControlCommand& command) const { return control(command); }
    int operator()(const Help& help) const { return print(help.text) && flush_stdout() ? kSucceeded : kRecordFailed; }
    int operator()(const UsageError& error) const {
      complain(error.message);
      return kUsage;
    }
  };
  if (!begin_process()) return kUsage;
  try {
    return std::visit(Dispatch{}, parse_command_line({argv + (argc > 0 ? 1 : 0), argv + argc}));
  } catch (const std::exception& error) {
    return report(error);
  }
}
