// cli: argv -> Command. The only place that knows Boost.Program_options. Prints nothing and starts nothing: help text
// and errors are part of what it returns.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "report/terminal.hpp"
#include "spec/loader.hpp"

namespace runner::app {

/// What every subcommand takes.
struct Common {
  std::string spec_path;  ///< as it was typed; "" where none was given (status)
  spec::Overrides overrides;
  report::ColorMode color = report::ColorMode::automatic;
  int verbosity = 0;  ///< -1 with -q, 1 with -v, 2 with -vv
};

/// What to do about processes of slices that outlived a runner (and its guard) that was killed.
enum class Survivors : std::uint8_t { kill, refuse };

struct RunCommand {
  Common common;
  bool resume = false;
  bool may_steer = false;  ///< `runner resume`: a live run that is suspended goes on
  bool accept_changes = false;
  bool dry_run = false;
  std::vector<std::string> slices;
  std::optional<core::Print> print;  ///< unset: as the spec has it
  Survivors survivors = Survivors::kill;
  bool guard = true;
};

struct StatusCommand {
  Common common;
  std::string format = "table";       ///< a name known to report/factory: table, json, joblog
  std::optional<std::string> run_id;  ///< default: the newest run
};

struct LogsCommand {
  Common common;
  std::string slice;  ///< its key
  std::optional<std::uint32_t> attempt;
  std::optional<std::string> run_id;
  bool follow = false;
};

struct CheckCommand {
  Common common;
};

struct SemCommand {
  std::string name;
  std::uint32_t slots = 1;
  std::optional<util::Duration> timeout;  ///< unset: for ever
  std::string directory;                  ///< "": that of the run
  std::vector<std::string> command;       ///< at least a program
};

struct CountCommand {
  std::string name;
  std::int64_t number = 1;
};

/// What is asked of a live run.
struct ControlCommand {
  Common common;
  std::string what;                 ///< suspend, cancel, retry, disable, enable (core::Steering), scale
  std::vector<std::string> slices;  ///< --slices; none: the whole run
  std::optional<std::uint32_t> n_procs;
};

/// Text to print on stdout (help, version), or a mistake (exit 2) to print on stderr.
struct Help {
  std::string text;
};
struct UsageError {
  std::string message;
};

using Command = std::variant<RunCommand, StatusCommand, LogsCommand, CheckCommand, SemCommand, CountCommand,
                             ControlCommand, Help, UsageError>;

Command parse_command_line(const std::vector<std::string>& args);

}  // namespace runner::app
