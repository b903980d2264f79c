// runner status: shows a recorded run - live, ended or crashed - in one of the formats of report/.
#include <unistd.h>

#include "commands.hpp"
#include "common.hpp"
#include "core/template.hpp"
#include "exit_codes.hpp"
#include "report/format.hpp"
#include "run/describe.hpp"
#include "util/text.hpp"

namespace runner::app {

namespace {

/// The view and the slices of `source`.
util::Result<void> read_into(report::StatusSource& source, RecordedRun& run) {
  core::RunView& view = source.view;
  view.info = run.stored.info;
  view.info.live = run.live;
  for (const auto& job : run.stored.jobs) {
    auto selected = run::parse_stored_selection(job.selection, job.slices);
    if (!selected) return selected.error();
    view.jobs.emplace_back(job.name, selected->count(), job.kind).move(job.state, job.reason);
    source.slices.push_back(std::move(*selected));
  }
  auto read = run.reader->last_attempts(run.stored.info.id, [&](const core::AttemptRecord& record) {
    if (record.id.job < view.jobs.size()) view.jobs[record.id.job].add_record(record, run.live);
  });
  if (read) {
    read = run.reader->counted(run.stored.info.id, [&](const core::AttemptId& id, const core::Counted& counted) {
      if (id.job < view.jobs.size()) view.jobs[id.job].add_counted(counted);
    });
  }
  return read;
}

/// Whether the record has the spec that it was of, and the slices are made of the same as then.
bool has_spec_of(const RecordedRun& run, const core::AttemptRecord& record) {
  if (!run.spec || record.id.job >= run.spec->jobs.size()) return false;
  return !run.stored.spec_since || !record.ending || record.ending->ended_at >= *run.stored.spec_since;
}

/// "" where there was none, as a value could not be quoted.
std::string command_of(const RecordedRun& run, const core::AttemptRecord& record) {
  auto expanded = core::expand_attempt(
      *run.spec, run.spec->jobs[record.id.job],
      {.slice = record.id.slice, .attempt = record.id.number, .slot = 0, .run_id = run.stored.info.id});
  return expanded ? core::to_shell_line(expanded->command) : std::string();
}

/// Of a run behind which another was begun, so that --resume goes on with that: the slices that are left, in a run of
/// their own. "" for the last run.
std::string rerun_command(const StatusCommand& command, RecordedRun& run, const report::StatusSource& source) {
  if (!command.run_id) return {};
  const auto last = run.reader->find_run(std::nullopt);
  if (!last || !*last || (*last)->info.id == run.stored.info.id) return {};
  std::string text = "runner " + run_arguments(command.common, run.stored.info.spec_path);
  for (std::uint32_t j = 0; j < source.view.jobs.size(); ++j) {
    const core::JobView& job = source.view.jobs[j];
    const core::IntervalSet left = source.slices[j].without(job.succeeded_slices());
    if (job.kind() != core::JobKind::slices || left.empty()) continue;
    text += " --slices " + util::shell_quote_for_display(report::selection(source.context, j, left));
  }
  return text;
}

}  // namespace

int status(const StatusCommand& command) {
  auto format = report::find_format(command.format);
  if (!format) {
    complain(format.error().message);
    return kUsage;
  }
  auto found = find_recorded_run(command.common, command.run_id);
  if (const auto* code = std::get_if<ExitCode>(&found)) return *code;
  auto* const run = &std::get<RecordedRun>(found);
  report::StatusSource source;
  if (const auto read = read_into(source, *run); !read) {
    complain(read.error().message);
    return kRecordFailed;
  }
  source.context = {
      .labels = labels_of(run->spec ? &*run->spec : nullptr),
      .stdout_of = stdout_of(run->spec ? &*run->spec : nullptr, run->stored.info.id),
      .run_dir = display_path(run->state_dir.run_dir(run->stored.info.id)),
      .resume_command = resume_command(command.common, run->stored.info.spec_path),
      .json_command = json_command(command.common, run->stored.info.spec_path, command.run_id.value_or(""))};
  if (std::string rerun = rerun_command(command, *run, source); !rerun.empty())
    source.context.resume_command = std::move(rerun);
  source.now = util::wall_now();
  source.color = report::detect_terminal(STDOUT_FILENO, command.common.color).color;
  source.ended_attempts = [&](const report::VisitAttempt& visit) {
    return run->reader->ended_attempts(run->stored.info.id, visit);
  };
  std::uint64_t unknown = 0;
  source.command = [&](const core::AttemptRecord& record) {
    if (has_spec_of(*run, record)) return command_of(*run, record);
    ++unknown;
    return std::string();
  };
  // The table sees to itself: it may be coloured.
  const bool escape = ::isatty(STDOUT_FILENO) == 1 && command.format != "table";
  bool written = true;
  auto shown = format->write(
      source, [&](std::string_view text) { written = written && print(escape ? util::escape_lines(text) : text); });
  if (!shown) {
    complain(shown.error().message);
    return kRecordFailed;
  }
  if (!written || !flush_stdout()) return kRecordFailed;
  if (unknown > 0 && command.common.verbosity >= 0) {
    complain("the command of " + util::format_count(unknown) + (unknown == 1 ? " attempt" : " attempts") +
             " is not known: since then the spec has changed, or what the slices are made of");
  }
  return kSucceeded;
}

}  // namespace runner::app
