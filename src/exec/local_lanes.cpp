// The part of the local executor that lets short attempts follow each other in lanes, and takes over what is not for
// them.
#include <boost/asio/post.hpp>
#include <cassert>
#include <new>

#include "exec/local_impl.hpp"

namespace runner::exec {

using namespace std::chrono_literals;

namespace {

constexpr auto kCollect = 10ms;  ///< at the latest: lanes wake the loop when they need it

}  // namespace

Starter::Options LocalExecutor::Impl::starter_options(bool use_pidfd) const {
  return {.run_dir = options_.run_dir,
          .cookie_prefix = cookie_prefix_,
          .capture = options_.tap != nullptr,
          .use_pidfd = use_pidfd,
          .notify_address = notify_.address(),
          .umask = options_.umask,
          .descriptor_limit = descriptor_limit_};
}

/// What is captured goes through pipes that the loop reads.
bool LocalExecutor::Impl::takes_offers(std::uint32_t slots) const {
  return options_.tap == nullptr && lanes_.can_serve(slots);
}

void LocalExecutor::Impl::offer(LaunchRequest request) {
  lanes_.offer(std::move(request));
}

/// Nothing runs in a lane then.
void LocalExecutor::Impl::recall() {
  lanes_.recall();
  gather(Lanes::Take::all);
  notes_.deliver();
  collect_soon();
}

bool LocalExecutor::Impl::launch_in_lane(LaunchRequest& request) {
  if (!lanes_.are_wanted() || request.job == nullptr || request.job->kind != core::JobKind::slices) return false;
  if (!lanes_.launch(request, slot_of(request), oom_.kills())) return false;
  if (!std::exchange(is_collecting_regularly_, true)) collect_regularly();
  return true;
}

/// From any thread.
void LocalExecutor::Impl::collect_soon() {
  asio::post(io_, [weak = weak_from_this()] {
    if (const auto self = weak.lock()) self->collect();
  });
}

void LocalExecutor::Impl::collect_regularly() {
  at(lane_timer_, kCollect, [](Impl& self) {
    self.collect();
    self.is_collecting_regularly_ = self.lanes_.is_any_busy();
    if (self.is_collecting_regularly_) self.collect_regularly();
  });
}

/// What follows is held up by a failure until that has been told.
void LocalExecutor::Impl::collect() {
  gather(Lanes::Take::long_ones);
  launch_waiting();
  notes_.deliver();
  lanes_.settled(std::exchange(to_settle_, 0));
}

/// Tells nothing yet. Throws where a lane had no memory: what it had to say may be lost, and the rest means nothing
/// then.
void LocalExecutor::Impl::gather(Lanes::Take take) {
  if (lanes_.is_out_of_memory()) throw std::bad_alloc();
  gather_what_is_there(take);
}

void LocalExecutor::Impl::gather_what_is_there(Lanes::Take take) {
  lanes_.collect(take, oom_.kills(), [this](Lanes::Report& report) {
    if (auto* handed_over = std::get_if<Lanes::HandedOver>(&report)) return take_over(std::move(*handed_over));
    auto& ended = std::get<Lanes::Ended>(report);
    const Running& running = *ended.running;
    // No log: that of the ending is it, and by now another attempt may write to the draft.
    notes_.add(StartedNote{.id = running.request.id, .pid = running.pid, .at = running.started_at, .log = {}});
    if (ended.ending.outcome != core::Outcome::succeeded) to_settle();
    if (ended.next) {
      notes_.add(FollowedNote{.id = running.request.id, .ending = std::move(ended.ending), .next = *ended.next});
    } else {
      notes_.add(FinishedNote{.id = running.request.id, .ending = std::move(ended.ending)});
    }
  });
}

void LocalExecutor::Impl::take_over(Lanes::HandedOver one) {
  if (!one.running) {
    to_settle();
    waiting_.push_back(std::move(one.request));
    return;
  }
  const std::uint32_t number = one.running->request.slot;
  Slot& slot = slots_.at(number);
  assert(!slot.running && "a slot runs one attempt at a time");
  const Running& running = slot.running.emplace(std::move(*one.running));
  notes_.add(StartedNote{running.request.id, running.pid, running.started_at, slot.log->path()});
  if (running.exited) {
    to_settle();
    (void)has_ended(slot);
    return;
  }
  if (slot.log->has_limit()) poll_logs_soon();
  watcher_.watch(running.pid, options_.force_sigchld ? util::Fd() : proc::open_pidfd(running.pid), number);
}

/// One more of what lanes have counted, once it is told.
void LocalExecutor::Impl::to_settle() {
  if (to_settle_++ == 0) collect_soon();
}

}  // namespace runner::exec
