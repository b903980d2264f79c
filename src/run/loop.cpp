#include "run/loop.hpp"

#include <algorithm>
#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cassert>
#include <csignal>
#include <utility>

#include "log/logger.hpp"
#include "run/readiness.hpp"
#include "store/state_dir.hpp"
#include "util/signals.hpp"
#include "util/text.hpp"

namespace runner::run {

namespace {

constexpr auto kTickPeriod = std::chrono::milliseconds(250);
constexpr auto kReportGap = std::chrono::seconds(1);

std::vector<std::uint32_t> amounts_of(const std::vector<core::Limit>& limits) {
  std::vector<std::uint32_t> amounts;
  amounts.reserve(limits.size());
  for (const auto& limit : limits) amounts.push_back(limit.amount);
  return amounts;
}

}  // namespace

struct Loop::Asio {
  explicit Asio(boost::asio::io_context& context) : io(context), signals(context), wake(context), tick(context) {
    for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
      if (!util::is_ignored(signal)) signals.add(signal);
    }
    for (const int signal : {SIGUSR1, SIGUSR2}) signals.add(signal);
    signals.add(SIGCONT);  // whatever our parent ignored: by it we are told that the guard has died
  }

  boost::asio::io_context& io;
  boost::asio::signal_set signals;
  boost::asio::steady_timer wake;
  boost::asio::steady_timer tick;
  std::atomic<store::Sequence> acknowledged = 0;  // written by the writer's thread
  std::atomic<bool> acknowledgement_posted = false;
};

Loop::Loop(boost::asio::io_context& io, LoopSetup setup)
    : setup_(std::move(setup)),
      scheduler_(std::move(setup_.plans), setup_.capacity, amounts_of(setup_.spec->limits)),
      asio_(std::make_unique<Asio>(io)) {
  for (const core::JobSpec& job : setup_.spec->jobs)
    slot_matters_.push_back(!core::is_slot_only_in_environment(*setup_.spec, job));
}

Loop::~Loop() = default;

LoopResult Loop::run(store::Writer& writer, exec::Executor& executor) {
  writer_ = &writer;
  executor_ = &executor;
  const auto is_service = [](const core::JobSpec& job) { return job.service.has_value(); };
  if (std::ranges::any_of(setup_.spec->jobs, is_service)) {
    readiness_ = std::make_unique<Readiness>(
        asio_->io, executor,
        Readiness::Setup{.spec = setup_.spec,
                         .run_id = setup_.view.info.id,
                         .ready = [this](std::uint32_t job) { feed(core::ServiceReady{job}); },
                         .notice = [this](const std::string& message) { notice(message); }});
  }
  await_signal();
  await_tick();
  begin();
  asio_->io.run();
  asio_->signals.clear();  // all is on disk: from here on a signal ends the process
  util::ignore_steering();
  result_.view = std::move(setup_.view);
  return std::move(result_);
}

void Loop::begin() {
  begun_at_ = util::wall_now();
  begun_ = util::steady_now();
  tell_initial();
  move_run(core::State::ready);
  move_run(core::State::running);
  look_at_load(util::steady_now());
  scheduler_.allow_offers(may_offer());
  feed(core::Start{});
  on_signal(SIGCONT);  // the guard may have died before we could be told
}

// ---- the scheduler's side

void Loop::feed(const core::Input& input) {
  if (is_recalling_) {
    scheduler_.wants_recall_before(input) ? deferred_.push_back(input) : step(input);
    return;
  }
  if (scheduler_.wants_recall_before(input)) recall_offers();
  step_all(input);
  if (!scheduler_.wants_recall()) return;
  recall_offers();
  step_all(core::Recalled{});  // what came back may be launched now
}

/// `input`, and what was deferred; nothing is launched before the last of them is known.
void Loop::step_all(const core::Input& input) {
  const std::vector<core::Input> deferred = std::exchange(deferred_, {});
  scheduler_.pause_launches(!deferred.empty());
  step(input);
  for (std::size_t i = 0; i < deferred.size(); ++i) {
    scheduler_.pause_launches(i + 1 < deferred.size());
    step(deferred[i]);
  }
}

