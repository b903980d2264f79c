// The subcommands. Each does all of its work and returns the exit code; one file each.
#pragma once

#include "cli.hpp"

namespace runner::app {

int run(const RunCommand& command);
int dry_run(const RunCommand& command);
int status(const StatusCommand& command);
int logs(const LogsCommand& command);
int check(const CheckCommand& command);
int sem(const SemCommand& command);
int count(const CountCommand& command);

}  // namespace runner::app
