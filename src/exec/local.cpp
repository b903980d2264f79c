#include "exec/local.hpp"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cassert>
#include <cerrno>
#include <deque>
#include <optional>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

#include "exec/attempt_files.hpp"
#include "exec/capture.hpp"
#include "exec/slot_log.hpp"
#include "proc/child.hpp"
#include "proc/environment.hpp"
#include "proc/launcher.hpp"
#include "proc/oom.hpp"
#include "proc/program.hpp"
#include "proc/tree.hpp"
#include "proc/watcher.hpp"

namespace runner::exec {

namespace asio = boost::asio;
using namespace std::chrono_literals;

namespace {

constexpr auto kRetryLaunch = 200ms;   ///< when no process could be made and none ends meanwhile
constexpr auto kLogPoll = 100ms;       ///< how often a log with a limit is looked at
constexpr auto kFirstTreeCheck = 2ms;  ///< then doubling
constexpr auto kLastTreeCheck = 100ms;
constexpr auto kUnkillableAfter = 10s;  ///< SIGKILL takes effect at once unless the kernel itself is stuck

/// The machine is short of something that comes back: worth waiting for.
bool is_shortage(int error) {
  return error == EAGAIN || error == ENOMEM || error == EMFILE || error == ENFILE;
}
bool is_full_disk(int error) {
  return error == ENOSPC || error == EDQUOT;
}

struct StartedNote {
  core::AttemptId id;
  int pid;
  util::WallTime at;
  std::string log;
};
struct FinishedNote {
  core::AttemptId id;
  core::Ending ending;
};
struct BackpressureNote {
  std::string reason;
};
using Note = std::variant<StartedNote, FinishedNote, BackpressureNote>;

/// One attempt with a process.
struct Running {
  LaunchRequest request;
  pid_t pid = -1;
  util::WallTime started_at{};
  util::TimePoint launched_at{};
  timespec outputs_since{};
  std::unique_ptr<Capture> capture;
  bool exited = false;      ///< and not reaped: it waits for the rest of its tree, or for the tap
  bool term_asked = false;  ///< TERM is to be sent in the next round
  bool signalled = false;   ///< by us: it ends when its whole tree has
  std::optional<util::TimePoint> killed_at;
};

struct Slot {
  explicit Slot(SlotLog file) : log(std::move(file)) {}
  SlotLog log;
  std::optional<Running> running;
};

/// What the child gets as 0, 1 and 2, and our ends of its pipes.
struct Streams {
  util::Fd in_file, out_file;     ///< of this attempt
  util::Pipe out_pipe, err_pipe;  ///< with a tap
  int in = -1, out = -1, err = -1;
};

}  // namespace

class LocalExecutor::Impl : public std::enable_shared_from_this<Impl> {
 public:
  Impl(asio::io_context& io, ExecutorEvents& events, const ExecutorOptions& options)
      : io_(io),
        events_(events),
        options_(options),
        environment_(::environ),
        watcher_(io, [this](pid_t pid, std::uint32_t slot) { on_exit(pid, slot); }),
        retry_timer_(io),
        log_timer_(io),
        tree_timer_(io) {
    proc::open_standard_descriptors();
    proc::keep_zombies();
    launcher_.use_pidfd = !options.force_sigchld;
  }

  void launch(LaunchRequest request) {
    if (!waiting_.empty() || !try_launch(request)) waiting_.push_back(std::move(request));
  }
  void signal(const core::AttemptId& id, How how);
  void resume_output();
  void adopt(const core::AttemptRecord& record) const;
  void shut_down();

 private:
  // launching
  bool try_launch(LaunchRequest& request);
  Slot& slot_of(const LaunchRequest& request);
  util::Result<Streams> open_streams(const LaunchRequest& request, SlotLog& log);
  util::Result<proc::Spawned> spawn(const LaunchRequest& request, const Streams& streams);
  util::Result<const std::filesystem::path*> program(const core::ExpandedAttempt& attempt);
  void run(LaunchRequest& request, Slot& slot, proc::Spawned spawned, Streams streams);
  void not_started(const LaunchRequest& request, std::string detail);
  void lack(std::string reason);
  void launch_waiting();
  [[nodiscard]] std::string cookie(const core::AttemptId& id) const;