void Loop::step(const core::Input& input) {
  core::Actions actions = std::move(actions_);  // keeps its memory from step to step
  actions.clear();
  scheduler_.step(input, util::steady_now(), actions);
  for (const auto& action : actions) {
    std::visit([this](const auto& one) { carry_out(one); }, action);
  }
  if (scheduler_.starved()) writer_->hurry();
  actions_ = std::move(actions);
}

/// The scheduler knows then of all that has been launched, and nothing is until its next step. What is told meanwhile
/// and has to wait for that is left in deferred_.
void Loop::recall_offers() {
  if (!scheduler_.has_offers()) return;
  is_recalling_ = true;
  scheduler_.allow_offers(false);
  scheduler_.pause_launches(true);
  executor_->recall();  // feeds what it tells
  step(core::Recalled{});
  is_recalling_ = false;
  scheduler_.allow_offers(may_offer());
}

/// What launches ahead of us needs a thread for each slot, and those count as processes do.
bool Loop::may_offer() const {
  return executor_->takes_offers(scheduler_.slots()) && setup_.most_slots / 2 >= scheduler_.slots();
}

void Loop::carry_out(const core::Claim& action) {
  LiveAttempt attempt;
  attempt.key = key_of(action.id);
  attempt.life.go(core::State::ready);
  last_sequence_ = writer_->claim(action.id, attempt.key);
  when_committed(last_sequence_, std::nullopt);
  if (setup_.log->takes(log::Level::debug)) tell_claimed(action.id, attempt.key);
  live_.emplace(action.id, std::move(attempt));
}

void Loop::tell_claimed(const core::AttemptId& id, const std::string& key) {
  for (const core::State state : {core::State::initial, core::State::ready})
    when_committed(last_sequence_, slice_event(id, key, state));
}

void Loop::carry_out(const core::Unclaim& action) {
  last_sequence_ = writer_->unclaim(action.id);
  live_.erase(action.id);
}

void Loop::carry_out(const core::Launch& action) {
  LiveAttempt& attempt = live_.at(action.id);
  attempt.slot = action.slot;
  exec::LaunchRequest request = request_for(action.id, attempt.key, action.slot);
  const bool is_service = setup_.spec->jobs[action.id.job].service.has_value();
  if (request.obstacle.empty() && is_service) request.obstacle = readiness_->prepare(action.id.job);
  request.new_draft = writer_->taken() >= last_started_in(action.slot);
  executor_->launch(std::move(request));
}

void Loop::carry_out(const core::Offer& action) {
  exec::LaunchRequest request = request_for(action.id, live_.at(action.id).key, 0);
  request.new_draft = false;  // what has ended when it is told has no draft in the record
  if (slot_matters_[action.id.job]) {
    request.expand = [this, id = action.id](std::uint32_t slot) { return expand(id, slot); };
  }
  executor_->offer(std::move(request));
}

void Loop::carry_out(const core::Follow& action) {
  live_.at(action.id).slot = action.slot;
}

util::Result<core::ExpandedAttempt> Loop::expand(const core::AttemptId& id, std::uint32_t slot) const {
  return core::expand_attempt(*setup_.spec, setup_.spec->jobs[id.job],
                              {.slice = id.slice, .attempt = id.number, .slot = slot, .run_id = setup_.view.info.id});
}

exec::LaunchRequest Loop::request_for(const core::AttemptId& id, const std::string& key, std::uint32_t slot) const {
  const core::JobSpec& job = setup_.spec->jobs[id.job];
  auto expanded = expand(id, slot);
  return exec::LaunchRequest{
      .id = id,
      .slot = slot,
      .attempt = expanded ? std::move(*expanded) : core::ExpandedAttempt{},
      .key = is_main(id.job) ? key : slice_name(id, key),
      .log = store::slice_log_path(is_main(id.job) ? std::string() : job.name, id.slice, key, id.number),
      .obstacle = expanded ? std::string() : expanded.error().message,
      .job = &job};
}

store::Sequence& Loop::last_started_in(unsigned slot) {
  if (slot >= last_started_.size()) last_started_.resize(slot + 1);
  return last_started_[slot];
}

void Loop::carry_out(const core::Terminate& action) {
  executor_->signal(action.id, exec::How::terminate);
}

void Loop::carry_out(const core::Kill& action) {
  executor_->signal(action.id, exec::How::kill);
}

void Loop::carry_out(const core::Withdraw& action) {
  executor_->signal(action.id, exec::How::withdraw);
}

