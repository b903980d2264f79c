#include "report/joblog.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "util/text.hpp"

namespace runner::report {

namespace {

/// What GNU parallel says of it; the view `joblog` of the record says the same.
int exit_value(const core::Ending& ending) {
  if (ending.outcome == core::Outcome::succeeded || ending.exit_code != 0) return ending.exit_code;
  if (ending.outcome == core::Outcome::timed_out) return -1;
  if (ending.signal != 0) return 0;
  return ending.outcome == core::Outcome::not_started ? 127 : -1;
}

}  // namespace

util::Result<void> write_joblog(const StatusSource& source, const Write& write) {
  write("Seq\tHost\tStarttime\tJobRuntime\tSend\tReceive\tExitval\tSignal\tCommand\n");
  std::vector<std::uint64_t> first_of_job;
  std::uint64_t next = 1;
  for (const auto& job : source.view.jobs) {
    first_of_job.push_back(next);
    next += job.total();
  }
  return source.ended_attempts([&](const core::AttemptRecord& record) {
    if (!record.ending || record.id.job >= first_of_job.size()) return;
    const core::Ending& ending = *record.ending;
    if (record.was_cancelled_before_start()) return;  // no command was run
    std::string command = source.command ? source.command(record) : std::string();
    std::ranges::replace(command, '\n', '\0');  // as parallel does: one line an attempt
    const util::WallTime start = record.started_at.value_or(ending.started_at);
    write(fmt::format("{}\t{}\t{:.3f}\t{:10.3f}\t0\t0\t{}\t{}\t{}\n", first_of_job[record.id.job] + record.id.slice,
                      record.host.empty() ? ":" : util::escape_for_display(record.host), util::unix_seconds(start),
                      util::seconds(ending.runtime), exit_value(ending), ending.signal, command));
  });
}

}  // namespace runner::report
