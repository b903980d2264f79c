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
int control(const ControlCommand& command);
/// Whether a live run was suspended, and goes on now.
bool resume_live(const std::string& state_dir, const std::vector<std::string>& slices);

}  // namespace runner::app
