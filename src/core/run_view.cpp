#include "core/run_view.hpp"

#include <algorithm>

namespace runner::core {

namespace {

/// The cause failures are grouped by: outcome and number only, so that 1,000 missing outputs are one group.
std::string cause_of(const Ending& ending) {
  Ending bare;
  bare.outcome = ending.outcome;
  bare.exit_code = ending.exit_code;
  bare.signal = ending.signal;
  return describe(bare);
}

}  // namespace

void JobView::add_record(const AttemptRecord& record, bool live) {
  const bool is_claim = live && !record.ending && record.pid == 0 && !record.started_at;
  const std::uint32_t began = record.id.number - record.never_started - (is_claim ? 1 : 0);
  retries_ += began > 1 ? began - 1 : 0;
  if (is_claim) return;
  if (record.outdated) {
    outdated_.insert(record.id.slice);
    return;
  }
  if (live && !record.ending) {
    running_[record.id.slice] = RunningAttempt{record};
    return;
  }
  if (record.ending) {
    settle(record);
    return;
  }
  AttemptRecord lost = record;
  lost.ending.emplace().outcome = Outcome::lost;
  lost.ending->log = record.log;
  settle(lost);
}

void JobView::apply(const Event& event) {
  if (event.kind != SystemKind::slice) return;
  if (event.state == State::disabled) disabled_.insert(event.id.slice);
  if (event.state == State::ready) disabled_.erase(event.id.slice);
  if (!event.ending && (event.state == State::suspended || !is_new(event.id))) {
    if (const auto it = running_.find(event.id.slice); it != running_.end())
      it->second.suspended = event.state == State::suspended;
    return;
  }
  const bool starts = !event.ending && event.state == State::running;
  if (!starts && !event.ending) return;

  const std::uint64_t slice = event.id.slice;
  if (is_new(event.id) && event.id.number > 1) ++retries_;
  AttemptRecord record;
  if (const auto it = running_.find(slice); it != running_.end()) record = std::move(it->second.record);
  record.id = event.id;
  record.key = event.key;
  if (event.pid != 0) record.pid = event.pid;
  if (!event.log.empty()) record.log = event.log;
  forget(slice);

  if (starts) {
    record.started_at = event.at;
    running_[slice] = RunningAttempt{std::move(record), event.slot, event.since};
  } else if (event.retry_in) {
    retrying_[slice] = event.id.number;
  } else {
    record.ending = event.ending;
    settle(record);
  }
}

bool is_slow(util::Duration runtime, std::optional<util::Duration> median) {
  constexpr int kTimes = 3;
  return median && runtime > std::max<util::Duration>(*median * kTimes, std::chrono::seconds(1));
}

void JobView::report(std::uint64_t slice, const Report& report) {
  if (const auto attempt = running_.find(slice); attempt != running_.end()) attempt->second.record.report = report;
}

IntervalSet JobView::lost_slices() const {
  for (const auto& [cause, group] : groups_) {
    if (group.failure.outcome == Outcome::lost) return group.slices.intervals();
  }
  return {};
}

std::uint64_t JobView::waiting() const {
  const std::uint64_t known = succeeded_.count() + failed_.count() + running_.size();
  return total_ > known ? total_ - known : 0;
}

std::vector<FailureGroup> JobView::failure_groups() const {
  std::vector<FailureGroup> groups;
  for (const auto& [cause, group] : groups_) {
    groups.push_back(group.failure);
    FailureGroup& copy = groups.back();
    copy.slices = group.slices.intervals();
    if (group.remembered.empty()) {
      copy.example.id.slice = copy.slices.intervals().front().first;
    } else {
      copy.example = group.remembered.begin()->second;
    }
  }
  std::ranges::stable_sort(groups, std::ranges::greater(),
                           [](const FailureGroup& group) { return group.slices.count(); });
  return groups;
}

/// Enters the final verdict on a slice that is in no other place (new, or forgotten).
void JobView::settle(const AttemptRecord& record) {
  const Ending& ending = *record.ending;
  const std::uint64_t slice = record.id.slice;
  ++by_outcome_[static_cast<std::size_t>(ending.outcome)];
  if (ending.outcome == Outcome::succeeded) {
    succeeded_.insert(slice);
    runtimes_.push_back(static_cast<float>(util::seconds(ending.runtime)));
    if (kind_ != JobKind::slices) counters_ = {};  // its one slice may succeed again, and counts anew then
    counters_.add(ending.counters);
    const bool fits = ending.runtime <= util::Duration::max() - std::max(total_runtime_, util::Duration::zero());
    total_runtime_ = fits ? total_runtime_ + ending.runtime : util::Duration::max();  // beyond 292 years
    return;
  }
  failed_.insert(slice);
  const std::string cause = cause_of(ending);
  Group& group = groups_[cause];
  group.failure.cause = cause;
  group.failure.outcome = ending.outcome;
  group.failure.exit_code = ending.outcome == Outcome::failed ? ending.exit_code : 0;
  group.failure.signal = ending.outcome == Outcome::killed ? ending.signal : 0;
  group.slices.insert(slice);

  auto& remembered = group.remembered;
  if (remembered.size() >= kRemembered) {
    const auto highest = std::prev(remembered.end());
    if (slice > highest->first) return;
    remembered.erase(highest);
  }
  remembered.insert_or_assign(slice, record).first->second.log = ending.log;
}

/// Takes a slice out of wherever it is, because something newer is known of it.
void JobView::forget(std::uint64_t slice) {
  running_.erase(slice);
  retrying_.erase(slice);
  outdated_.erase(slice);
  if (succeeded_.erase(slice)) --by_outcome_[static_cast<std::size_t>(Outcome::succeeded)];
  if (!failed_.erase(slice)) return;
  const auto it = std::ranges::find_if(groups_, [&](const auto& entry) { return entry.second.slices.contains(slice); });
  Group& group = it->second;
  --by_outcome_[static_cast<std::size_t>(group.failure.outcome)];
  group.slices.erase(slice);
  group.remembered.erase(slice);
  if (group.slices.empty()) groups_.erase(it);
}

/// Whether nothing has been heard of this attempt before.
bool JobView::is_new(const AttemptId& id) const {
  if (const auto it = running_.find(id.slice); it != running_.end()) return it->second.record.id.number != id.number;
  if (const auto it = retrying_.find(id.slice); it != retrying_.end()) return it->second != id.number;
  return true;
}

bool RunView::is_complete() const {
  const auto has_attempts = [](const JobView& job) { return job.succeeded() + job.failed() > 0; };
  const bool anything_began = std::ranges::any_of(jobs, has_attempts);
  return std::ranges::all_of(jobs, [&](const JobView& job) {
    const bool had_nothing_to_do = job.kind() == JobKind::hook && !anything_began;  // a teardown, without slices
    return job.kind() == JobKind::service || job.succeeded() == job.total() || had_nothing_to_do;
  });
}

bool RunView::has_several_jobs() const {
  return std::ranges::count(jobs, JobKind::slices, &JobView::kind) > 1;
}

CounterTotals RunView::counters() const {
  CounterTotals totals;
  for (const JobView& job : jobs) totals.add(job.counters());
  return totals;
}

}  // namespace runner::core
