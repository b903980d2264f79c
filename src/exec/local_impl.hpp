// LocalExecutor::Impl: what its parts - launching and ending (local.cpp), following each other in lanes
// (local_lanes.cpp), ending by force (local_tree.cpp), being suspended (local_still.cpp) - have in common. Private to
// exec/; owned by the LocalExecutor.
#pragma once

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "exec/cookie.hpp"
#include "exec/lanes.hpp"
#include "exec/local.hpp"
#include "exec/notes.hpp"
#include "exec/notify_socket.hpp"
#include "exec/running.hpp"
#include "exec/starter.hpp"
#include "exec/tap_gate.hpp"
#include "proc/child.hpp"
#include "proc/oom.hpp"
#include "proc/tree.hpp"
#include "proc/watcher.hpp"

namespace runner::exec {

namespace asio = boost::asio;

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
        starter_(starter_options(!options_.force_sigchld)),
        oom_(options_.oom_counter.empty() ? proc::OomCounter() : proc::OomCounter(options_.oom_counter)),
        watcher_(io, [this](pid_t pid, std::uint32_t slot) { on_exit(pid, slot); }),
        retry_timer_(io),
        log_timer_(io),
        tree_timer_(io),
        still_timer_(io),
        lane_timer_(io),
        inherited_timer_(io),
        lanes_({.starter = starter_options(false),
                .wake = [this] { collect_soon(); },
                .longest = options_.longest_in_lane}) {
    if (options_.tap != nullptr) options_.tap = &gate_.emplace(*options_.tap, notes_);
    proc::open_standard_descriptors();
    proc::keep_zombies();
  }

  void launch(LaunchRequest request);
  void signal(const core::AttemptId& id, How how);
  void resume_output();
  [[nodiscard]] bool takes_offers(std::uint32_t slots) const;
  void offer(LaunchRequest request);
  void recall();
  void reap_inherited_regularly();
  void shut_down();

 private:
  bool try_launch(LaunchRequest& request);
  Slot& slot_of(const LaunchRequest& request);
  template <class Predicate>
  Running* find_running(Predicate is_it);
  void run(LaunchRequest& request, Slot& slot, Starter::Child child);
  void not_started(const LaunchRequest& request, std::string detail,
                   core::Outcome outcome = core::Outcome::not_started);
  void wait_for_resources(std::string reason);
  void launch_waiting();

  void on_exit(pid_t pid, std::uint32_t index);
  void complete(Slot& slot, std::string detail = {});
  core::Ending judge(const Running& running, const std::optional<proc::ExitStatus>& exit);
  bool has_ended(Slot& slot);
  void poll_logs();
  void poll_logs_soon();
  void reap_inherited();
  void on_report(pid_t sender, const core::Report& report);

  // following each other: local_lanes.cpp
  [[nodiscard]] Starter::Options starter_options(bool use_pidfd) const;
  bool launch_in_lane(LaunchRequest& request);
  void collect_soon();
  void collect_regularly();
  void collect();
  void gather(Lanes::Take take);
  void gather_what_is_there(Lanes::Take take);
  void take_over(Lanes::HandedOver one);
  void to_settle();

  // being suspended: local_still.cpp
  void suspend(Running& running);
  void resume(Running& running);
  void schedule_still_round(util::Duration after);
  void still_round();
  void continue_what_is_left(const Running& running);
  static void end_standing(Running& running);

  // being ended: local_tree.cpp
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
  std::optional<std::uint64_t> descriptor_limit_ = proc::raise_descriptor_limit();  ///< the children's
  Starter starter_;
  proc::OomCounter oom_;
  proc::ChildWatcher watcher_;
  std::map<std::uint32_t, Slot> slots_;  ///< those that were used; never moved: captures refer to their log
  std::deque<LaunchRequest> waiting_;    ///< no process could be made for the first
  std::optional<util::TimePoint> last_shortage_;
  asio::steady_timer retry_timer_;
  asio::steady_timer log_timer_;
  bool polling_logs_ = false;
  asio::steady_timer tree_timer_;
  asio::steady_timer still_timer_;
  asio::steady_timer lane_timer_;
  bool is_collecting_regularly_ = false;
  int to_settle_ = 0;  ///< what lanes hold up others for; told, or about to be
  util::Duration still_delay_{};
  bool still_round_due_ = false;         ///< at once
  std::set<core::AttemptId> held_back_;  ///< of waiting_: suspended
  asio::steady_timer inherited_timer_;
  util::Duration tree_delay_{};
  bool tree_round_due_ = false;  ///< at once
  Lanes lanes_;                  ///< last: its threads call back
};

/// nullptr: there is none.
template <class Predicate>
Running* LocalExecutor::Impl::find_running(Predicate is_it) {
  for (auto& [number, slot] : slots_) {
    if (slot.running && is_it(*slot.running)) return &*slot.running;
  }
  return nullptr;
}

/// Calls `function` after a while, unless the timer is set anew or we are gone by then.
template <class Function>
void LocalExecutor::Impl::at(asio::steady_timer& timer, util::Duration after, Function function) {
  timer.expires_after(after);
  timer.async_wait([self = weak_from_this(), function](const boost::system::error_code& ec) {
    const auto alive = self.lock();
    if (!ec && alive) function(*alive);
  });
}

}  // namespace runner::exec
