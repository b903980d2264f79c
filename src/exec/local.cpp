#include "exec/local.hpp"

#include <signal.h>

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cassert>
#include <deque>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "exec/attempt_files.hpp"
#include "exec/cookie.hpp"
#include "exec/notes.hpp"
#include "exec/notify_socket.hpp"
#include "exec/running.hpp"
#include "exec/starter.hpp"
#include "exec/tap_gate.hpp"
#include "proc/child.hpp"
#include "proc/guard.hpp"
#include "proc/oom.hpp"
#include "proc/tree.hpp"
#include "proc/watcher.hpp"

namespace runner::exec {

namespace asio = boost::asio;
using namespace std::chrono_literals;

namespace {

constexpr auto kRetryLaunch = 200ms;   ///< when no process could be made and none ends meanwhile
constexpr auto kSpellEnds = 60s;       ///< without a shortage; else every slice that ends would tell of the next one
constexpr auto kLogPoll = 100ms;       ///< how often a log with a limit is looked at
constexpr auto kReapInherited = 1s;    ///< how often zombies are looked for whose own parents have died
constexpr auto kFirstTreeCheck = 2ms;  ///< then doubling
constexpr auto kLastTreeCheck = 100ms;

bool is_success(const core::JobSpec* job, int code) {
  if (job == nullptr) return code == 0;
  return std::find(job->success_codes.begin(), job->success_codes.end(), code) != job->success_codes.end();
}

}  // namespace

class LocalExecutor::Impl : public std::enable_shared_from_this<Impl> {
 public:
  Impl(asio::io_context& io, ExecutorEvents& events, ExecutorOptions options)
      : io_(io),
        options_(std::move(options)),
        engine_(this_engine()),
        cookie_prefix_(cookie_prefix(options_.run_id, engine_)),
        notes_(io, events),
        notify_(io, options_.run_dir, "runner/" + options_.run_id + "/" + std::to_string(engine_.pid),
                [this](pid_t sender, const core::Report& report) { on_report(sender, report); }),
        starter_({options_.run_dir, cookie_prefix_, options_.tap != nullptr, !options_.force_sigchld, notify_.address(),
                  options_.umask}),
        oom_(options_.oom_counter.empty() ? proc::OomCounter() : proc::OomCounter(options_.oom_counter)),
        watcher_(io, [this](pid_t pid, std::uint32_t slot) { on_exit(pid, slot); }),
        retry_timer_(io),
        log_timer_(io),
        tree_timer_(io),
        inherited_timer_(io) {
    if (options_.tap != nullptr) options_.tap = &gate_.emplace(*options_.tap, notes_);
    proc::open_standard_descriptors();
    proc::keep_zombies();
  }

  void launch(LaunchRequest request);
  void signal(const core::AttemptId& id, How how);
  void resume_output();
  void reap_inherited();
  void shut_down();

 private:
  bool try_launch(LaunchRequest& request);
  Slot& slot_of(const LaunchRequest& request);
  void run(LaunchRequest& request, Slot& slot, Starter::Child child);
  void not_started(const LaunchRequest& request, std::string detail);
  void wait_for_resources(std::string reason);
  void launch_waiting();

  void on_exit(pid_t pid, std::uint32_t index);
  void complete(Slot& slot, std::string detail = {});
  core::Ending judge(const Running& running, const std::optional<proc::ExitStatus>& exit);
  void poll_logs();
  void on_report(pid_t sender, const core::Report& report);

  void schedule_tree_round(util::Duration after);
  void tree_round();
  void blind_round(const std::vector<Slot*>& ending);
  proc::TreeRoot root_of(const Running& running) const;
  static void signal_running(Running& running, const std::vector<proc::Process>& tree);
  bool settle(Slot& slot, const std::vector<proc::Process>& tree);

  template <class Function>
  void at(asio::steady_timer& timer, util::Duration after, Function function);

