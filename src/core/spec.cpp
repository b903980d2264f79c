#include "core/spec.hpp"

#include <algorithm>
#include <cmath>

#include "util/text.hpp"

namespace runner::core {
namespace {

/// NAME=value entries, each name once. execve(2) takes any list, but getenv(3) would find the first of two.
class Environment {
 public:
  explicit Environment(std::size_t expected) { entries_.reserve(expected); }

  void add(std::string_view name, std::string_view value) {
    std::string& entry = entries_.emplace_back();
    write(entry, name, value);
  }

  void replace(std::string_view name, std::string_view value) {
    const auto it = std::find_if(entries_.begin(), entries_.end(), [&](const std::string& entry) {
      return entry.size() > name.size() && entry[name.size()] == '=' && entry.starts_with(name);
    });
    if (it == entries_.end()) return add(name, value);
    it->clear();
    write(*it, name, value);
  }

  std::vector<std::string> take() { return std::move(entries_); }

 private:
  static void write(std::string& entry, std::string_view name, std::string_view value) {
    entry.reserve(name.size() + 1 + value.size());
    entry += name;
    entry += '=';
    entry += value;
  }

  std::vector<std::string> entries_;
};

/// Slurm numbers its jobs; ours have names, so this is a number made of the run's (31-bit FNV-1a, never 0).
std::uint64_t slurm_job_number(std::string_view run_id) {
  std::uint32_t hash = 2166136261U;
  for (const char c : run_id) hash = (hash ^ static_cast<unsigned char>(c)) * 16777619U;
  return (hash & 0x7fffffffU) | 1U;
}

/// What Slurm tells an array task (sbatch(1), "output environment variables").
void add_slurm_names(Environment& environment, const JobSpec& job, const AttemptContext& context) {
  const SliceList& slices = job.slices;
  const std::uint64_t count = slices.size();
  const std::uint64_t array = slurm_job_number(context.run_id);
  const auto id = [&](std::uint64_t index) {
    const auto number = slices.has_number_keys() ? util::parse_int(slices.key(index)) : std::nullopt;
    return number.value_or(static_cast<std::int64_t>(index));
  };
  const std::int64_t first = id(0);
  const std::int64_t last = id(count - 1);
  const std::int64_t second = count > 1 ? id(1) : first;
  const bool rises = first < second && second <= last;
  const auto distance = [](std::int64_t from, std::int64_t to) {  // up to 2^64: where it rises
    return static_cast<std::uint64_t>(to) - static_cast<std::uint64_t>(from);
  };
  std::uint64_t step = rises ? distance(first, second) : 1;
  if (rises && distance(first, last) / step != count - 1) step = 1;  // an irregular list

  environment.add("SLURM_ARRAY_TASK_ID", std::to_string(id(context.slice)));
  environment.add("SLURM_ARRAY_JOB_ID", std::to_string(array));
  environment.add("SLURM_ARRAY_TASK_MIN", std::to_string(std::min(first, last)));
  environment.add("SLURM_ARRAY_TASK_MAX", std::to_string(std::max(first, last)));
  environment.add("SLURM_ARRAY_TASK_COUNT", std::to_string(count));
  environment.add("SLURM_ARRAY_TASK_STEP", std::to_string(step));
  environment.add("SLURM_JOB_ID", std::to_string(array + 1 + context.slice));  // differs from task to task
  environment.add("SLURM_PROCID", "0");
}

util::Result<void> check_size(const std::string& name, const std::string& value) {
  const std::size_t size = name.size() + 1 + value.size();
  if (size <= kMaxArgument) return {};
  return util::Error{"the environment variable " + name + " " + too_long(size)};
}

util::Result<std::vector<std::string>> make_environment(const JobSpec& job, const AttemptContext& context,
                                                        const Variables& variables) {
  Environment environment(variables.all().size() + job.env.size() + 8);
  for (const auto& [name, value] : variables.all()) {
    if (value.find('\0') != std::string::npos) {
      return util::Error{"{" + name + "}: the value \"" + util::escape_for_display(value, 60) +
                         "\" holds a NUL byte, which no argument, path or environment variable can"};
    }
    const std::string variable = environment_name(name);
    if (auto fits = check_size(variable, value); !fits) return fits.error();
    environment.replace(variable, value);  // file.name and file_name share one
  }
  if (job.env_compat_slurm) add_slurm_names(environment, job, context);
  for (const auto& [name, text] : job.env) {
    auto value = text.expand(variables);
    if (!value) return util::Error{"env " + name + ": " + value.error().message};
    if (auto fits = check_size(name, *value); !fits) return fits.error();
    environment.replace(name, *value);
  }
  return environment.take();
}

/// `what` names the key of the spec in an error.
util::Result<std::string> expand_path(const TextTemplate& path, const Variables& variables, const Spec& spec,
                                      std::string_view what) {
  auto expanded = path.expand(variables);
  if (!expanded) return util::Error{std::string(what) + ": " + expanded.error().message};
  if (expanded->empty()) return util::Error{std::string(what) + ": " + path.text() + " expands to nothing"};
  if (expanded->front() == '/') return expanded;
  return (spec.spec_dir.ends_with('/') ? spec.spec_dir : spec.spec_dir + '/') + *expanded;
}

}  // namespace

std::uint64_t FailureLimit::tolerated(std::uint64_t slices) const {
  const double wanted = is_percent ? static_cast<double>(slices) * value / 100 : value;
  if (!(wanted > 0)) return 0;
  // 0.29% of 10,000 is 29, although it comes out a little below in binary.
  const double limit = std::floor(wanted * (1 + 1e-12));
  return limit >= static_cast<double>(slices) ? slices : static_cast<std::uint64_t>(limit);
}

bool RetryPolicy::applies_to(const Ending& ending) const {
  if (!exit_codes.empty()) {
    return ending.outcome == Outcome::failed &&
           std::find(exit_codes.begin(), exit_codes.end(), ending.exit_code) != exit_codes.end();
  }
  return std::find(outcomes.begin(), outcomes.end(), ending.outcome) != outcomes.end();
}

namespace {

void set_text(std::vector<std::pair<std::string, TextTemplate>>& entries, const std::string& name,
              const std::string& value) {
  auto parsed = TextTemplate::parse(value, {});
  const auto entry = std::ranges::find(entries, name, &std::pair<std::string, TextTemplate>::first);
  auto& text = std::get<TextTemplate>(parsed);  // digits have no braces
  if (entry != entries.end()) {
    entry->second = std::move(text);
  } else {
    entries.emplace_back(name, std::move(text));
  }
}

}  // namespace

void assign_ports(Spec& spec, const std::function<std::uint16_t()>& free_port) {
  for (std::size_t s = 0; s < spec.jobs.size(); ++s) {
    if (!spec.jobs[s].service || !spec.jobs[s].service->port) continue;
    std::uint16_t& port = *spec.jobs[s].service->port;
    if (port == 0) port = free_port();
    const std::string number = std::to_string(port);
    const std::string variable = port_environment_name(spec.jobs[s].name);
    set_text(spec.jobs[s].vars, "port", number);
    for (JobSpec& probe : spec.jobs[s].service->probe) set_text(probe.vars, "port", number);
    for (JobSpec& job : spec.jobs) {
      set_text(job.env, variable, number);
      if (!job.service) continue;
      for (JobSpec& probe : job.service->probe) set_text(probe.env, variable, number);
    }
  }
}

bool Spec::has_several_jobs() const {
  return std::ranges::count(jobs, JobKind::slices, &JobSpec::kind) > 1;
}

const std::vector<std::string>& builtin_variable_names() {
  static const std::vector<std::string> kNames = {"slice", "index", "attempt", "slot", "run", "name"};
  return kNames;
}

util::Result<Variables> attempt_variables(const JobSpec& job, const AttemptContext& context) {
  if (context.slice >= job.slices.size()) {  // a record may name slices that the list has no longer
    return util::Error{"there is no slice with index " + std::to_string(context.slice) + ": the list has " +
                       util::format_count(job.slices.size())};
  }
  Variables variables;
  variables.reserve(builtin_variable_names().size() + job.vars.size() + 4);
  variables.set("attempt", std::to_string(context.attempt));
  variables.set("slot", std::to_string(context.slot));
  variables.set("run", std::string(context.run_id));
  variables.set("name", job.name);
  job.slices.set_variables(context.slice, variables);
  // A var sees the variables above, not the other vars: their order in the file must not matter.
  std::vector<std::string> values;
  values.reserve(job.vars.size());
  for (const auto& [name, text] : job.vars) {
    auto value = text.expand(variables);
    if (!value) return util::Error{"vars " + name + ": " + value.error().message};
    values.push_back(*std::move(value));
  }
  for (std::size_t i = 0; i < values.size(); ++i) variables.set(job.vars[i].first, std::move(values[i]));
  return variables;
}

util::Result<ExpandedAttempt> expand_attempt(const Spec& spec, const JobSpec& job, const AttemptContext& context) {
  const auto variables = attempt_variables(job, context);
  if (!variables) return variables.error();

  auto command = job.command.expand(*variables);
  if (!command) return command.error();
  auto env = make_environment(job, context, *variables);
  if (!env) return env.error();

  ExpandedAttempt attempt{*std::move(command), *std::move(env), job.workdir, {}, {}, {}};
  if (job.stdin_path) {
    auto path = expand_path(*job.stdin_path, *variables, spec, "stdin");
    if (!path) return path.error();
    attempt.stdin_path = *std::move(path);
  }
  if (job.stdout_path) {
    auto path = expand_path(*job.stdout_path, *variables, spec, "stdout");
    if (!path) return path.error();
    attempt.stdout_path = *std::move(path);
  }
  for (const TextTemplate& output : job.outputs) {
    auto path = expand_path(output, *variables, spec, "outputs");
    if (!path) return path.error();
    attempt.outputs.push_back(*std::move(path));
  }
  return attempt;
}

void ExpandedAttempt::set_slot(std::uint32_t slot) {
  constexpr std::string_view name = "RUNNER_SLOT=";
  const auto entry = std::ranges::find_if(env, [&](const std::string& one) { return one.starts_with(name); });
  if (entry != env.end()) *entry = std::string(name) + std::to_string(slot);
}

bool is_slot_only_in_environment(const Spec& spec, const JobSpec& job) {
  auto here = expand_attempt(spec, job, {.slot = 0, .run_id = {}});
  const auto there = expand_attempt(spec, job, {.slot = 1, .run_id = {}});
  if (!here || !there) return false;
  here->set_slot(1);
  return *here == *there;
}

}  // namespace runner::core
