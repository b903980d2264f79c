// The part of the loop that lets a run be steered: what users ask of it, SIGUSR1 and SIGUSR2, and a machine under load.
#include <unistd.h>

#include <cmath>
#include <csignal>
#include <utility>

#include "host/load.hpp"
#include "log/logger.hpp"
#include "run/loop.hpp"
#include "util/text.hpp"

namespace runner::run {

namespace {

/// JOB/LIST or JOB; of a run with one job LIST, and only where that is none of its slices also these.
util::Result<core::Steer> target(const core::Spec& spec, core::Steering what, const std::string& text,
                                 const std::string& by) {
  core::Steer steer{.what = what, .job = 0, .by = by};
  const auto slash = text.find('/');
  const bool is_whole_job = slash == std::string::npos;
  const std::string list = is_whole_job ? std::string() : text.substr(slash + 1);
  if (spec.has_several_jobs()) {
    const auto job = std::ranges::find(spec.jobs, text.substr(0, slash), &core::JobSpec::name);
    if (job == spec.jobs.end()) {
      return util::Error{"\"" + util::escape_for_display(text, 100) + "\" names no job: JOB or JOB/SLICES is wanted"};
    }
    steer.job = static_cast<std::uint32_t>(job - spec.jobs.begin());
    if (is_whole_job) return steer;
  }
  const core::JobSpec& job = spec.jobs[*steer.job];
  auto chosen = job.slices.select(spec.has_several_jobs() ? list : text);
  if (!chosen && !spec.has_several_jobs() && text.substr(0, slash) == job.name) {
    if (is_whole_job) return core::Steer{.what = what, .by = by};
    if (auto named = job.slices.select(list)) chosen = std::move(named);
  }
  if (!chosen) return chosen.error();
  steer.slices = std::move(*chosen);
  return steer;
}

/// No text at all: the run as a whole.
util::Result<std::vector<core::Steer>> targets(const core::Spec& spec, core::Steering what,
                                               const std::vector<std::string>& texts, const std::string& by) {
  if (texts.empty()) return std::vector{core::Steer{.what = what, .by = by}};
  std::vector<core::Steer> steers;
  for (const std::string& text : texts) {
    auto steer = target(spec, what, text, by);
    if (!steer) return steer.error();
    steers.push_back(std::move(*steer));
  }
  return steers;
}

std::string counted(std::uint64_t count, const std::string& what) {
  return util::format_count(count) + " " + what + (count == 1 ? "" : "s");
}

}  // namespace

util::Result<std::uint64_t> Loop::steer(core::Steering what, const std::vector<std::string>& slices,
                                        const std::string& by) {
  if (done_) return util::Error{"the run is over"};
  const auto steers = targets(*setup_.spec, what, slices, by);
  if (!steers) return steers.error();
  std::uint64_t count = 0;
  bool changed = false;
  std::string refusal;
  for (const core::Steer& steer : *steers) {
    answer_ = {};
    feed(steer);
    if (!answer_.refusal.empty()) {
      if (refusal.empty()) refusal = answer_.refusal;
      continue;
    }
    changed = true;
    count += answer_.slices;
    const std::string job = steer.job ? setup_.spec->jobs[*steer.job].name : std::string();
    constexpr std::size_t kShown = 1000;
    const std::string chosen =
        steer.slices ? setup_.spec->jobs[*steer.job].slices.format_selection(*steer.slices, kShown) : std::string();
    record_steering(by, std::string(core::name(what)), job, chosen);
    tell(std::string(core::name(what)) + " by " + by + ": " + (job.empty() ? setup_.spec->name : job) +
         (chosen.empty() ? "" : "/" + chosen) + ", " + counted(answer_.slices, "slice"));
  }
  if (!changed) return util::Error{refusal};
  return count;
}

util::Result<void> Loop::scale(std::uint32_t slots, const std::string& by) {
  if (done_) return util::Error{"the run is over"};
  if (slots == 0) return util::Error{"n_procs is at least 1; to stop what runs: runner suspend"};
  if (slots > setup_.most_slots) {
    return util::Error{"n_procs is at most " + util::format_count(setup_.most_slots) + " here" +
                       (setup_.most_slots_because.empty() ? "" : ": " + setup_.most_slots_because)};
  }
  feed(core::Scale{slots});
  scheduler_.allow_offers(may_offer());
  record_steering(by, "scale", {}, std::to_string(slots));
  tell("scale by " + by + ": " + util::format_count(slots) + " at a time");
  return {};
}

void Loop::on_signal(int signal) {
  if (signal == SIGUSR1 || signal == SIGUSR2) return on_scale_signal(signal);
  int level = stop_level_;
  const bool guard_is_lost = signal == SIGCONT && setup_.guard_is_lost && setup_.guard_is_lost();
  if (guard_is_lost) level = 3;
  if (signal == SIGINT) level = std::min(level + 1, 3);
  if (signal == SIGHUP) level = std::max(level, 1);
  if (signal == SIGTERM) level = std::max(level, 2);
  if (level == stop_level_) return;
  stop_level_ = level;
  recall_offers();
  setup_.view.ending = true;
  if (result_.signal == 0) result_.signal = guard_is_lost ? SIGKILL : signal;
  const std::string name = guard_is_lost ? "the guard of this run was killed" : core::signal_name(signal);
  const auto is_to_end = [this](const auto& live) {
    const core::JobSpec& job = setup_.spec->jobs[live.first.job];
    const core::State state = live.second.life.state();
    return state != core::State::ready && !job.service && job.hook != core::HookKind::teardown;
  };
  const auto running = static_cast<std::size_t>(std::ranges::count_if(live_, is_to_end));
  const bool clears_up = level == 2 && scheduler_.running() > running;  // and goes on
  const std::string count = util::format_count(level == 2 ? running : scheduler_.running()) + " running";
  if (level == 1) {
    const auto stopped = std::ranges::count_if(live_, [](const auto& live) { return live.second.suspended; });
    notice(name + ": no further slice is started, " + count + " may end" +
           (stopped == 0 ? "" : " (" + std::to_string(stopped) + " of them suspended, until `runner resume`)") +
           "; press Ctrl-C again (or send SIGTERM) to terminate them");
    feed(core::Control::drain);
  } else if (level == 2) {
    notice(name + ": terminating " + count + (clears_up ? ", teardown goes on" : "") +
           "; Ctrl-C (SIGINT) once more kills them at once");
    feed(core::Control::terminate);
  } else {
    const auto is_alive = [](const auto& live) { return live.second.life.state() != core::State::ready; };
    const auto has_teardown = [](const core::JobSpec& job) { return job.hook == core::HookKind::teardown; };
    notice(name + ": killing " + util::format_count(static_cast<std::size_t>(std::ranges::count_if(live_, is_alive))) +
           " running" + (std::ranges::any_of(setup_.spec->jobs, has_teardown) ? ", without teardown" : ""));
    feed(core::Control::kill);
    writer_->lose_patience();  // its end is not waited for either
  }
}

/// As with xargs: one slot more, one fewer.
void Loop::on_scale_signal(int signal) {
  const std::uint32_t before = scheduler_.slots();
  const std::uint32_t wanted = signal == SIGUSR1 ? before + 1 : before - 1;
  if (auto scaled = scale(wanted, core::signal_name(signal)); !scaled) {
    tell(core::signal_name(signal) + ": still " + util::format_count(before) + " at a time: " + scaled.error().message);
  }
}

void Loop::record_steering(const std::string& by, const std::string& what, const std::string& job,
                           const std::string& slices) {
  last_sequence_ = writer_->steered({.at = wall_now(), .by = by, .what = what, .job = job, .slices = slices});
}

/// Not a warning: somebody wanted it.
void Loop::tell(const std::string& message) {
  setup_.log->line(log::Level::info, message);
  for (auto* observer : setup_.observers) observer->on_notice(message);
}

// ---- a machine under load

/// The 1-minute average shows of a process that has run for t only 1 - e^(-t/60): what is missing is added, as make -l
/// does in its way, or a burst of starts would follow every look.
void Loop::look_at_load(util::TimePoint now) {
  const auto& load_max = setup_.spec->load_max;
  const auto& memory_min = setup_.spec->memory_min;
  if ((!load_max && !memory_min) || (load_seen_ && now - *load_seen_ < std::chrono::seconds(1))) return;
  load_seen_ = now;
  const host::Load seen = host::load();
  double load = seen.average.value_or(0);
  std::uint32_t active = 0;
  for (const auto& [id, attempt] : live_) {
    if (attempt.life.state() != core::State::running) continue;
    ++active;
    load += std::exp(-util::seconds(now - attempt.since) / 60.0);
  }
  std::string why;
  if (load_max && load > *load_max) why = "the load is above load_max";
  if (memory_min && seen.available && *seen.available < *memory_min) why = "less than memory_min is available";
  core::Throttle throttle;
  if (!why.empty()) {
    throttle.ceiling = 0;
  } else if (load_max) {
    throttle.ceiling = active + static_cast<std::uint32_t>(*load_max - load);
  }
  const bool was_held = std::exchange(held_by_load_, !why.empty());
  if (was_held != held_by_load_) {
    tell(was_held ? "the machine is less loaded; going on"
                  : why + ": nothing is started beside what runs until that has passed");
  }
  feed(throttle);
}

// ---- what the scheduler makes of it

void Loop::carry_out(const core::Steered& action) {
  answer_ = action;
}

void Loop::carry_out(const core::Suspend& action) {
  executor_->signal(action.id, exec::How::suspend);
  LiveAttempt& attempt = live_.at(action.id);
  attempt.suspended = true;
  if (attempt.life.state() == core::State::running) tell_standing(action.id, attempt);
}

void Loop::carry_out(const core::Continue& action) {
  executor_->signal(action.id, exec::How::resume);
  LiveAttempt& attempt = live_.at(action.id);
  attempt.suspended = false;
  if (attempt.life.state() == core::State::suspended) tell_standing(action.id, attempt);
}

void Loop::tell_standing(const core::AttemptId& id, LiveAttempt& attempt) {
  attempt.life.go(attempt.suspended ? core::State::suspended : core::State::running);
  when_committed(last_sequence_, attempt_event(id, attempt, attempt.life.state()));
}

/// Nothing to record: it follows from what is.
void Loop::carry_out(const core::DisableSlice& action) {
  const core::AttemptId id{.job = action.job, .slice = action.slice, .number = 0};
  core::Event event = slice_event(id, key_of(id), core::State::disabled);
  event.reason = action.reason;
  when_committed(last_sequence_, std::move(event));
}

void Loop::carry_out(const core::EnableSlice& action) {
  const core::AttemptId id{.job = action.job, .slice = action.slice, .number = 0};
  when_committed(last_sequence_, slice_event(id, key_of(id), core::State::ready));
}

void Loop::carry_out(const core::MoveRun& action) {
  if (run_life_.state() != action.state) move_run(action.state);
}

}  // namespace runner::run