  asio::io_context& io_;
  ExecutorOptions options_;
  Engine engine_;
  std::string cookie_prefix_;
  Notes notes_;
  std::optional<TapGate> gate_;  ///< options_.tap, where there is one
  NotifySocket notify_;
  Starter starter_;
  proc::OomCounter oom_;
  proc::ChildWatcher watcher_;
  std::deque<Slot> slots_;             ///< by number; never moved: captures refer to their log
  std::deque<LaunchRequest> waiting_;  ///< no process could be made for the first
  std::optional<util::TimePoint> last_shortage_;
  asio::steady_timer retry_timer_;
  asio::steady_timer log_timer_;
  bool polling_logs_ = false;
  asio::steady_timer tree_timer_;
  asio::steady_timer inherited_timer_;
  util::Duration tree_delay_ = kFirstTreeCheck;
  bool tree_round_due_ = false;  ///< at once
};

/// Calls `function` after a while, unless the timer is set anew or we are gone by then.
template <class Function>
void LocalExecutor::Impl::at(asio::steady_timer& timer, util::Duration after, Function function) {
  timer.expires_after(after);
  timer.async_wait([self = weak_from_this(), function](const boost::system::error_code& ec) {
    const auto alive = self.lock();
    if (!ec && alive) function(*alive);
  });
}

// ---- launching

void LocalExecutor::Impl::launch(LaunchRequest request) {
  if (!waiting_.empty() || !try_launch(request)) waiting_.push_back(std::move(request));
}

Slot& LocalExecutor::Impl::slot_of(const LaunchRequest& request) {
  while (slots_.size() <= request.slot)
    slots_.emplace_back(SlotLog(options_.run_dir, static_cast<std::uint32_t>(slots_.size())));
  return slots_[request.slot];
}

/// False: nothing was done, a process cannot be made now.
bool LocalExecutor::Impl::try_launch(LaunchRequest& request) {
  Slot& slot = slot_of(request);
  assert(!slot.running && "a slot runs one attempt at a time");
  const timespec outputs_since = file_time_now();
  const std::uint64_t oom_kills = oom_.kills();
  const auto started_at = util::wall_now();
  const auto launched_at = util::steady_now();
  auto child = starter_.start(request, slot.log);
  const bool has_log = slot.log.is_open();
  if (!child) slot.log.close();
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
  notes_.add(StartedNote{running.request.id, running.pid, started_at, slot.log.path()});
  return true;
}

void LocalExecutor::Impl::run(LaunchRequest& request, Slot& slot, Starter::Child child) {
  Running& running = slot.running.emplace();
  running.pid = child.pid;
  const auto limit = request.job == nullptr ? std::nullopt : request.job->log_limit;
  slot.log.begin(limit);
  if (options_.tap != nullptr) {
    running.capture = std::make_unique<Capture>(io_, *options_.tap, slot.log, Capture::Source{request.id, request.key},
                                                std::move(child.out), std::move(child.err));
  }
  watcher_.watch(child.pid, std::move(child.pidfd), request.slot);
  running.request = std::move(request);
  if (limit && !std::exchange(polling_logs_, true)) at(log_timer_, kLogPoll, [](Impl& self) { self.poll_logs(); });
}

void LocalExecutor::Impl::not_started(const LaunchRequest& request, std::string detail) {
  core::Ending ending;
  ending.outcome = core::Outcome::not_started;
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
  while (!waiting_.empty() && try_launch(waiting_.front())) waiting_.pop_front();
}

// ---- ending

void LocalExecutor::Impl::on_exit(pid_t pid, std::uint32_t index) {
  Slot& slot = slots_[index];
  if (!slot.running || slot.running->pid != pid) {  // was given up as unkillable
    (void)proc::reap(pid);
    return;
  }
  Running& running = *slot.running;
  running.exited = true;
  running.runtime = util::steady_now() - running.launched_at;
  running.exited_at = util::wall_now_after(running.started_at, running.runtime);
  if (running.is_being_ended()) {
    schedule_tree_round(util::Duration::zero());
    return;
  }
  proc::kill_group(pid);  // what it has left behind in its group; the zombie pins the number
  if (running.capture && !options_.tap->ready()) return;  // resume_output() goes on
  complete(slot);
  notes_.deliver();
  launch_waiting();
}

/// Reaps what has exited, puts the log away, tells the end.
void LocalExecutor::Impl::complete(Slot& slot, std::string detail) {
  Running running = std::move(*slot.running);
  slot.running.reset();
  const auto exit = running.exited ? proc::reap(running.pid) : std::nullopt;
  if (running.capture) running.capture->finish();
  core::Ending ending = judge(running, exit);
  starter_.settle_counters(running.request.id, ending);
  if (!detail.empty()) ending.detail = std::move(detail);
  if (!slot.log.problem().empty()) ending.detail += (ending.detail.empty() ? "" : "; ") + slot.log.problem();
  // Members of the group that were killed above may not be dead yet; the number is theirs until they are.
  const bool others = !running.exited || proc::group_exists(running.pid);
  ending.log = slot.log.end(running.request.log, others);
  notes_.add(FinishedNote{running.request.id, std::move(ending)});
}

core::Ending LocalExecutor::Impl::judge(const Running& running, const std::optional<proc::ExitStatus>& exit) {
  core::Ending ending;
  ending.started_at = running.started_at;
  // A tap that is not ready makes an attempt wait, not run.
  const bool waited = running.exited && !running.is_being_ended();
  ending.runtime = waited ? running.runtime : util::steady_now() - running.launched_at;
  ending.ended_at = waited ? running.exited_at : util::wall_now_after(running.started_at, ending.runtime);
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
  auto slot = std::ranges::find_if(
      slots_, [&](const Slot& candidate) { return candidate.running && candidate.running->pid == process->group; });
  if (slot == slots_.end()) {
    const std::string environment = proc::environment_of(sender);
    slot = std::ranges::find_if(slots_, [&](const Slot& candidate) {
      return candidate.running &&
             environment.find(cookie_of(cookie_prefix_, candidate.running->request.id)) != std::string::npos;
    });
  }
  if (slot != slots_.end()) notes_.add(ReportedNote{slot->running->request.id, report});
}

void LocalExecutor::Impl::poll_logs() {
  polling_logs_ = false;
  for (auto& slot : slots_) {
    if (!slot.running || !slot.log.has_limit()) continue;
    polling_logs_ = true;
    slot.log.enforce_limit();
  }
  if (polling_logs_) at(log_timer_, kLogPoll, [](Impl& self) { self.poll_logs(); });
}

void LocalExecutor::Impl::resume_output() {
  asio::post(io_, [weak = weak_from_this()] {
    const auto self = weak.lock();
    if (!self || self->options_.tap == nullptr) return;
    for (auto& slot : self->slots_) {
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

// ---- being ended: by whole trees, in rounds that serve all attempts with one look at /proc

void LocalExecutor::Impl::signal(const core::AttemptId& id, How how) {
  const auto queued =
      std::find_if(waiting_.begin(), waiting_.end(), [&](const LaunchRequest& request) { return request.id == id; });
  if (queued != waiting_.end()) {
    not_started(*queued, "it was ended before a process could be made for it");
    waiting_.erase(queued);
    return;
  }
  const auto slot = std::find_if(slots_.begin(), slots_.end(), [&](const Slot& candidate) {
    return candidate.running && candidate.running->request.id == id;
  });
  if (slot == slots_.end()) return;
  if (how == How::terminate) {
    slot->running->term_asked = true;
  } else if (!slot->running->killed_at) {
    slot->running->killed_at = util::steady_now();
  }
  schedule_tree_round(util::Duration::zero());
}

void LocalExecutor::Impl::schedule_tree_round(util::Duration after) {
  if (after == util::Duration::zero()) {
    tree_delay_ = kFirstTreeCheck;
    if (std::exchange(tree_round_due_, true)) return;
  }
  at(tree_timer_, after, [](Impl& self) { self.tree_round(); });
}

proc::TreeRoot LocalExecutor::Impl::root_of(const Running& running) const {
  std::string cookie = cookie_of(cookie_prefix_, running.request.id);
  return {running.pid, std::move(cookie), engine_.session, running.killed_at.has_value()};
}

void LocalExecutor::Impl::tree_round() {
  tree_round_due_ = false;
  std::vector<Slot*> ending;
  std::vector<proc::TreeRoot> roots;
  for (auto& slot : slots_) {
    if (!slot.running || !slot.running->is_being_ended()) continue;
    ending.push_back(&slot);
    roots.push_back(root_of(*slot.running));
  }
  const auto found = proc::find_trees(roots);
  if (!found) {
    blind_round(ending);
    return;
  }
  const auto& trees = *found;
  bool again = false;
  for (std::size_t i = 0; i < ending.size(); ++i) {
    Running& running = *ending[i]->running;
    signal_running(running, trees[i]);
    if (settle(*ending[i], trees[i])) continue;
    again = again || running.exited || running.killed_at;  // else its exit starts the next round
  }
  if (again) {
    schedule_tree_round(tree_delay_);
    tree_delay_ = std::min<util::Duration>(tree_delay_ * 2, kLastTreeCheck);
  }
  notes_.deliver();
  launch_waiting();
}

/// Where /proc cannot be read: the slices' own groups are reached all the same, but what is not known to be gone is
/// not.
void LocalExecutor::Impl::blind_round(const std::vector<Slot*>& ending) {
  bool again = false;
  for (Slot* slot : ending) {
    signal_running(*slot->running, {});
    if (slot->running->is_given_up()) {
      complete(*slot, "/proc cannot be read: whether anything of it is alive is not known");
    } else {
      again = true;
    }
  }
  if (again) schedule_tree_round(kLastTreeCheck);
  notes_.deliver();
  launch_waiting();
}

void LocalExecutor::Impl::signal_running(Running& running, const std::vector<proc::Process>& tree) {
  if (running.killed_at) {
    proc::signal_tree(running.pid, tree, SIGKILL);
  } else if (running.term_asked) {
    proc::signal_tree(running.pid, tree, SIGTERM);
    proc::signal_tree(running.pid, tree, SIGCONT);  // a stopped process cannot act on it
  }
  running.term_asked = false;
  running.signalled = true;
}

/// Completes an attempt of which nothing is alive, or which cannot be killed. False: it lives on.
bool LocalExecutor::Impl::settle(Slot& slot, const std::vector<proc::Process>& tree) {
  Running& running = *slot.running;
  // One look at /proc can miss a process that was forked while it was going on and whose parent is gone: two cannot.
  const bool was_empty = std::exchange(running.found_empty, tree.empty());
  if (running.exited && tree.empty() && was_empty) {
    complete(slot);
    return true;
  }
  if (!running.is_given_up()) return false;
  std::string pids;
  for (const auto& process : tree) pids += " " + std::to_string(process.pid);
  complete(slot, "SIGKILL has had no effect for 10 s on process" + pids);
  return true;
}

/// Orphans of slices come to us, as a subreaper, and would stay zombies until the run is over.
void LocalExecutor::Impl::reap_inherited() {
  proc::reap_inherited([this](pid_t pid) {
    return std::ranges::any_of(slots_, [&](const Slot& slot) { return slot.running && slot.running->pid == pid; });
  });
  at(inherited_timer_, kReapInherited, [](Impl& self) { self.reap_inherited(); });
}

void LocalExecutor::Impl::shut_down() {
  std::vector<proc::TreeRoot> roots;
  for (const auto& slot : slots_) {
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
  impl_->reap_inherited();
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

}  // namespace runner::exec
