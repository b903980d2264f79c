// runner check: validates the spec and shows the plan, on stdout.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <vector>

#include "commands.hpp"
#include "common.hpp"
#include "core/template.hpp"
#include "exit_codes.hpp"
#include "host/machine.hpp"
#include "proc/program.hpp"
#include "run/capacity.hpp"
#include "util/text.hpp"
#include "util/units.hpp"

namespace runner::app {

namespace fs = std::filesystem;

namespace {

std::string line(std::string_view label, const std::string& value) {
  std::string text = "  " + std::string(label) + ":";
  text.resize(std::max<std::size_t>(text.size() + 1, 14), ' ');
  return text + util::escape_lines(value) + "\n";
}

std::string slices_text(const core::SliceList& slices) {
  const std::uint64_t n = slices.size();
  std::string text = util::format_count(n) + (n == 1 ? " slice" : " slices");
  if (n == 0) return text;
  text += ": " + util::escape_for_display(slices.key(0), 80);
  if (n > 1) text += (n > 2 ? " ... " : ", ") + util::escape_for_display(slices.key(n - 1), 80);
  return text;
}

std::string retries_text(const core::RetryPolicy& retry) {
  return std::to_string(retry.retries) + ", after " + util::format_duration(retry.delay) + ", doubled up to " +
         util::format_duration(retry.delay_max);
}

/// Of the environment that the job's slices are given.
const char* path_variable(const core::ExpandedAttempt& attempt) {
  for (const std::string& entry : attempt.env) {
    if (entry.starts_with("PATH=")) return entry.c_str() + std::string_view("PATH=").size();
  }
  return std::getenv("PATH");  // NOLINT(concurrency-mt-unsafe): there is one thread
}

/// As the launch would find it.
util::Result<void> can_be_executed(const core::ExpandedAttempt& attempt) {
  if (attempt.command.argv.empty()) return util::Error{"the command is empty"};
  const std::string& name = attempt.command.argv.front();
  const auto program = proc::find_program(name, path_variable(attempt), attempt.workdir);
  if (!program) return program.error();
  const fs::path path = fs::path(attempt.workdir) / *program;
  std::error_code unknown;
  const bool is_directory = fs::is_directory(path, unknown);
  if (!is_directory && ::faccessat(AT_FDCWD, path.c_str(), X_OK, AT_EACCESS) == 0) return {};
  return util::errno_error("cannot execute '" + name + "'", is_directory ? EACCES : errno);
}

/// The first slice's command, or why it cannot be started. What runs before may make its program yet.
util::Result<std::string> first_command(const core::Spec& spec, const core::JobSpec& job) {
  auto first = core::expand_attempt(spec, job, {.slice = 0, .attempt = 1, .slot = 0, .run_id = "RUN"});
  if (!first) return first.error();
  if (job.needs.empty()) {
    if (const auto possible = can_be_executed(*first); !possible) return possible.error();
  }
  return core::to_shell_line(first->command);
}

/// By job; nullopt where there is no slice.
using FirstCommands = std::vector<std::optional<util::Result<std::string>>>;

FirstCommands first_commands(const core::Spec& spec) {
  FirstCommands all;
  all.reserve(spec.jobs.size());
  for (const auto& job : spec.jobs) {
    all.emplace_back(job.slices.size() > 0 ? std::optional(first_command(spec, job)) : std::nullopt);
  }
  return all;
}

template <class List, class Text>
std::string joined(const List& list, Text text) {
  std::string all;
  for (const auto& item : list) all += (all.empty() ? "" : ", ") + std::string(text(item));
  return util::escape_for_display(all, 2000);
}

/// What one slice takes.
std::string needs_text(const core::Spec& spec, const core::JobSpec& job) {
  std::string text;
  if (job.cpus_milli) text += line("cpus", util::format_milli(*job.cpus_milli));
  if (job.memory) text += line("memory", util::format_size(*job.memory));
  if (!job.uses.empty()) {
    text += line("uses", joined(job.uses, [&](const core::Use& use) {
                   const core::Limit& limit = spec.limits[use.limit];
                   return limit.name + " " + std::to_string(use.amount) + " of " + std::to_string(limit.amount);
                 }));
  }
  return text;
}

/// What goes in and comes out. Of the environment the names only: values may be secrets.
std::string streams_text(const core::JobSpec& job) {
  const auto written = [](const core::TextTemplate& text) { return text.text(); };
  std::string text;
  if (!job.env.empty()) text += line("env", joined(job.env, [](const auto& entry) { return entry.first; }));
  if (job.stdin_path) text += line("stdin", util::escape_for_display(job.stdin_path->text(), 2000));
  if (job.stdout_path) text += line("stdout", util::escape_for_display(job.stdout_path->text(), 2000));
  if (!job.outputs.empty()) text += line("outputs", joined(job.outputs, written));
  if (job.log_limit) text += line("log_limit", util::format_size(*job.log_limit));
  return text;
}

std::string job_text(const core::Spec& spec, const core::JobSpec& job, const FirstCommands::value_type& first) {
  std::string text = job.kind == core::JobKind::slices ? line("slices", slices_text(job.slices)) : "";
  text += line("command", util::escape_for_display(job.command.text(), 2000));
  if (first) {
    text += line("first", first->ok() ? util::escape_for_display(**first, 2000)
                                      : "cannot be started: " + first->error().message);
  }
  text += line("workdir", display_path(job.workdir)) + streams_text(job) + needs_text(spec, job);
  if (job.timeout)
    text +=
        line(job.service ? "ready" : "timeout", (job.service ? "within " : "") + util::format_duration(*job.timeout) +
                                                    ", grace " + util::format_duration(job.grace));
  if (job.timeout_percent)
    text += line("timeout", util::format_count(static_cast<std::uint64_t>(std::llround(*job.timeout_percent))) +
                                "% of the median, grace " + util::format_duration(job.grace));
  if (job.retry.retries > 0) text += line("retries", retries_text(job.retry));
  if (job.max_failed) {
    text += line("max_failed", util::format_count(job.max_failed->tolerated(job.slices.size())) + " of " +
                                   util::format_count(job.slices.size()) + ", then " +
                                   (job.on_halt == core::OnHalt::drain ? "drain" : "kill"));
  }
  return text;
}

/// What a job's place in the tree does not say: the rest of its needs, and how it may run.
std::string place_text(const core::Spec& spec, const core::JobSpec& job) {
  std::string text = "  " + slices_text(job.slices);
  for (const core::Need& need : job.needs) {
    if (spec.jobs[need.job].kind != core::JobKind::slices) continue;
    const std::string& name = spec.jobs[need.job].name;
    text += need.after == core::Need::After::each ? ", each after the same slice of " + name : ", after " + name;
  }
  if (job.n_procs) text += ", at most " + std::to_string(*job.n_procs) + " at a time";
  if (job.priority != 0) text += ", priority " + std::to_string(job.priority);
  if (job.allow_failures) {
    const std::uint64_t tolerated = job.allow_failures->tolerated(job.slices.size());
    text += ", what needs it goes on with up to " + util::format_count(tolerated) + " failed";
  }
  return text;
}

/// The jobs as a tree: each hangs on the last one in the file that it needs. Hooks and services, which have their
/// places around the jobs, are not in it.
class PlanTree {
 public:
  explicit PlanTree(const core::Spec& spec) : spec_(spec), below_(spec.jobs.size()) {
    for (std::uint32_t j = 0; j < spec.jobs.size(); ++j) {
      if (spec.jobs[j].kind != core::JobKind::slices) continue;
      std::vector<std::uint32_t>* above = &roots_;
      std::uint32_t last = 0;
      for (const core::Need& need : spec.jobs[j].needs) {
        if (spec.jobs[need.job].kind != core::JobKind::slices || need.job < last) continue;
        last = need.job;
        above = &below_[last];
      }
      above->push_back(j);
    }
  }
  [[nodiscard]] std::string text() const { return branch(roots_, "  "); }

