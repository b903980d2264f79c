#include "spec/hints.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "util/text.hpp"

namespace runner::spec {
namespace {

using Hint = std::pair<std::string_view, std::string_view>;

/// Other tools' words (GNU parallel, xargs, make, Slurm, Docker, GitHub Actions, Kubernetes) -> ours.
constexpr std::array kHints = {
    Hint{"jobs", "n_procs"},
    Hint{"workers", "n_procs"},
    Hint{"max_workers", "n_procs"},
    Hint{"parallelism", "n_procs"},
    Hint{"parallel", "n_procs"},
    Hint{"concurrency", "n_procs"},
    Hint{"max_parallel", "n_procs"},
    Hint{"nproc", "n_procs"},
    Hint{"nprocs", "n_procs"},
    Hint{"procs", "n_procs"},
    Hint{"processes", "n_procs"},
    Hint{"num_procs", "n_procs"},
    Hint{"threads", "n_procs"},
    Hint{"slots", "n_procs"},
    Hint{"ntasks", "n_procs"},
    Hint{"array", "slices"},
    Hint{"range", "slices"},
    Hint{"tasks", "slices"},
    Hint{"indices", "slices"},
    Hint{"inputs", "slices"},
    Hint{"items", "slices"},
    Hint{"cmd", "command"},
    Hint{"run", "command"},
    Hint{"script", "command"},
    Hint{"exec", "command"},
    Hint{"args", "command"},
    Hint{"program", "command"},
    Hint{"shell", "command"},
    Hint{"variables", "vars"},
    Hint{"params", "vars"},
    Hint{"parameters", "vars"},
    Hint{"environment", "env"},
    Hint{"environ", "env"},
    Hint{"cwd", "workdir"},
    Hint{"dir", "workdir"},
    Hint{"directory", "workdir"},
    Hint{"chdir", "workdir"},
    Hint{"working_directory", "workdir"},
    Hint{"working_dir", "workdir"},
    Hint{"retry", "retries"},
    Hint{"max_retries", "retries"},
    Hint{"attempts", "retries"},
    Hint{"backoff", "retry_delay"},
    Hint{"delay", "retry_delay"},
    Hint{"walltime", "timeout"},
    Hint{"time_limit", "timeout"},
    Hint{"time", "timeout"},
    Hint{"timeout_minutes", "timeout"},
    Hint{"kill_after", "grace"},
    Hint{"grace_period", "grace"},
    Hint{"mem", "memory"},
    Hint{"memory_limit", "memory"},
    Hint{"ram", "memory"},
    Hint{"ncpus", "cpus"},
    Hint{"cores", "cpus"},
    Hint{"cpus_per_task", "cpus"},
    Hint{"cpu", "cpus"},
    Hint{"input", "slices"},
    Hint{"output", "outputs"},
    Hint{"halt", "max_failed"},
    Hint{"max_failures", "max_failed"},
    Hint{"fail_fast", "max_failed"},
    Hint{"creates", "outputs"},
    Hint{"produces", "outputs"},
    Hint{"artifacts", "outputs"},
    Hint{"exit_codes", "success_codes"},
    Hint{"logging", "log"},
    Hint{"logs", "log"},
    Hint{"depends_on", "needs"},
    Hint{"dependencies", "needs"},
    Hint{"depends", "needs"},
    Hint{"after", "needs"},
    Hint{"requires", "needs"},
    Hint{"daemons", "services"},
    Hint{"background", "services"},
    Hint{"resources", "limits"},
    Hint{"semaphores", "limits"},
    Hint{"title", "name"},
    Hint{"job_name", "name"},
    // within `slices`
    Hint{"begin", "start"},
    Hint{"first", "start"},
    Hint{"from", "start"},
    Hint{"stop", "end"},
    Hint{"last", "end"},
    Hint{"to", "end"},
    Hint{"stride", "step"},
    Hint{"by", "step"},
    Hint{"csv", "table"},
    Hint{"tsv", "table"},
    Hint{"file", "files"},
    Hint{"glob", "files"},
    Hint{"values", "list"},
    Hint{"block_size", "block"},
    Hint{"chunk", "block"},
    Hint{"product", "matrix"},
    Hint{"grid", "matrix"},
    // within `log`
    Hint{"format", "pattern"},
    Hint{"verbosity", "level"},
    Hint{"size", "max_size"},
    Hint{"rotate", "max_files"},
    Hint{"backups", "max_files"},
};

/// `Max-Workers` and `maxWorkers` are `max_workers`.
std::string normalized(std::string_view key) {
  std::string out;
  bool was_lower = false;
  for (const char c : key) {
    const bool is_upper = c >= 'A' && c <= 'Z';
    if (is_upper && was_lower) out += '_';
    was_lower = c >= 'a' && c <= 'z';
    out += c == '-' || c == ' ' ? '_' : is_upper ? static_cast<char>(c - 'A' + 'a') : c;
  }
  return out;
}

bool is_known(std::string_view key, const std::vector<std::string>& known) {
  return std::find(known.begin(), known.end(), key) != known.end();
}

}  // namespace

std::string suggestion(std::string_view unknown, const std::vector<std::string>& known) {
  for (const std::string& key : {std::string(unknown), normalized(unknown)}) {
    if (is_known(key, known)) return "; did you mean `" + key + "`?";
    for (const auto& [word, ours] : kHints) {
      if (word == key && is_known(ours, known)) return "; here it is called `" + std::string(ours) + "`";
    }
  }
  const auto nearest = util::closest(normalized(unknown), known);
  return nearest ? "; did you mean `" + *nearest + "`?" : "";
}

}  // namespace runner::spec
