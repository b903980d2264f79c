#include "exec/local.hpp"

#include <signal.h>

#include <boost/asio/post.hpp>
#include <cassert>
#include <thread>

#include "exec/attempt_files.hpp"
#include "exec/local_impl.hpp"
#include "proc/guard.hpp"

namespace runner::exec {

using namespace std::chrono_literals;

namespace {

constexpr auto kRetryLaunch = 200ms;  ///< when no process could be made and none ends meanwhile
constexpr auto kSpellEnds = 60s;      ///< without a shortage; else every slice that ends would tell of the next one
constexpr auto kLogPoll = 100ms;      ///< how often a log with a limit is looked at
constexpr auto kReapInherited = 1s;   ///< how often zombies are looked for whose own parents have died

bool is_success(const core::JobSpec* job, int code) {
  if (job == nullptr) return code == 0;
  return std::find(job->success_codes.begin(), job->success_codes.end(), code) != job->success_codes.end();
}

}  // namespace

// ---- launching

void LocalExecutor::Impl::launch(LaunchRequest request) {
  const bool others_wait = waiting_.size() > held_back_.size();
  if (!others_wait && launch_in_lane(request)) return;
  if (others_wait || !try_launch(request)) waiting_.push_back(std::move(request));
}

Slot& LocalExecutor::Impl::slot_of(const LaunchRequest& request) {
  const auto found = slots_.find(request.slot);
  if (found != slots_.end()) return found->second;
  return slots_.try_emplace(request.slot, options_.run_dir, request.slot).first->second;
}

/// False: nothing was done, a process cannot be made now.
bool LocalExecutor::Impl::try_launch(LaunchRequest& request) {
  if (!request.obstacle.empty()) {
    not_started(request, request.obstacle);
    return true;
  }
  Slot& slot = slot_of(request);
  assert(!slot.running && "a slot runs one attempt at a time");
  const timespec outputs_since = file_time_now();
  const std::uint64_t oom_kills = oom_.kills();
  const auto started_at = util::wall_now();
  const auto launched_at = util::steady_now();
  auto child = starter_.start(request, *slot.log);
  const bool has_log = slot.log->is_open();
  if (!child) slot.log->close();
  if (!child && Starter::is_shortage(child.error())) {
    wait_for_resources(child.error().message);
    return false;
  }
  if (!child) {
    if (!has_log) notes_.add(LogsFailedNote{child.error().message});
    not_started(request, child.error().message);
    return true;
  }
  run(request, slot, std::move(*child));
  Running& running = *slot.running;
  running.outputs_since = outputs_since;
  running.oom_kills = oom_kills;
  running.started_at = started_at;
  running.launched_at = launched_at;
  notes_.add(StartedNote{running.request.id, running.pid, started_at, slot.log->path()});
  return true;
}

void LocalExecutor::Impl::run(LaunchRequest& request, Slot& slot, Starter::Child child) {
  Running& running = slot.running.emplace();
  running.pid = child.pid;
  const auto limit = request.job == nullptr ? std::nullopt : request.job->log_limit;
  slot.log->begin(limit);
  if (options_.tap != nullptr) {
    running.capture = std::make_unique<Capture>(io_, *options_.tap, *slot.log, Capture::Source{request.id, request.key},
                                                std::move(child.out), std::move(child.err));
  }
  watcher_.watch(child.pid, std::move(child.pidfd), request.slot);
  running.request = std::move(request);
  if (limit) poll_logs_soon();
}

void LocalExecutor::Impl::poll_logs_soon() {
  if (!std::exchange(polling_logs_, true)) at(log_timer_, kLogPoll, [](Impl& self) { self.poll_logs(); });
}

void LocalExecutor::Impl::not_started(const LaunchRequest& request, std::string detail, core::Outcome outcome) {
  core::Ending ending;
  ending.outcome = outcome;
  ending.started_at = ending.ended_at = util::wall_now();
  ending.detail = std::move(detail);
  notes_.add(FinishedNote{request.id, std::move(ending)});
}

void LocalExecutor::Impl::wait_for_resources(std::string reason) {
  const auto now = util::steady_now();
  const auto before = std::exchange(last_shortage_, now);
  if (!before || now - *before > kSpellEnds) notes_.add(BackpressureNote{std::move(reason)});
  at(retry_timer_, kRetryLaunch, [](Impl& self) { self.launch_waiting(); });
}

void LocalExecutor::Impl::launch_waiting() {
  for (auto next = waiting_.begin(); next != waiting_.end();) {
    if (held_back_.contains(next->id)) {
      ++next;
    } else if (try_launch(*next)) {
      next = waiting_.erase(next);
    } else {
      return;
    }
  }
}

// ---- ending

void LocalExecutor::Impl::on_exit(pid_t pid, std::uint32_t index) {
  Slot& slot = slots_.at(index);
  if (!slot.running || slot.running->pid != pid) {  // was given up as unkillable
    (void)proc::reap(pid);
    return;
  }
  Running& running = *slot.running;
  running.exited = true;
  running.runtime = util::steady_now() - running.launched_at;
  running.exited_at = util::wall_now_after(running.started_at, running.runtime);
  running.runtime -= running.stood_until(util::steady_now());
  if (!has_ended(slot)) return;
  notes_.deliver();
  launch_waiting();
}

/// Its own process has exited. False: the rest of it has not ended, or is not read yet.
bool LocalExecutor::Impl::has_ended(Slot& slot) {
  Running& running = *slot.running;
  if (running.standing != Standing::no) continue_what_is_left(running);
  if (running.is_being_ended()) {
    schedule_tree_round(util::Duration::zero());
    return false;
  }
  proc::kill_group(running.pid);  // what it has left behind in its group; the zombie pins the number
  if (running.capture && !options_.tap->ready()) return false;  // resume_output() goes on
  complete(slot);
  return true;
}

/// Reaps what has exited, puts the log away, tells the end.
void LocalExecutor::Impl::complete(Slot& slot, std::string detail) {
  Running running = std::move(*slot.running);
  slot.running.reset();
  const auto exit = running.exited ? proc::reap_exited(running.pid) : std::nullopt;
  if (running.capture) running.capture->finish();
  core::Ending ending = judge(running, exit);
  starter_.settle_counters(running.request.id, ending);
  if (!detail.empty()) ending.detail = std::move(detail);
  // Members of the group that were killed above may not be dead yet; the number is theirs until they are.
  const bool others = !running.exited || proc::group_exists(running.pid);
  put_away(*slot.log, running, others, ending);
  notes_.add(FinishedNote{running.request.id, std::move(ending)});
}

core::Ending LocalExecutor::Impl::judge(const Running& running, const std::optional<proc::ExitStatus>& exit) {
  core::Ending ending;
  ending.started_at = running.started_at;
  // A tap that is not ready makes an attempt wait, not run.
  const bool waited = running.exited && !running.is_being_ended();
  const auto now = util::steady_now();
  ending.runtime = waited ? running.runtime : now - running.launched_at - running.stood_until(now);
  ending.ended_at = waited ? running.exited_at : util::wall_now_after(running.started_at, now - running.launched_at);
  if (!exit && running.exited) {
    ending.outcome = core::Outcome::lost;
    ending.detail = "its exit status was taken by something else in this process";
    return ending;
  }
  if (!exit) {  // given up: it is alive, and may even go on one day
    ending.outcome = core::Outcome::lost;
    return ending;
  }
  ending.exit_code = exit->code;
  ending.signal = exit->signal;
  ending.usage = {exit->user, exit->system, exit->max_rss_kib};
  if (exit->signal != 0) {
    const bool oom = exit->signal == SIGKILL && !running.killed_at && oom_.explains_a_death(running.oom_kills);
    ending.outcome = oom ? core::Outcome::out_of_memory : core::Outcome::killed;
    return ending;
  }
  if (!is_success(running.request.job, exit->code)) {
    ending.outcome = core::Outcome::failed;
    // What a shell says of a program that was killed. It also keeps the books: that death is explained.
    if (exit->code == 128 + SIGKILL && !running.killed_at && oom_.explains_a_death(running.oom_kills))
      ending.detail = "the kernel's OOM killer ended one of its processes";
    return ending;
  }
  const auto began = not_after(running.outputs_since, file_time_now(), util::steady_now() - running.launched_at);
  ending.detail = check_outputs(running.request.attempt, began);
  ending.outcome = ending.detail.empty() ? core::Outcome::succeeded : core::Outcome::missing_output;
  return ending;
}

/// Of a process of the slice's own group; or of one that carries its cookie, which costs a look at its environment.
void LocalExecutor::Impl::on_report(pid_t sender, const core::Report& report) {
  const auto process = proc::read_process(sender);
  if (!process) return;
  const auto is_it = [&](const Running& candidate) { return candidate.pid == process->group; };
  lanes_.hand_over(is_it);
  gather(Lanes::Take::long_ones);
  const Running* running = find_running(is_it);
  if (running == nullptr) {
    gather(Lanes::Take::all);
    const std::string environment = proc::environment_of(sender);
    running = find_running([&](const Running& candidate) {
      return environment.find(cookie_of(cookie_prefix_, candidate.request.id)) != std::string::npos;
    });
  }
  if (running != nullptr) notes_.add(ReportedNote{running->request.id, report});
}

void LocalExecutor::Impl::poll_logs() {
  polling_logs_ = false;
  for (auto& [number, slot] : slots_) {
    if (!slot.running || !slot.log->has_limit()) continue;
    polling_logs_ = true;
    slot.log->enforce_limit();
  }
  if (polling_logs_) at(log_timer_, kLogPoll, [](Impl& self) { self.poll_logs(); });
}

void LocalExecutor::Impl::resume_output() {
  asio::post(io_, [weak = weak_from_this()] {
    const auto self = weak.lock();
    if (!self || self->options_.tap == nullptr) return;
    for (auto& [number, slot] : self->slots_) {
      if (!self->options_.tap->ready()) break;
      if (!slot.running || !slot.running->capture) continue;
      if (slot.running->exited && !slot.running->is_being_ended()) {
        self->complete(slot);
      } else {
        slot.running->capture->resume();
      }
    }
    self->notes_.deliver();
    self->launch_waiting();
  });
}

/// Orphans of slices come to us, as a subreaper, and would stay zombies until the run is over.
void LocalExecutor::Impl::reap_inherited() {
  proc::reap_inherited([this](pid_t pid) {
    return find_running([&](const Running& running) { return running.pid == pid; }) != nullptr;
  });
}

void LocalExecutor::Impl::reap_inherited_regularly() {
  reap_inherited();
  at(inherited_timer_, kReapInherited, [](Impl& self) { self.reap_inherited_regularly(); });
}

void LocalExecutor::Impl::shut_down() {
  lanes_.recall();
  gather_what_is_there(Lanes::Take::all);
  std::vector<proc::TreeRoot> roots;
  for (const auto& [number, slot] : slots_) {
    if (slot.running) roots.push_back(root_of(*slot.running));
  }
  bool alive = !roots.empty();
  for (int round = 0; alive && round < 1000; ++round) {
    if (round > 0) std::this_thread::sleep_for(1ms);
    const auto trees = proc::find_trees(roots);
    alive = !trees;
    for (std::size_t i = 0; i < roots.size(); ++i) {
      proc::signal_tree(roots[i].pid, trees ? (*trees)[i] : std::vector<proc::Process>(), SIGKILL);
      alive = alive || !(*trees)[i].empty();
    }
  }
  for (const auto& root : roots) (void)proc::reap(root.pid);
}

// ---- the executor

LocalExecutor::LocalExecutor(asio::io_context& io, ExecutorEvents& events, const ExecutorOptions& options)
    : impl_(std::make_shared<Impl>(io, events, options)) {
  impl_->reap_inherited_regularly();
}

LocalExecutor::~LocalExecutor() {
  impl_->shut_down();
}

core::Resources LocalExecutor::capacity() const {
  return {.slots = 0, .cpus_milli = 0, .memory = 0};
}

void LocalExecutor::launch(LaunchRequest request) {
  impl_->launch(std::move(request));
}

void LocalExecutor::signal(const core::AttemptId& id, How how) {
  impl_->signal(id, how);
}

void LocalExecutor::resume_output() {
  impl_->resume_output();
}

bool LocalExecutor::takes_offers(std::uint32_t slots) const {
  return impl_->takes_offers(slots);
}

void LocalExecutor::offer(LaunchRequest request) {
  impl_->offer(std::move(request));
}

void LocalExecutor::recall() {
  impl_->recall();
}

}  // namespace runner::exec
