// The part of the local executor that stops attempts where they are, and lets them go on. A process that forks while
// its tree is being stopped leaves a child that runs: so looks and signals alternate until two looks in a row find
// nothing that is not stopped (one can miss what is forked while it is going on).
#include <signal.h>

#include "exec/local_impl.hpp"

namespace runner::exec {

using namespace std::chrono_literals;

namespace {

constexpr auto kFirstLook = 1ms;  ///< then doubling
constexpr auto kLastLook = 500ms;

}  // namespace

void LocalExecutor::Impl::suspend(Running& running) {
  if (running.exited || running.is_being_ended() || running.stood_since) return;
  running.stood_since = util::steady_now();
  running.standing = Standing::stopping;
  running.found_settled = false;
  proc::signal_tree(running.pid, {}, SIGSTOP);  // the most of it at once
  schedule_still_round(util::Duration::zero());
}

void LocalExecutor::Impl::resume(Running& running) {
  if (!running.stood_since) return;
  end_standing(running);
  running.standing = Standing::continuing;
  running.found_settled = false;
  proc::signal_tree(running.pid, {}, SIGCONT);
  schedule_still_round(util::Duration::zero());
}

void LocalExecutor::Impl::end_standing(Running& running) {
  running.stood = running.stood_until(util::steady_now());
  running.stood_since.reset();
  running.standing = Standing::no;
}

void LocalExecutor::Impl::schedule_still_round(util::Duration after) {
  if (after == util::Duration::zero()) {
    still_delay_ = kFirstLook;
    if (std::exchange(still_round_due_, true)) return;
  }
  at(still_timer_, after, [](Impl& self) { self.still_round(); });
}

void LocalExecutor::Impl::still_round() {
  still_round_due_ = false;
  std::vector<Running*> moving;
  std::vector<proc::TreeRoot> roots;
  for (auto& [number, slot] : slots_) {
    if (!slot.running || slot.running->exited) continue;
    const Standing standing = slot.running->standing;
    if (standing != Standing::stopping && standing != Standing::continuing) continue;
    moving.push_back(&*slot.running);
    roots.push_back(root_of(*slot.running));
  }
  if (moving.empty()) return;
  const auto trees = proc::find_trees(roots);
  bool again = !trees;
  for (std::size_t i = 0; trees && i < moving.size(); ++i) {
    Running& running = *moving[i];
    const bool stops = running.standing == Standing::stopping;
    // The parent of a vfork(2) whose child is stopped sits in the kernel, and stays there: it has its SIGSTOP and will
    // not run.
    bool settled = true;
    bool signals = false;
    for (const auto& process : (*trees)[i]) {
      settled = settled && (process.stopped == stops || (stops && process.in_kernel));
      signals = signals || process.stopped != stops;
    }
    if (signals) proc::signal_tree(running.pid, (*trees)[i], stops ? SIGSTOP : SIGCONT);
    if (std::exchange(running.found_settled, settled) && settled) {
      running.standing = stops ? Standing::stopped : Standing::no;
    } else {
      again = true;
    }
  }
  if (!again) return;
  schedule_still_round(still_delay_);
  still_delay_ = std::min<util::Duration>(still_delay_ * 2, kLastLook);
}

/// Its own process has ended, somebody has killed it: what it leaves behind is not to stand still for ever.
void LocalExecutor::Impl::continue_what_is_left(const Running& running) {
  if (const auto trees = proc::find_trees({root_of(running)})) {
    proc::signal_tree(running.pid, trees->front(), SIGCONT);
  }
}

}  // namespace runner::exec
