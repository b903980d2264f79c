#include "exec/lanes.hpp"

#include <pthread.h>
#include <signal.h>

#include <algorithm>
#include <condition_variable>
#include <exception>
#include <new>
#include <thread>
#include <utility>

#include "exec/attempt_files.hpp"
#include "proc/child.hpp"
#include "proc/tree.hpp"
#include "util/signals.hpp"

namespace runner::exec {

namespace {

constexpr auto kUnkillable = std::chrono::seconds(1);  ///< how long a thread is waited for whose attempt was killed
constexpr std::uint32_t kLanesPerCpu = 2;

}  // namespace

/// One thread and what it works on, all guarded by `mutex`: the thread lets go of it only while it waits.
struct Lanes::Lane {
  struct Timed {
    util::TimePoint at;
    Report report;
  };

  Lane(Lanes& all, const Options& options) : lanes(all), starter(options.starter) {}

  // on the lane's thread
  void work();
  void follow_each_other(std::unique_lock<std::mutex>& lock);
  bool launch(LaunchRequest& request);
  [[nodiscard]] bool is_success(bool exited_with_zero) const;
  void prepare_next(std::uint32_t slot_number);
  bool end_current();
  // on either
  void put_next_back();
  void hand_over(util::TimePoint at);
  void hand_over_first();
  void report(util::TimePoint at, Report one) { reports.push_back({at, std::move(one)}); }