void Loop::carry_out(const core::Settle& action) {
  last_sequence_ = writer_->ended(action.id, action.ending);
  auto extracted = live_.extract(action.id);
  assert(!extracted.empty());
  LiveAttempt& attempt = extracted.mapped();
  const core::State state = state_after(action.ending);
  if (attempt.life.state() == core::State::suspended && state == core::State::completed) {
    attempt.suspended = false;  // it had ended when it was to be stopped
    tell_standing(action.id, attempt);
  }
  attempt.life.go(state);
  announce_end(action.id, attempt, action.ending, action.retry_in, last_sequence_);
}

void Loop::carry_out(const core::Abandon& action) {
  LiveAttempt attempt;
  attempt.key = key_of(action.id);
  announce_end(action.id, attempt, action.ending, std::nullopt, last_sequence_);
}

void Loop::carry_out(const core::Halt& action) {
  result_.halted = action.reason;
  if (action.job && setup_.spec->jobs[*action.job].service) return notice(action.reason + "; what needs it is ended");
  setup_.view.ending = setup_.view.ending || !action.job || is_main(*action.job);
  notice(action.reason + "; no further slice" + (action.job && !is_main(*action.job) ? " of it" : "") + " is started");
}

/// The one job of a simple spec is the run by another name: its own moves are recorded, but told as the run's. A hook's
/// life is that of its one attempt, where there is one.
void Loop::carry_out(const core::MoveJob& action) {
  core::Event event = job_event(action.job, action.state);
  event.reason = action.reason;
  last_sequence_ = writer_->job_state(action.job, action.state, event.at, action.reason);
  const bool is_hook = setup_.spec->jobs[action.job].kind != core::JobKind::slices;
  event.untold =
      is_main(action.job) || (is_hook && action.state != core::State::ready && action.state != core::State::disabled);
  when_committed(last_sequence_, std::move(event));
}

void Loop::carry_out(const core::WakeAt& action) {
  asio_->wake.expires_at(action.at);
  asio_->wake.async_wait([this](const boost::system::error_code& error) {
    if (error) return;
    // Behind the ends that are heard at the same time: when runner was stopped for a while, all of it is old.
    boost::asio::post(asio_->io, [this] {
      if (!done_) feed(core::Tick{});
    });
  });
}

void Loop::carry_out(const core::Done&) {
  done_ = true;
  if (readiness_) readiness_->stop_all();
  asio_->wake.cancel();
  writer_->hurry();
  finish_if_over();
}

core::State Loop::state_after(const core::Ending& ending) {
  return ending.outcome == core::Outcome::succeeded ? core::State::completed : core::State::terminated;
}

// ---- the executor's side

void Loop::started(const core::AttemptId& id, int pid, util::WallTime at, const std::string& log) {
  if (Readiness::is_probe(id)) return;
  LiveAttempt& attempt = live_.at(id);
  attempt.pid = pid;
  attempt.since = util::steady_now();
  attempt.life.go(core::State::running);
  last_sequence_ = last_started_in(attempt.slot) = writer_->started(id, at, pid, log);
  core::Event event = attempt_event(id, attempt, core::State::running);
  event.at = at;
  event.log = log;
  event.since = util::steady_now();
  when_committed(last_sequence_, std::move(event));
  if (attempt.suspended) tell_standing(id, attempt);  // it was asked for before it had started
  if (setup_.spec->jobs[id.job].service) readiness_->begin(id.job);
  feed(core::Started{id});  // last: by a recall it may tell of the end
}

void Loop::finished(const core::AttemptId& id, core::Ending ending) {
  if (Readiness::is_probe(id)) return readiness_->finished(id, ending);
  if (setup_.spec->jobs[id.job].service) readiness_->stop(id.job);
  note_lost_output(id, ending);
  feed(core::Finished{id, std::move(ending)});
}

void Loop::followed(const core::AttemptId& id, core::Ending ending, const core::AttemptId& next) {
  note_lost_output(id, ending);
  feed(core::Finished{id, std::move(ending), next});
}

void Loop::note_lost_output(const core::AttemptId& id, const core::Ending& ending) {
  if (!ending.output_lost) return;
  const std::string lost = slice_name(id, key_of(id)) + ": " + ending.detail;
  if (result_.output_lost.empty()) result_.output_lost = lost;
  notice(lost);
}

