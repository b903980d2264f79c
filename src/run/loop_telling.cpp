// The part of the loop that tells: what has happened becomes an event once it is on disk, for the view, run.log and the
// observers.
#include <utility>

#include "log/logger.hpp"
#include "run/loop.hpp"

namespace runner::run {

/// Where every life begins; nothing has moved yet.
void Loop::tell_initial() {
  when_committed(last_sequence_, run_event(core::State::initial));
  for (std::uint32_t j = 0; j < setup_.spec->jobs.size(); ++j) {
    if (!is_main(j) && !setup_.view.jobs[j].is_over())
      when_committed(last_sequence_, job_event(j, core::State::initial));
  }
}

void Loop::move_run(core::State state, const std::string& reason) {
  run_life_.go(state);
  core::Event event = run_event(state);
  event.reason = reason;
  last_sequence_ = writer_->run_state(state, event.at, reason);
  writer_->hurry();
  when_committed(last_sequence_, std::move(event));
}

/// Never before the run began, whatever is done to the clock.
util::WallTime Loop::wall_now() const {
  return util::wall_now_after(begun_at_, util::steady_now() - begun_);
}

/// Of this process, now.
core::Event Loop::make_event(core::SystemKind kind, std::string name, core::State state) const {
  core::Event event;
  event.at = wall_now();
  event.kind = kind;
  event.name = std::move(name);
  event.state = state;
  event.pid = setup_.view.info.pid;
  return event;
}

core::Event Loop::run_event(core::State state) const {
  return make_event(core::SystemKind::run, setup_.spec->name, state);
}

core::Event Loop::job_event(std::uint32_t job, core::State state) const {
  core::Event event = make_event(core::SystemKind::job, setup_.spec->jobs[job].name, state);
  event.id.job = job;
  return event;
}

core::Event Loop::slice_event(const core::AttemptId& id, const std::string& key, core::State state) const {
  core::Event event = make_event(core::SystemKind::slice, slice_name(id, key), state);
  event.id = id;
  event.key = key;
  return event;
}

core::Event Loop::attempt_event(const core::AttemptId& id, const LiveAttempt& attempt, core::State state) const {
  core::Event event = slice_event(id, attempt.key, state);
  event.pid = attempt.pid;
  event.slot = attempt.slot;
  return event;
}

void Loop::announce_end(const core::AttemptId& id, const LiveAttempt& attempt, const core::Ending& ending,
                        std::optional<util::Duration> retry_in, store::Sequence sequence) {
  core::Event event = attempt_event(id, attempt, retry_in ? core::State::running : state_after(ending));
  event.at = ending.ended_at;
  event.ending = ending;
  event.retry_in = retry_in;
  when_committed(sequence, std::move(event));
}

/// Without a record nothing is committed any more, and nothing more is told.
void Loop::when_committed(store::Sequence sequence, std::optional<core::Event> event) {
  if (result_.record_failed.empty()) {
    pending_.push_back({sequence, std::move(event)});
  } else if (event) {
    see_start(*event);
  }
}

/// Of a slice whose end will not be recorded: so that it is not taken for one that has not run.
void Loop::see_start(const core::Event& event) {
  const bool is_start = event.state == core::State::running && !event.ending;
  if (is_start && event.kind == core::SystemKind::slice) setup_.view.jobs[event.id.job].apply(event);
}

void Loop::publish(const core::Event& event) {
  if (event.kind == core::SystemKind::slice) {
    setup_.view.jobs[event.id.job].apply(event);
  } else if (event.kind == core::SystemKind::job) {
    setup_.view.jobs[event.id.job].move(event.state, event.reason);
  } else if (event.kind == core::SystemKind::run) {
    setup_.view.info.state = event.state;
    setup_.view.info.reason = event.reason;
    if (core::is_over(event.state)) setup_.view.info.ended_at = event.at;
  }
  if (event.untold) return;
  setup_.log->event(event);
  for (auto* observer : setup_.observers) observer->on_event(event, setup_.view);
}

void Loop::notice(const std::string& message) {
  setup_.log->warn(message);
  for (auto* observer : setup_.observers) observer->on_notice(message);
}

bool Loop::is_main(std::uint32_t job) const {
  return job == 0 && !setup_.spec->has_several_jobs();
}

std::string Loop::key_of(const core::AttemptId& id) const {
  return setup_.spec->jobs[id.job].slices.key(id.slice);
}

std::string Loop::slice_name(const core::AttemptId& id, const std::string& key) const {
  const core::JobSpec& job = setup_.spec->jobs[id.job];
  return job.kind != core::JobKind::slices ? job.name : job.name + "/" + key;
}

}  // namespace runner::run