  Lanes& lanes;
  std::mutex mutex;
  std::condition_variable changed;
  bool is_over = false;                ///< its thread's work
  bool waits_for_handed_over = false;  ///< for an attempt that was handed over
  std::optional<LaunchRequest> first;  ///< to be launched
  Slot* slot = nullptr;                ///< where
  std::unique_ptr<Running> current;
  std::unique_ptr<LaunchRequest> next;  ///< taken from the offers, to follow it
  std::vector<Timed> reports;
  std::vector<Timed> collected;  ///< the executor's alone, as is `told`: how many of them have been
  std::size_t told = 0;
  Starter starter;
  std::thread thread;
};

void Lanes::Lane::work() {
  std::unique_lock lock(mutex);
  try {
    while (!is_over) {
      if (first) {
        follow_each_other(lock);
        changed.notify_all();
      } else {
        changed.wait(lock, [this] { return first || is_over; });
      }
    }
  } catch (const std::bad_alloc&) {
    is_over = true;
    lanes.is_out_of_memory_ = true;  // and is told on the executor's thread
  }
}

/// Attempt after attempt, until one is not a success, is handed over, or nothing is there to follow it.
void Lanes::Lane::follow_each_other(std::unique_lock<std::mutex>& lock) {
  LaunchRequest request = std::move(*first);
  first.reset();
  if (!launch(request)) {
    first = std::move(request);
    hand_over_first();
    lanes.wake();
    return;
  }
  do {
    prepare_next(current->request.slot);
    const pid_t pid = current->pid;
    lock.unlock();
    const bool exited_with_zero = proc::wait_for_success(pid);
    lock.lock();
    if (std::exchange(waits_for_handed_over, false)) return;
    const auto now = util::steady_now();
    current->exited = true;
    current->runtime = now - current->launched_at;
    current->exited_at = util::wall_now_after(current->started_at, current->runtime);
    if (!is_success(exited_with_zero)) {
      ++lanes.unsettled_;
      hand_over(now);
      break;
    }
  } while (end_current());
  lanes.wake();
}

/// False: no process was made, and the log is closed.
bool Lanes::Lane::launch(LaunchRequest& request) {
  if (!request.obstacle.empty()) return false;
  auto running = std::make_unique<Running>();
  running->outputs_since = file_time_now();
  running->oom_kills = lanes.oom_kills_;
  running->started_at = util::wall_now();
  running->launched_at = util::steady_now();
  const auto child = starter.start(request, *slot->log);
  if (!child) {
    slot->log->close();
    return false;
  }
  running->pid = child->pid;
  slot->log->begin(request.job->log_limit);
  running->request = std::move(request);
  current = std::move(running);
  return true;
}

/// In doubt false: the loop judges it then.
bool Lanes::Lane::is_success(bool exited_with_zero) const {
  const auto& codes = current->request.job->success_codes;
  return exited_with_zero && std::ranges::find(codes, 0) != codes.end() &&
         check_outputs(current->request.attempt, current->outputs_since).empty();
}

void Lanes::Lane::prepare_next(std::uint32_t slot_number) {
  if (next) return;
  next = lanes.take();
  if (!next) return;
  next->set_slot(slot_number);
}

/// It has succeeded. What follows is launched as soon as that is sure, because its slot is idle until then. False:
/// nothing runs here any more.
bool Lanes::Lane::end_current() {
  auto finished = std::move(current);
  const Running& ended = *finished;
  proc::kill_group(ended.pid);  // what it has left behind in its group; the zombie pins the number
  core::Ending ending = ended.ending_at_exit();
  starter.settle_counters(ended.request.id, ending);
  if (ending.outcome != core::Outcome::succeeded) ++lanes.unsettled_;
  prepare_next(ended.request.slot);
  std::swap(slot->log, slot->spare);
  std::optional<core::AttemptId> followed;
  if (next && lanes.may_follow()) {
    followed = next->id;
    if (!launch(*next)) first = std::move(*next);  // the loop launches it, or says why it cannot
    next.reset();
  }
  put_next_back();

  if (const auto exit = proc::reap(ended.pid)) ending.usage = {exit->user, exit->system, exit->max_rss_kib};
  put_away(*slot->spare, ended, proc::group_exists(ended.pid), ending);
  if (!current) std::swap(slot->log, slot->spare);
  const auto at = ended.launched_at + ended.runtime;
  report(at, Ended{std::move(finished), std::move(ending), followed});
  if (first) hand_over_first();
  return current != nullptr;
}

void Lanes::Lane::put_next_back() {
  if (next) lanes.give_back(std::move(next));
}

/// The loop has its slot, and its logs, from here on.
void Lanes::Lane::hand_over(util::TimePoint at) {
  put_next_back();
  waits_for_handed_over = !current->exited && !is_over;
  report(at, HandedOver{.request = {}, .running = std::move(current)});
}

/// It has no process yet.
void Lanes::Lane::hand_over_first() {
  ++lanes.unsettled_;
  report(util::steady_now(), HandedOver{.request = std::move(*first)});
  first.reset();
}

// ---- all lanes

Lanes::Lanes(Options options)
    : options_(std::move(options)), most_lanes_(kLanesPerCpu * std::max(1U, std::thread::hardware_concurrency())) {}

Lanes::~Lanes() {
  for (const auto& lane : lanes_) {
    std::unique_lock lock(lane->mutex);
    lane->is_over = true;
    lane->changed.notify_all();
    // What cannot be killed must not keep us; its thread touches nothing but the lane from here on.
    const bool ends = lane->changed.wait_for(lock, kUnkillable, [&] { return !lane->waits_for_handed_over; });
    lock.unlock();
    ends ? lane->thread.join() : lane->thread.detach();
  }
}

bool Lanes::can_serve(std::uint32_t slots) const {
  return !broken_ && slots <= most_lanes_;
}

void Lanes::offer(LaunchRequest request) {
  wanted_ = true;
  const std::lock_guard lock(mutex_);
  offers_.push_back(std::make_unique<LaunchRequest>(std::move(request)));
  most_offers_ = offers_.size();
}

std::unique_ptr<LaunchRequest> Lanes::take() {
  if (!may_follow()) return nullptr;
  const std::lock_guard lock(mutex_);
  if (offers_.empty()) return nullptr;
  auto first = std::move(offers_.front());
  offers_.pop_front();
  if (offers_.size() <= most_offers_ / 4) wake();
  return first;
}

void Lanes::give_back(std::unique_ptr<LaunchRequest> request) {
  const std::lock_guard lock(mutex_);
  offers_.push_front(std::move(request));
}

void Lanes::recall() {
  wanted_ = false;
  is_recalling_ = true;
  for (const auto& lane : lanes_) {
    const std::lock_guard lock(lane->mutex);
    lane->put_next_back();
  }
  {
    const std::lock_guard lock(mutex_);
    offers_.clear();
  }
  is_recalling_ = false;
}

void Lanes::wake() {
  if (!is_woken_.exchange(true)) options_.wake();
}

/// nullptr: there can be none.
Lanes::Lane* Lanes::lane_of(std::uint32_t slot) {
  if (!can_serve(slot + 1)) return nullptr;
  try {
    lanes_.reserve(slot + std::size_t{1});
    while (lanes_.size() <= slot) add_lane();
  } catch (const std::exception&) {  // no thread (system_error), or no memory
    broken_ = true;
  }
  return broken_ ? nullptr : lanes_[slot].get();
}

void Lanes::add_lane() {
  const std::string name = "lane " + std::to_string(lanes_.size());
  auto lane = std::make_shared<Lane>(*this, options_);
  // Of a child whose parent blocks it the kernel does not drop SIGCHLD, but wakes the loop's thread with it.
  const auto blocked = util::BlockedSignals::all_but({SIGCHLD});
  lane->thread = std::thread([lane] { lane->work(); });
  ::pthread_setname_np(lane->thread.native_handle(), name.c_str());
  lanes_.push_back(std::move(lane));
}

bool Lanes::launch(LaunchRequest& request, Slot& slot, std::uint64_t oom_kills) {
  Lane* lane = lane_of(request.slot);
  if (lane == nullptr) return false;
  const std::lock_guard lock(lane->mutex);
  if (lane->first || lane->current || lane->waits_for_handed_over) return false;
  oom_kills_ = oom_kills;
  lane->slot = &slot;
  lane->first = std::move(request);
  lane->changed.notify_all();
  return true;
}

void Lanes::collect(Take take, std::uint64_t oom_kills, const std::function<void(Report&)>& report) {
  is_woken_ = false;
  oom_kills_ = oom_kills;
  const auto now = util::steady_now();
  for (const auto& lane : lanes_) {
    const std::lock_guard lock(lane->mutex);
    const bool is_long = lane->current && now - lane->current->launched_at > options_.longest;
    if (is_long) wanted_ = false;
    if (lane->current && (is_long || take == Take::all)) lane->hand_over(std::max(now, lane->current->launched_at));
    if (lane->first && take == Take::all) lane->hand_over_first();
    lane->collected.swap(lane->reports);
    lane->told = 0;
  }
  while (Lane* lane = earliest()) report(lane->collected[lane->told++].report);
  for (const auto& lane : lanes_) {
    lane->collected.clear();
    lane->told = 0;
  }
}

/// Of those that have something collected that is not told yet; nullptr: none has.
Lanes::Lane* Lanes::earliest() const {
  Lane* first = nullptr;
  for (const auto& lane : lanes_) {
    if (lane->told == lane->collected.size()) continue;
    if (first == nullptr || lane->collected[lane->told].at < first->collected[first->told].at) first = lane.get();
  }
  return first;
}

void Lanes::hand_over(const std::function<bool(const Running&)>& is_it) {
  for (const auto& lane : lanes_) {
    const std::lock_guard lock(lane->mutex);
    if (lane->current && is_it(*lane->current)) lane->hand_over(util::steady_now());
  }
}

std::optional<LaunchRequest> Lanes::take_back(const core::AttemptId& id) {
  for (const auto& lane : lanes_) {
    const std::lock_guard lock(lane->mutex);
    if (lane->first && lane->first->id == id) return std::exchange(lane->first, std::nullopt);
  }
  return std::nullopt;
}

bool Lanes::is_any_busy() const {
  const bool is_busy = std::ranges::any_of(lanes_, [](const auto& lane) {
    const std::lock_guard lock(lane->mutex);
    return lane->first || lane->current || !lane->reports.empty();
  });
  return is_busy || is_out_of_memory_;  // its lane is not busy any more, and who asks comes again and is told
}

Lanes::Still Lanes::hold_still() {
  Still locks;
  for (const auto& lane : lanes_) locks.emplace_back(lane->mutex);
  return locks;
}

}  // namespace runner::exec
