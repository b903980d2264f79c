// runner check: validates the spec and shows the plan, on stdout.
#include "commands.hpp"
#include "common.hpp"
#include "core/template.hpp"
#include "exit_codes.hpp"
#include "host/machine.hpp"
#include "run/session.hpp"
#include "util/text.hpp"

namespace runner::app {

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

std::string job_text(const core::Spec& spec, const core::JobSpec& job) {
  std::string text = line("slices", slices_text(job.slices));
  text += line("command", util::escape_for_display(job.command.text(), 2000));
  if (job.slices.size() > 0) {
    auto first = core::expand_attempt(spec, job, {.slice = 0, .attempt = 1, .slot = 0, .run_id = "RUN"});
    text += line("first", first ? util::escape_for_display(core::to_shell_line(first->command), 2000)
                                : "cannot be started: " + first.error().message);
  }
  text += line("workdir", display_path(job.workdir));
  if (job.timeout)
    text += line("timeout", util::format_duration(*job.timeout) + ", grace " + util::format_duration(job.grace));
  if (job.retry.retries > 0) text += line("retries", retries_text(job.retry));
  if (job.max_failed) {
    text += line("max_failed", util::format_count(job.max_failed->tolerated(job.slices.size())) + " of " +
                                   util::format_count(job.slices.size()) + ", then " +
                                   (job.on_halt == core::OnHalt::drain ? "drain" : "kill"));
  }
  return text;
}

}  // namespace

int check(const CheckCommand& command) {
  auto spec = load_spec(command.common);
  if (!spec || !is_trusted(command.common, *spec)) return kUsage;
  const host::Machine machine = host::detect();
  if (!fits(*spec, machine)) return kUsage;
  const run::Capacity capacity = run::capacity(*spec, machine, spec->print != core::Print::none);
  std::string text = util::escape_for_display(spec->path, 20'000) + ": valid\n";
  for (const auto& job : spec->jobs) text += job.name + "\n" + job_text(*spec, job);
  text +=
      line("n_procs", capacity.note.empty() ? std::to_string(capacity.resources.slots) + " at a time" : capacity.note);
  text += line("machine", std::to_string(machine.cpus) + " CPUs for this process (" + machine.cpus_reason + "), " +
                              util::format_size(machine.memory) + "; " + host::describe_topology());
  text += line("state", display_path(spec->state_dir));
  return print(text) && flush_stdout() ? kSucceeded : kRecordFailed;
}

}  // namespace runner::app
