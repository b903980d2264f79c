// The subcommands. Each takes its options, does its work and returns; failures are exceptions, which main prints.
#pragma once

#include <string>
#include <vector>

namespace paircount {

extern const char* const kUsage;

/// Words after the program's name.
void run_command(const std::vector<std::string>& words);

}  // namespace paircount
