#include "exec/running.hpp"

namespace runner::exec {

void LaunchRequest::set_slot(std::uint32_t number) {
  slot = number;
  if (!expand) return attempt.set_slot(number);
  auto expanded = expand(number);
  if (expanded) {
    attempt = std::move(*expanded);
  } else {
    obstacle = expanded.error().message;
  }
}

core::Ending Running::ending_at_exit() const {
  core::Ending ending;
  ending.outcome = core::Outcome::succeeded;
  ending.started_at = started_at;
  ending.ended_at = exited_at;
  ending.runtime = runtime;
  return ending;
}

void put_away(SlotLog& log, const Running& running, bool others, core::Ending& ending) {
  ending.log = log.end(running.request.log, others);
  ending.output_lost = !log.problem().empty();
  if (ending.output_lost) ending.detail += (ending.detail.empty() ? "" : "; ") + log.problem();
}

}  // namespace runner::exec
