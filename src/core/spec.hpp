// Spec: the YAML file after parsing and validation, as plain structs with defaults resolved. Made by spec/loader;
// read by everybody; never changed after loading. Paths in it are absolute.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "core/job_kind.hpp"
#include "core/outcome.hpp"
#include "core/slices.hpp"
#include "core/template.hpp"
#include "util/clock.hpp"

namespace runner::core {

/// `n_procs: 10`, `auto` (every CPU this process may use) or `50%` of those.
struct ProcCount {
  enum class Kind : std::uint8_t { count, automatic, percent };
  Kind kind = Kind::automatic;
  std::uint32_t value = 0;  ///< the count or the percentage
};

/// `5%` of the slices, or a number of them.
struct FailureLimit {
  bool is_percent = false;
  double value = 0;
  /// The number of failures that are still tolerated, for a job of `slices` slices (rounded down).
  [[nodiscard]] std::uint64_t tolerated(std::uint64_t slices) const;
};

enum class OnHalt : std::uint8_t { drain, kill };

struct RetryPolicy {
  std::uint32_t retries = 0;
  util::Duration delay = std::chrono::seconds(5);
  util::Duration delay_max = std::chrono::minutes(5);
  std::vector<Outcome> outcomes = {Outcome::failed, Outcome::killed, Outcome::timed_out, Outcome::out_of_memory};
  std::vector<int> exit_codes;  ///< when not empty: only `failed` with one of these
  [[nodiscard]] bool applies_to(const Ending& ending) const;
};

/// What a job waits for.
struct Need {
  enum class After : std::uint8_t {
    completed,  ///< all of that job (`needs`)
    each,       ///< slice i after slice i of it (`needs_each`)
    over,       ///< however it ended (teardown)
    up,         ///< a service, as long as that is ready
  };
  std::uint32_t job = 0;  ///< position in Spec::jobs
  After after = After::completed;
};

/// `limits: {scratch: 2}`: so much is there for the slices of all jobs.
struct Limit {
  std::string name;
  std::uint32_t amount = 0;
};
/// `uses: {scratch: 1}`: one slice takes so much of it while it runs.
struct Use {
  std::uint32_t limit = 0;  ///< position in Spec::limits
  std::uint32_t amount = 0;
};

struct JobSpec;

/// A program that runs beside the slices.
struct ServiceSpec {
  enum class Ready : std::uint8_t { at_once, command, port, file };
  Ready ready = Ready::at_once;  ///< what tells that it is
  util::Duration ready_timeout = std::chrono::seconds(30);
  std::vector<JobSpec> probe;         ///< of Ready::command: one, asked again and again until it exits with 0
  std::uint16_t ready_port = 0;       ///< of Ready::port: on this machine; 0: the service's own
  std::string ready_file;             ///< of Ready::file: absolute
  std::optional<std::uint16_t> port;  ///< 0: one that is free when the run begins, see assign_ports()
};

enum class HookKind : std::uint8_t { prepare, shutdown, teardown };

struct JobSpec {
  std::string name;
  SliceList slices;
  CommandTemplate command;
  std::vector<std::pair<std::string, TextTemplate>> vars;
  std::vector<std::pair<std::string, TextTemplate>> env;
  std::string workdir;                      ///< absolute
  std::optional<TextTemplate> stdin_path;   ///< expanded values are relative to spec_dir; unset: /dev/null
  std::optional<TextTemplate> stdout_path;  ///< unset: the attempt's log file
  std::optional<util::Duration> timeout;
  std::optional<double> timeout_percent;  ///< of the median of the slices that succeeded; instead of `timeout`
  util::Duration grace = std::chrono::seconds(10);
  RetryPolicy retry;
  std::vector<int> success_codes = {0};
  std::vector<TextTemplate> outputs;
  std::optional<FailureLimit> max_failed;
  OnHalt on_halt = OnHalt::drain;
  std::optional<std::uint64_t> log_limit;  ///< bytes per attempt
  std::optional<std::int64_t> cpus_milli;  ///< thousandths of a CPU one slice needs
  std::optional<std::uint64_t> memory;     ///< bytes one slice needs
  bool env_compat_slurm = false;
  JobKind kind = JobKind::slices;
  std::optional<HookKind> hook;          ///< which one, of a hook
  std::optional<std::uint32_t> hook_of;  ///< the job that it belongs to; unset: the run
  std::optional<ServiceSpec> service{};
  // Only where there are several jobs:
  std::vector<Need> needs;
  std::optional<FailureLimit> allow_failures;  ///< so many, and the jobs that need this one go on all the same
  std::optional<std::uint32_t> n_procs;        ///< slices of this job at a time; unset: the run's n_procs
  std::vector<Use> uses;                       ///< what one slice takes of Spec::limits
  int priority = 0;                            ///< ready slices of jobs with a higher one go first
};

struct LogSpec {
  std::string level = "info";
  std::string pattern;                     ///< spdlog pattern; "" for the default
  std::uint64_t max_size = 100ULL << 20U;  ///< bytes; 0: no rotation
  std::uint32_t max_files = 5;
};

/// Where the slices' own output goes besides their logs.
enum class Print : std::uint8_t { none, group, line };

struct Spec {
  std::string path;      ///< absolute path of the file
  std::string spec_dir;  ///< its directory; relative paths in the spec start here
  std::string text;      ///< the file as it was read
  std::string name;
  ProcCount n_procs;
  std::vector<Limit> limits;
  std::string state_dir;  ///< absolute; default <spec_dir>/.runner/<name>
  std::uint32_t keep_runs = 30;
  std::optional<double> load_max;           ///< above it nothing is started beside what runs
  std::optional<std::uint64_t> memory_min;  ///< bytes; likewise with less of it available
  LogSpec log;
  Print print = Print::none;
  /// In the order of the file - one, named as the run, where there is no `jobs:` -, then services, then hooks.
  std::vector<JobSpec> jobs;
  [[nodiscard]] bool has_several_jobs() const;  ///< hooks and services do not count
};

/// Every variable of one attempt: vars, the slice's own, and the ones that are always there
/// (slice, index, attempt, slot, run, name). An error names the variable that does not expand.
struct AttemptContext {
  std::uint64_t slice = 0;
  std::uint32_t attempt = 1;
  std::uint32_t slot = 0;
  std::string_view run_id;
};
util::Result<Variables> attempt_variables(const JobSpec& job, const AttemptContext& context);

/// Everything the executor needs to start one attempt; made from a JobSpec by expand_attempt().
struct ExpandedAttempt {
  ExpandedCommand command;
  std::vector<std::string> env;  ///< NAME=value: the job's env and RUNNER_* (added to the inherited environment)
  std::string workdir;
  std::string stdin_path;            ///< absolute; "" for /dev/null
  std::string stdout_path;           ///< absolute; "" for the log file
  std::vector<std::string> outputs;  ///< absolute

  /// In RUNNER_SLOT; for jobs of which nothing else depends on the slot.
  void set_slot(std::uint32_t slot);
  bool operator==(const ExpandedAttempt&) const = default;
};
util::Result<ExpandedAttempt> expand_attempt(const Spec& spec, const JobSpec& job, const AttemptContext& context);

/// Whether its attempts may be expanded before their slot is known; set_slot() does the rest.
bool is_slot_only_in_environment(const Spec& spec, const JobSpec& job);

/// Gives the services their ports - `port` of each that has one, or free_port() for `auto` - as {port} in their
/// commands and as RUNNER_SERVICE_<NAME>_PORT in the environment of everything.
void assign_ports(Spec& spec, const std::function<std::uint16_t()>& free_port);

/// Names that every template may use besides the job's vars and its slice source's.
const std::vector<std::string>& builtin_variable_names();

}  // namespace runner::core
