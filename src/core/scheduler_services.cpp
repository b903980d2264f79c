// The part of the scheduler that keeps services: started before what needs them, restarted where that is asked for, and
// ended, the last one first, when nothing needs them any more.
#include <algorithm>

#include "core/scheduler.hpp"

namespace runner::core {

using util::TimePoint;

void Scheduler::on_service_ready(std::uint32_t j, Actions& actions) {
  JobQueue& service = jobs_[j];
  const auto attempt = std::ranges::find_if(running_, [j](const auto& running) { return running.first.job == j; });
  if (attempt == running_.end() || attempt->second.ended_by_us) return;  // it has died meanwhile
  set_deadline(timeouts_, attempt->first, attempt->second.timeout, std::nullopt);
  service.is_up = true;
  for (const std::uint32_t dependant : dependants_[j]) look_at_needs(dependant, actions);
}

/// A service that was asked to end has done its work; one that ended by itself has not.
void Scheduler::judge_service(Settle& settled) {
  JobQueue& service = jobs_[settled.id.job];
  service.is_up = false;
  Ending& ending = settled.ending;
  if (service.is_being_stopped) {
    if (ending.outcome == Outcome::cancelled) ending.outcome = Outcome::succeeded;
  } else if (ending.outcome == Outcome::succeeded) {
    ending.outcome = Outcome::failed;
    ending.detail = "it ended although it was needed";
  } else if (ending.outcome == Outcome::timed_out) {
    ending.detail = "it was not ready in time";
  }
}

/// For good: what needs it, and what needs that in turn, cannot go on.
void Scheduler::service_died(std::uint32_t j, const Ending& ending, TimePoint now, Actions& actions) {
  const std::string reason = "service " + jobs_[j].plan().name + ": " + describe(ending);
  if (stop_ == Stop::none) actions.emplace_back(Halt{j, reason});
  std::vector<std::uint32_t> affected = dependants_[j];
  while (!affected.empty()) {
    const std::uint32_t d = affected.back();
    affected.pop_back();
    JobQueue& dependant = jobs_[d];
    if (dependant.is_over() || dependant.plan().is_teardown || dependant.stop >= Stop::terminate) continue;
    if (dependant.plan().is_service) {
      affected.insert(affected.end(), dependants_[d].begin(), dependants_[d].end());
      continue;  // it is ended when they are over
    }
    dependant.stop_reason = reason;
    stop_job(d, Stop::terminate, now, actions);
  }
}

bool Scheduler::has_services_up(const JobQueue& job) const {
  return std::ranges::all_of(job.plan().needs, [&](const Need& need) {
    const JobQueue& service = jobs_[need.job];
    return need.after != Need::After::up || service.is_up || service.plan().closed;
  });
}

void Scheduler::claim_services(TimePoint now, Actions& actions) {
  for (JobQueue& service : jobs_) {
    if (service.plan().is_service && service.has_next()) claim(service.take_next(), now, actions);
  }
}

/// Beside the slots: a service must not keep the slices that need it from running.
void Scheduler::launch_services(Actions& actions) {
  for (JobQueue& service : jobs_) {
    if (!service.plan().is_service || service.durable == 0 || !has_services_up(service)) continue;
    launch(service.take_claim(), unused_slot(capacity_.slots), actions);
  }
}

void Scheduler::stop_services(TimePoint now, Actions& actions) {
  for (std::uint32_t j = 0; j < jobs_.size(); ++j) {
    JobQueue& service = jobs_[j];
    if (!service.plan().is_service || service.is_over() || service.is_being_stopped) continue;
    const auto still_needs_it = [&](std::uint32_t d) {
      const auto is_this = [j](const Need& need) { return need.job == j && need.after == Need::After::up; };
      return !jobs_[d].is_over() && std::ranges::any_of(jobs_[d].plan().needs, is_this);
    };
    if (std::ranges::any_of(dependants_[j], still_needs_it)) continue;
    service.is_being_stopped = true;
    service.stop_reason = "nothing needs it";
    stop_job(j, Stop::terminate, now, actions);
  }
}

}  // namespace runner::core