void Loop::backpressure(const std::string& reason) {
  notice(reason + "; what is to start waits until that has passed");
}

void Loop::held(bool held) {
  feed(core::Hold{held});
}

/// The view has it at once; the record, which `status` reads, at most once in kReportGap: a slice may say it for every
/// row.
void Loop::reported(const core::AttemptId& id, const core::Report& report) {
  const auto found = live_.find(id);
  if (found == live_.end()) return;
  found->second.report.update(report);
  setup_.view.jobs[id.job].report(id.slice, found->second.report);
  reports_due_.insert(id);
}

void Loop::write_reports(util::TimePoint now) {
  for (auto due = reports_due_.begin(); due != reports_due_.end();) {
    const auto found = live_.find(*due);
    if (found != live_.end() && now - found->second.report_written < kReportGap) {
      ++due;
      continue;
    }
    if (found != live_.end()) {
      found->second.report_written = now;
      last_sequence_ = writer_->reported(*due, found->second.report);
    }
    due = reports_due_.erase(due);
  }
}

/// The logs are part of the record.
void Loop::logs_failed(const std::string& reason) {
  record_failed(reason);
}

// ---- the store's side

void Loop::committed(store::Sequence through) {
  asio_->acknowledged.store(through);
  if (!asio_->acknowledgement_posted.exchange(true)) {
    boost::asio::post(asio_->io, [this] { on_acknowledged(); });
  }
}

void Loop::on_acknowledged() {
  asio_->acknowledgement_posted.store(false);
  const store::Sequence through = asio_->acknowledged.load();
  std::uint64_t claims = 0;
  while (!pending_.empty() && pending_.front().sequence <= through) {
    Pending pending = std::move(pending_.front());
    pending_.pop_front();
    if (pending.event) {
      publish(*pending.event);
    } else {
      ++claims;
    }
  }
  if (claims > 0) feed(core::Claimed{claims});
  finish_if_over();
}

void Loop::trouble(const std::string& message, bool waiting) {
  boost::asio::post(asio_->io, [this, message, waiting] {
    if (waiting) {
      recall_offers();
      notice(message + "; no new slice is started until it can be written");
      feed(core::RecordWaits{true});
    } else {
      record_failed(message);
    }
  });
}

void Loop::recovered() {
  boost::asio::post(asio_->io, [this] {
    notice("the record can be written again; going on");
    feed(core::RecordWaits{false});
  });
}

/// Without a record nothing may go on: what runs is ended, and what ended since the last commit runs again later.
void Loop::record_failed(const std::string& message) {
  if (!result_.record_failed.empty()) return;
  result_.record_failed = message;
  for (const Pending& pending : pending_) {
    if (pending.event) see_start(*pending.event);
  }
  pending_.clear();
  feed(core::Control::give_up);
  finish_if_over();
}

// ---- signals, ticks and the end

void Loop::await_signal() {
  asio_->signals.async_wait([this](const boost::system::error_code& error, int signal) {
    if (error || over_) return;  // one may be on its way while the run ends
    on_signal(signal);
    if (!over_) await_signal();
  });
}

void Loop::await_tick() {
  asio_->tick.expires_after(kTickPeriod);
  asio_->tick.async_wait([this](const boost::system::error_code& error) {
    if (error || over_) return;
    write_reports(util::steady_now());
    look_at_load(util::steady_now());
    for (auto* observer : setup_.observers) observer->on_tick(setup_.view, util::steady_now());
    await_tick();
  });
}

void Loop::finish_if_over() {
  if (!done_ || over_ || !pending_.empty()) return;
  const core::State state = run_life_.state();
  if (result_.record_failed.empty() && state == core::State::running) {
    if (const std::string told = setup_.end_leftovers ? setup_.end_leftovers() : ""; !told.empty()) notice(told);
    const bool is_complete = setup_.view.is_complete();
    const bool was_interrupted = !is_complete && result_.halted.empty() && result_.signal != 0;
    move_run(is_complete ? core::State::completed : core::State::terminated,
             was_interrupted ? "interrupted by " + core::signal_name(result_.signal) : result_.halted);
    return;  // over when that is on disk
  }
  over_ = true;
  asio_->signals.cancel();
  asio_->tick.cancel();
  for (auto* observer : setup_.observers) observer->on_end(setup_.view);
  asio_->io.stop();
}

}  // namespace runner::run