 private:
  [[nodiscard]] std::string branch(const std::vector<std::uint32_t>& jobs, const std::string& indent) const {
    std::string text;
    for (const std::uint32_t j : jobs) {
      const bool is_last = j == jobs.back();
      text += indent + (is_last ? "`-- " : "|-- ") + spec_.jobs[j].name + place_text(spec_, spec_.jobs[j]) + "\n";
      text += branch(below_[j], indent + (is_last ? "    " : "|   "));
    }
    return text;
  }

  const core::Spec& spec_;
  std::vector<std::uint32_t> roots_;
  std::vector<std::vector<std::uint32_t>> below_;
};

/// Says of every job that cannot begin why; false when there is one.
bool can_begin(const core::Spec& spec, const FirstCommands& firsts) {
  bool all = true;
  for (std::size_t j = 0; j < spec.jobs.size(); ++j) {
    const core::JobSpec& job = spec.jobs[j];
    const auto& first = firsts[j];
    if (!first || first->ok()) continue;
    all = false;
    const std::string what = job.kind == core::JobKind::slices ? "slice " + job.slices.key(0) + " of " : "";
    complain(util::escape_for_display(what + job.name, 200) + " cannot be started: " + first->error().message);
  }
  return all;
}

}  // namespace

int check(const CheckCommand& command) {
  auto spec = load_spec(command.common);
  if (!spec || !is_trusted(command.common, *spec)) return kUsage;
  const host::Machine machine = host::detect();
  if (!fits(*spec, machine)) return kUsage;
  const run::Capacity capacity = run::capacity(*spec, machine, spec->print != core::Print::none);
  const FirstCommands firsts = first_commands(*spec);
  const bool is_valid = can_begin(*spec, firsts);
  std::string text =
      util::escape_for_display(display_path(spec->path), 20'000) + (is_valid ? ": valid\n" : ": not valid\n");
  if (spec->has_several_jobs()) text += spec->name + "\n" + PlanTree(*spec).text();
  for (std::size_t j = 0; j < spec->jobs.size(); ++j) {
    const core::JobSpec& job = spec->jobs[j];
    if (job.kind != core::JobKind::slices) text += std::string(core::name(job.kind)) + " ";
    text += job.name + "\n" + job_text(*spec, job, firsts[j]);
  }
  text +=
      line("n_procs", capacity.note.empty() ? std::to_string(capacity.resources.slots) + " at a time" : capacity.note);
  text += line("machine", std::to_string(machine.cpus) + " CPUs for this process (" + machine.cpus_reason + "), " +
                              util::format_size(machine.memory) + "; " + host::describe_topology());
  text += line("state", display_path(spec->state_dir));
  if (!print(text) || !flush_stdout()) return kRecordFailed;
  return is_valid ? kSucceeded : kSlicesFailed;
}

}  // namespace runner::app
