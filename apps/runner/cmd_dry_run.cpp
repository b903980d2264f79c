// runner SPEC -n: the exact command of every slice that would run, one a line, on stdout.
// What is no slice is named by a comment.
#include <unistd.h>

#include "commands.hpp"
#include "common.hpp"
#include "core/job_selection.hpp"
#include "core/template.hpp"
#include "exit_codes.hpp"
#include "run/session.hpp"
#include "util/text.hpp"

namespace runner::app {

namespace {

/// Prints the commands of `slices`; false when one cannot be made (said) or stdout refuses.
bool print_commands(const core::Spec& spec, const core::JobSpec& job, const core::JobPlan& plan,
                    const std::string& run_id, bool& all_expand) {
  const bool to_terminal = ::isatty(STDOUT_FILENO) == 1;
  const bool is_beside = job.kind != core::JobKind::slices && !plan.todo.empty();
  if (is_beside && !print("# " + std::string(core::name(job.kind)) + " " + job.name + "\n")) return false;
  for (const auto& [first, last] : plan.todo.intervals()) {
    for (std::uint64_t slice = first; slice <= last; ++slice) {
      const auto attempted = plan.attempted.find(slice);
      const std::uint32_t attempt = attempted == plan.attempted.end() ? 1 : attempted->second + 1;
      auto expanded =
          core::expand_attempt(spec, job, {.slice = slice, .attempt = attempt, .slot = 0, .run_id = run_id});
      if (!expanded) {
        complain("slice " + util::escape_for_display(job.slices.key(slice)) + ": " + expanded.error().message);
        all_expand = false;
      } else if (!print(core::to_shell_line(expanded->command, to_terminal) + "\n")) {
        return false;
      }
    }
  }
  return flush_stdout();
}

}  // namespace

int dry_run(const RunCommand& command) {
  const auto loaded = load_spec_to_run(command);
  if (!loaded) return kUsage;
  const core::Spec& spec = loaded->spec;
  std::vector<core::JobPlan> plans;
  std::string run_id = "RUN";
  if (command.resume) {
    auto opened = open_session(command, *loaded);
    if (const auto* code = std::get_if<ExitCode>(&opened)) return *code;
    auto& session = std::get<run::Session>(opened);
    for (const std::string& message : session.notices) {
      if (command.common.verbosity >= 0) complain(message);
    }
    plans = std::move(session.plans);
    run_id = session.run.id;
  } else {
    auto selection = core::select_slices(spec, command.slices);
    if (!selection) {
      complain("--slices: " + selection.error().message);
      return kUsage;
    }
    for (auto& slices : *selection) plans.emplace_back().todo = std::move(slices).value_or(core::IntervalSet());
  }
  bool all_expand = true;
  for (std::size_t j = 0; j < spec.jobs.size(); ++j) {
    if (!print_commands(spec, spec.jobs[j], plans[j], run_id, all_expand)) return kRecordFailed;
  }
  return all_expand ? kSucceeded : kSlicesFailed;
}

}  // namespace runner::app