  // ending
  void on_exit(pid_t pid, std::uint32_t slot);
  void complete(Slot& slot, std::string detail = {});
  core::Ending judge(const Running& running, const std::optional<proc::ExitStatus>& exit);
  void tree_round();
  void schedule_tree_round(util::Duration after);
  void poll_logs();

  // telling
  void tell(Note note);
  void deliver();
  template <class Function>
  void later(Function function);

  asio::io_context& io_;
  ExecutorEvents& events_;
  ExecutorOptions options_;
  proc::Launcher launcher_;
  proc::Environment environment_;
  proc::OomCounter oom_;
  proc::ChildWatcher watcher_;
  util::Fd null_;
  std::string cookie_;
  struct {
    std::string name, path_value, workdir;
    std::filesystem::path path;
  } last_program_;

  std::deque<Slot> slots_;             ///< stable addresses: captures refer to their log
  std::deque<LaunchRequest> waiting_;  ///< no process could be made for the first
  bool lacking_ = false;
  asio::steady_timer retry_timer_;
  asio::steady_timer log_timer_;
  bool polling_logs_ = false;
  asio::steady_timer tree_timer_;
  util::Duration tree_delay_ = kFirstTreeCheck;
  bool tree_round_due_ = false;
  std::vector<Note> notes_;
  bool delivery_posted_ = false;
};

// ---- telling

/// Posts `function`, to be dropped if we are gone by then.
template <class Function>
void LocalExecutor::Impl::later(Function function) {
  asio::post(io_, [self = weak_from_this(), function] {
    if (const auto alive = self.lock()) function(*alive);
  });
}

void LocalExecutor::Impl::tell(Note note) {
  notes_.push_back(std::move(note));
  if (std::exchange(delivery_posted_, true)) return;
  later([](Impl& self) { self.deliver(); });
}

void LocalExecutor::Impl::deliver() {
  delivery_posted_ = false;
  std::vector<Note> notes;
  notes.swap(notes_);
  for (auto& note : notes) {
    if (auto* started = std::get_if<StartedNote>(&note)) {
      events_.started(started->id, started->pid, started->at, started->log);
    } else if (auto* finished = std::get_if<FinishedNote>(&note)) {
      events_.finished(finished->id, std::move(finished->ending));
    } else if (auto* lack = std::get_if<BackpressureNote>(&note)) {
      events_.backpressure(lack->reason);
    }
  }
}

// ---- launching

std::string LocalExecutor::Impl::cookie(const core::AttemptId& id) const {
  return "RUNNER_COOKIE=" + options_.run_id + "." + std::to_string(id.job) + "." + std::to_string(id.slice) + "." +
         std::to_string(id.number);
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
  const auto give_up = [&](const util::Error& error) {
    if (is_shortage(error.errno_value)) {
      lack(error.message);
      return false;
    }
    not_started(request, error.message);
    return true;
  };
  const auto log = slot.log.open();
  if (!log && is_full_disk(log.error().errno_value)) {
    lack("cannot open a log: " + log.error().message);
    return false;
  }
  if (!log) return give_up(log.error());
  auto streams = open_streams(request, slot.log);
  if (!streams) return give_up(streams.error());
  const timespec outputs_since = file_time_now();
  const auto wall = util::wall_now();
  const auto steady = util::steady_now();
  auto spawned = spawn(request, *streams);
  if (!spawned) return give_up(spawned.error());
  lacking_ = false;
  run(request, slot, std::move(*spawned), std::move(*streams));
  slot.running->outputs_since = outputs_since;
  slot.running->started_at = wall;
  slot.running->launched_at = steady;
  tell(StartedNote{slot.running->request.id, slot.running->pid, wall, slot.log.path()});
  return true;
}

util::Result<Streams> LocalExecutor::Impl::open_streams(const LaunchRequest& request, SlotLog& log) {
  Streams streams;
  if (request.attempt.stdin_path.empty()) {
    if (!null_) {
      auto null = util::open_file("/dev/null", O_RDONLY);
      if (!null) return std::move(null.error());
      null_ = std::move(*null);
    }
    streams.in = null_.get();
  } else {
    auto file = open_stdin(request.attempt);
    if (!file) return std::move(file.error());
    streams.in_file = std::move(*file);
    streams.in = streams.in_file.get();
  }
  const auto fd = log.open();
  if (!fd) return fd.error();
  streams.out = streams.err = *fd;
  if (options_.tap != nullptr) {
    for (auto* pipe : {&streams.out_pipe, &streams.err_pipe}) {
      auto made = util::make_pipe();
      if (!made) return std::move(made.error());
      *pipe = std::move(*made);
    }
    streams.out = streams.out_pipe.write.get();
    streams.err = streams.err_pipe.write.get();
  }
  if (!request.attempt.stdout_path.empty()) {
    auto file = open_stdout(request.attempt);
    if (!file) return std::move(file.error());
    streams.out_file = std::move(*file);
    streams.out = streams.out_file.get();
    streams.out_pipe = {};
  }
  return streams;
}

/// The program's path: searched for again only when the name or the PATH is another.
util::Result<const std::filesystem::path*> LocalExecutor::Impl::program(const core::ExpandedAttempt& attempt) {
  const std::string& name = attempt.command.argv.front();
  const char* path = environment_.find("PATH");
  const std::string_view path_value = path == nullptr ? "" : path;
  auto& last = last_program_;
  if (last.name != name || last.path_value != path_value || last.workdir != attempt.workdir) {
    auto found = proc::find_program(name, path, attempt.workdir);
    if (!found) {
      last.name.clear();
      return std::move(found.error());
    }
    last = {name, std::string(path_value), attempt.workdir, std::move(*found)};
  }
  return &last.path;
}

/// A process, or why there is none, ready to be shown.
util::Result<proc::Spawned> LocalExecutor::Impl::spawn(const LaunchRequest& request, const Streams& streams) {
  const core::ExpandedAttempt& attempt = request.attempt;
  if (attempt.command.argv.empty()) return util::Error{"cannot execute: the command is empty"};
  cookie_ = cookie(request.id);
  launcher_.env = environment_.with(attempt.env, cookie_);
  launcher_.workdir = attempt.workdir.empty() ? nullptr : attempt.workdir.c_str();
  const auto executable = program(attempt);
  if (!executable) return executable.error();

  std::vector<const char*> argv;
  argv.reserve(attempt.command.argv.size() + 1);
  for (const auto& argument : attempt.command.argv) argv.push_back(argument.c_str());
  argv.push_back(nullptr);
  auto spawned = launcher_.launch(**executable, argv.data(),
                                  boost::process::v2::process_stdio{streams.in, streams.out, streams.err});
  if (spawned.failed == proc::Stage::none) return spawned;
  last_program_.name.clear();
  return proc::describe_failure(spawned, attempt.command.argv.front(), (*executable)->native(), attempt.workdir);
}

void LocalExecutor::Impl::run(LaunchRequest& request, Slot& slot, proc::Spawned spawned, Streams streams) {
  const std::uint32_t index = request.slot;
  Running& running = slot.running.emplace();
  running.pid = spawned.pid;
  const auto limit = request.job == nullptr ? std::nullopt : request.job->log_limit;
  slot.log.begin(limit);
  if (options_.tap != nullptr) {
    running.capture = std::make_unique<Capture>(io_, *options_.tap, slot.log, Capture::Source{request.id, request.key},
                                                std::move(streams.out_pipe.read), std::move(streams.err_pipe.read));
  }
  running.request = std::move(request);
  watcher_.watch(running.pid, std::move(spawned.pidfd), index);
  if (limit && !std::exchange(polling_logs_, true)) poll_logs();
}

void LocalExecutor::Impl::not_started(const LaunchRequest& request, std::string detail) {
  core::Ending ending;
  ending.outcome = core::Outcome::not_started;
  ending.started_at = ending.ended_at = util::wall_now();
  ending.detail = std::move(detail);
  tell(FinishedNote{request.id, std::move(ending)});
}

void LocalExecutor::Impl::lack(std::string reason) {
  if (!std::exchange(lacking_, true)) tell(BackpressureNote{std::move(reason)});
  retry_timer_.expires_after(kRetryLaunch);
  retry_timer_.async_wait([self = weak_from_this()](const boost::system::error_code& ec) {
    const auto alive = self.lock();
    if (!ec && alive) alive->launch_waiting();
  });
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
  if (running.signalled || running.term_asked || running.killed_at) {
    schedule_tree_round(util::Duration::zero());
    return;
  }
  ::kill(-pid, SIGKILL);  // what it has left behind in its group; the zombie pins the number
  if (running.capture && !options_.tap->ready()) return;  // resume_output() goes on
  complete(slot);
  deliver();
  launch_waiting();
}

/// The exited process is reaped, its log put away, the end told.
void LocalExecutor::Impl::complete(Slot& slot, std::string detail) {
  Running running = std::move(*slot.running);
  slot.running.reset();
  const auto exit = running.exited ? proc::reap(running.pid) : std::nullopt;
  if (running.capture) {
    running.capture->finish();
    running.capture.reset();
  }
  core::Ending ending = judge(running, exit);
  if (!detail.empty()) ending.detail = std::move(detail);
  if (!slot.log.problem().empty()) ending.detail += (ending.detail.empty() ? "" : "; ") + slot.log.problem();
  ending.log = running.exited ? slot.log.end(running.request.log) : slot.log.abandon();
  tell(FinishedNote{running.request.id, std::move(ending)});
}

core::Ending LocalExecutor::Impl::judge(const Running& running, const std::optional<proc::ExitStatus>& exit) {
  core::Ending ending;
  ending.started_at = running.started_at;
  ending.ended_at = util::wall_now();
  ending.runtime = util::steady_now() - running.launched_at;
  if (!exit) {
    ending.outcome = running.exited ? core::Outcome::lost : core::Outcome::killed;
    ending.signal = running.exited ? 0 : SIGKILL;
    if (running.exited) ending.detail = "its exit status was taken by something else";
    return ending;
  }
  ending.exit_code = exit->code;
  ending.signal = exit->signal;
  ending.usage = {exit->user, exit->system, exit->max_rss_kib};
  if (exit->signal != 0) {
    const bool oom = exit->signal == SIGKILL && !running.killed_at && oom_.explains_a_death();
    ending.outcome = oom ? core::Outcome::out_of_memory : core::Outcome::killed;
    return ending;
  }
  const core::JobSpec* job = running.request.job;
  const bool success = job == nullptr ? exit->code == 0
                                      : std::find(job->success_codes.begin(), job->success_codes.end(), exit->code) !=
                                            job->success_codes.end();
  ending.outcome = success ? core::Outcome::succeeded : core::Outcome::failed;
  if (success && !running.request.attempt.outputs.empty()) {
    ending.detail = check_outputs(running.request.attempt, running.outputs_since);
    if (!ending.detail.empty()) ending.outcome = core::Outcome::missing_output;
  }
  return ending;
}

void LocalExecutor::Impl::poll_logs() {
  bool any = false;
  for (auto& slot : slots_) {
    if (!slot.running || !slot.log.has_limit()) continue;
    any = true;
    slot.log.enforce_limit();
  }
  polling_logs_ = any;
  if (!any) return;
  log_timer_.expires_after(kLogPoll);
  log_timer_.async_wait([self = weak_from_this()](const boost::system::error_code& ec) {
    const auto alive = self.lock();
    if (!ec && alive) alive->poll_logs();
  });
}

// ---- terminating

void LocalExecutor::Impl::signal(const core::AttemptId& id, How how) {
  const auto queued =
      std::find_if(waiting_.begin(), waiting_.end(), [&](const LaunchRequest& request) { return request.id == id; });
  if (queued != waiting_.end()) {
    not_started(*queued, "no process could be made for it before it was cancelled");
    waiting_.erase(queued);
    return;
  }
  for (auto& slot : slots_) {
    if (!slot.running || slot.running->request.id != id) continue;
    if (how == How::terminate) {
      slot.running->term_asked = true;
    } else if (!slot.running->killed_at) {
      slot.running->killed_at = util::steady_now();
    }
    schedule_tree_round(util::Duration::zero());
    return;
  }
}

/// Rounds are collected: one look at /proc serves every attempt that is being ended.
void LocalExecutor::Impl::schedule_tree_round(util::Duration after) {
  if (after == util::Duration::zero()) {
    tree_delay_ = kFirstTreeCheck;
    if (std::exchange(tree_round_due_, true)) return;
  }
  tree_timer_.expires_after(after);
  tree_timer_.async_wait([self = weak_from_this()](const boost::system::error_code& ec) {
    const auto alive = self.lock();
    if (!ec && alive) alive->tree_round();
  });
}

/// Signals every attempt that is to be ended, as a whole tree, and completes those of which nothing is alive.
void LocalExecutor::Impl::tree_round() {
  tree_round_due_ = false;
  std::vector<Slot*> ending;
  std::vector<proc::TreeRoot> roots;
  for (auto& slot : slots_) {
    if (!slot.running) continue;
    const Running& running = *slot.running;
    if (!running.term_asked && !running.killed_at && !(running.signalled && running.exited)) continue;
    ending.push_back(&slot);
    roots.push_back({running.pid, cookie(running.request.id)});
  }
  const auto trees = proc::find_trees(roots);
  bool again = false;
  for (std::size_t i = 0; i < ending.size(); ++i) {
    Running& running = *ending[i]->running;
    if (running.killed_at) {
      proc::signal_tree(running.pid, trees[i], SIGKILL);
    } else if (std::exchange(running.term_asked, false)) {
      proc::signal_tree(running.pid, trees[i], SIGTERM);
      proc::signal_tree(running.pid, trees[i], SIGCONT);  // a stopped process cannot act on it
    }
    running.signalled = true;
    if (running.exited && trees[i].empty()) {
      complete(*ending[i]);
    } else if (running.killed_at && util::steady_now() - *running.killed_at > kUnkillableAfter) {
      std::string pids;
      for (const auto& process : trees[i]) pids += " " + std::to_string(process.pid);
      complete(*ending[i], "SIGKILL has no effect on process" + pids + ": still there after 10 s");
    } else {
      again = again || running.killed_at || running.exited;
    }
  }
  if (again) {
    schedule_tree_round(tree_delay_);
    tree_delay_ = std::min<util::Duration>(tree_delay_ * 2, kLastTreeCheck);
  }
  deliver();
  launch_waiting();
}

void LocalExecutor::Impl::adopt(const core::AttemptRecord& record) const {
  const std::vector<proc::TreeRoot> roots = {{0, cookie(record.id)}};
  for (int round = 0; round < 100; ++round) {
    const auto tree = proc::find_trees(roots).front();
    if (tree.empty()) return;
    proc::signal_tree(0, tree, SIGKILL);
    std::this_thread::sleep_for(1ms);
  }
}

void LocalExecutor::Impl::resume_output() {
  later([](Impl& self) {
    for (auto& slot : self.slots_) {
      if (!slot.running || !slot.running->capture || !self.options_.tap->ready()) continue;
      const bool waited = slot.running->exited && !slot.running->signalled;
      waited ? self.complete(slot) : slot.running->capture->resume();
    }
    self.deliver();
    self.launch_waiting();
  });
}

void LocalExecutor::Impl::shut_down() {
  std::vector<proc::TreeRoot> roots;
  for (const auto& slot : slots_) {
    if (slot.running) roots.push_back({slot.running->pid, cookie(slot.running->request.id)});
  }
  if (roots.empty()) return;
  for (int round = 0; round < 1000; ++round) {
    bool alive = false;
    const auto trees = proc::find_trees(roots);
    for (std::size_t i = 0; i < roots.size(); ++i) {
      proc::signal_tree(roots[i].pid, trees[i], SIGKILL);
      alive = alive || !trees[i].empty();
    }
    if (!alive) break;
    std::this_thread::sleep_for(1ms);
  }
  for (const auto& root : roots) (void)proc::reap(root.pid);
}

// ---- the executor

LocalExecutor::LocalExecutor(asio::io_context& io, ExecutorEvents& events, const ExecutorOptions& options)
    : impl_(std::make_shared<Impl>(io, events, options)) {}

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
bool LocalExecutor::adopt(const core::AttemptRecord& record) {
  impl_->adopt(record);
  return false;
}
void LocalExecutor::resume_output() {
  impl_->resume_output();
}

}  // namespace runner::exec
