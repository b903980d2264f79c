// Lanes: threads of the local executor on which short attempts follow each other without the loop in between, one lane
// a slot. When an attempt has succeeded its lane launches the next that was offered, and tells of both afterwards. All
// that is not a short success - a failure, an attempt that takes long, a launch that fails, one that is to be signalled
// - is handed over to the loop, which does with it as with any other; nothing follows before the loop has dealt with a
// failure. Owned by the local executor; public functions are for its thread only.
#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "exec/executor.hpp"
#include "exec/running.hpp"
#include "exec/starter.hpp"

namespace runner::exec {

class Lanes {
 public:
  struct Options {
    Starter::Options starter;
    std::function<void()> wake;  ///< there is something to collect(); called on a lane's thread
    util::Duration longest;      ///< what runs for longer is handed over
  };
  /// An attempt that has ended in a lane, and what was launched in its place.
  struct Ended {
    std::unique_ptr<Running> running;
    core::Ending ending;
    std::optional<core::AttemptId> next;
  };
  /// An attempt that its lane has nothing to do with any more.
  struct HandedOver {
    LaunchRequest request;               ///< where no process could be made for it
    std::unique_ptr<Running> running{};  ///< else; if it has exited it is a zombie
  };
  using Report = std::variant<Ended, HandedOver>;

  explicit Lanes(Options options);
  /// What runs in a lane is to be handed over and ended before: it dies with the thread that launched it.
  ~Lanes();
  Lanes(const Lanes&) = delete;
  Lanes& operator=(const Lanes&) = delete;

  /// Whether so many slots can have a lane each.
  [[nodiscard]] bool can_serve(std::uint32_t slots) const;
  void offer(LaunchRequest request);
  /// Forgets what was offered.
  void recall();
  /// There are offers, or were just now, and attempts are short: they ought to be launched in lanes.
  [[nodiscard]] bool are_wanted() const { return wanted_; }
  /// False: its slot has no lane that is free. Else the slot's logs are the lane's, until it is reported that the last
  /// attempt that followed there has ended, or was handed over.
  /// `oom_kills`: as of now, for all that is launched until the next call of this or of collect().
  bool launch(LaunchRequest& request, Slot& slot, std::uint64_t oom_kills);

  enum class Take : std::uint8_t { long_ones, all };
  /// Calls `report` with what has happened, in order. What has run for long, or all that runs, is handed over.
  void collect(Take take, std::uint64_t oom_kills, const std::function<void(Report&)>& report);
  /// Of what runs in a lane and `is_it`.
  void hand_over(const std::function<bool(const Running&)>& is_it);
  /// What was to be launched first in a lane and has no process yet.
  std::optional<LaunchRequest> take_back(const core::AttemptId& id);
  /// So many attempts that were handed over as failed, or as not launched, have been dealt with.
  void settled(int count) { unsettled_ -= count; }
  [[nodiscard]] bool is_any_busy() const;
  /// A lane had no memory to go on with: the run cannot, either.
  [[nodiscard]] bool is_out_of_memory() const { return is_out_of_memory_; }
  /// While it lives no lane makes a process.
  using Still = std::vector<std::unique_lock<std::mutex>>;
  [[nodiscard]] Still hold_still();

 private:
  struct Lane;

  Lane* lane_of(std::uint32_t slot);
  void add_lane();
  [[nodiscard]] Lane* earliest() const;
  std::unique_ptr<LaunchRequest> take();
  void give_back(std::unique_ptr<LaunchRequest> request);
  void wake();
  [[nodiscard]] bool may_follow() const { return unsettled_ == 0 && !is_recalling_; }

  Options options_;
  std::uint32_t most_lanes_;
  bool wanted_ = false;
  bool broken_ = false;                       ///< one could not be made
  std::vector<std::shared_ptr<Lane>> lanes_;  ///< by slot; a thread that cannot be joined keeps its own
  std::mutex mutex_;                          ///< of the offers; taken after a lane's own
  std::deque<std::unique_ptr<LaunchRequest>> offers_;
  std::size_t most_offers_ = 0;     ///< after the last offer(); the loop is woken at a quarter of that
  std::atomic<int> unsettled_ = 0;  ///< handed over as failed, or as not launched
  std::atomic<bool> is_recalling_ = false;
  std::atomic<bool> is_woken_ = false;  ///< and has not collected since
  std::atomic<bool> is_out_of_memory_ = false;
  std::atomic<std::uint64_t> oom_kills_ = 0;
};

}  // namespace runner::exec
