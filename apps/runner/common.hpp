// What several subcommands need: saying things on stderr, data on stdout, loading the spec, finding a recorded run.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "cli.hpp"
#include "core/interval_set.hpp"
#include "core/spec.hpp"
#include "exit_codes.hpp"
#include "host/machine.hpp"
#include "report/context.hpp"
#include "run/session.hpp"
#include "store/state_dir.hpp"
#include "store/store.hpp"

namespace runner::app {

/// "runner: <message>" on stderr.
void complain(std::string_view message);
/// Data on stdout. False (and said) when it cannot be written.
bool print(std::string_view text);
/// Hands what print() has buffered to the kernel; likewise.
bool flush_stdout();

/// The spec with the command line's overrides and `settings` (--set of an earlier invocation) in it, or every problem
/// on stderr and nullopt.
std::optional<core::Spec> load_spec(const Common& common, const std::string& settings = {});

/// The spec of a run that is to begin, or to be taken up: then what --set said before holds unless it is set anew.
struct SpecToRun {
  core::Spec spec;
  std::string settings;  ///< as format_settings() has them
};
/// Or every problem on stderr and nullopt.
std::optional<SpecToRun> load_spec_to_run(const RunCommand& command);
/// The session for it; or says on stderr why there is none and returns the exit code for that. `loaded` outlives it.
std::variant<run::Session, ExitCode> open_session(const RunCommand& command, const SpecToRun& loaded);
/// A spec that everyone may write to, or exchange, is everyone's commands: said on stderr, and false. One of another
/// user is said only.
bool is_trusted(const Common& common, const core::Spec& spec);
/// A slice that can never be admitted is a mistake in the spec: said on stderr, and false.
bool fits(const core::Spec& spec, const host::Machine& machine);

/// --set as it is kept with a run, one "name=value" a line, and back.
std::string format_settings(const std::vector<std::pair<std::string, std::string>>& settings);
std::vector<std::pair<std::string, std::string>> parse_settings(std::string_view text);
/// `later` over `earlier`, by name.
std::vector<std::pair<std::string, std::string>> merge_settings(
    std::vector<std::pair<std::string, std::string>> earlier,
    const std::vector<std::pair<std::string, std::string>>& later);

/// A run as it is recorded, with all that is needed to show it.
struct RecordedRun {
  store::StateDir state_dir;
  std::unique_ptr<store::Reader> reader;
  store::StoredRun stored;
  bool live = false;
  std::optional<core::Spec> spec;  ///< as the run knew it; unset when it (or its list of slices) cannot be had any more
};
/// Finds the run that a status or logs command means; or says on stderr why there is none to show and returns the exit
/// code for that.
std::variant<RecordedRun, ExitCode> find_recorded_run(const Common& common, const std::optional<std::string>& run_id);
/// Slices are called JOB/SLICE.
bool has_several_jobs(const store::StoredRun& run);

/// Labels for reports; with no spec they fall back to indices. `spec` outlives the result.
report::Labels labels_of(const core::Spec* spec);
/// Where the spec sends the stdout of attempts of that run; likewise.
report::StdoutOf stdout_of(const core::Spec* spec, const std::string& run_id);
/// What names the spec and its record on the command line, as this user would type it: "jobs.yaml --state-dir x".
std::string spec_arguments(const Common& common, const std::string& spec_path);
/// The same with what --set says, for commands that begin a run, or one that is taken up with a change.
std::string run_arguments(const Common& common, const std::string& spec_path);
/// The command that finishes a run, likewise.
std::string resume_command(const Common& common, const std::string& spec_path);
/// The command that shows all that is recorded of a run, likewise; "" for the newest.
std::string json_command(const Common& common, const std::string& spec_path, const std::string& run_id);
/// A path as the user can type it from here: relative where it lies below the working directory.
std::string display_path(const std::string& path);

}  // namespace runner::app
