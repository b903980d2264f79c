#include "run/outdated.hpp"

#include <string>
#include <string_view>

#include "core/chunked_set.hpp"

namespace runner::run {
namespace {

using After = core::Need::After;

/// Every job behind those that it needs.
std::vector<std::uint32_t> by_needs(const std::vector<core::JobSpec>& jobs) {
  std::vector<std::size_t> open(jobs.size());  // needs that are not in the order yet
  std::vector<std::vector<std::uint32_t>> needed_by(jobs.size());
  std::vector<std::uint32_t> order;
  for (std::uint32_t j = 0; j < jobs.size(); ++j) {
    open[j] = jobs[j].needs.size();
    for (const core::Need& need : jobs[j].needs) needed_by[need.job].push_back(j);
    if (open[j] == 0) order.push_back(j);
  }
  for (std::size_t next = 0; next < order.size(); ++next) {
    for (const std::uint32_t j : needed_by[order[next]]) {
      if (--open[j] == 0) order.push_back(j);
    }
  }
  return order;
}

class Search {
 public:
  Search(const std::vector<core::JobSpec>& jobs, const std::vector<JobBefore>& before)
      : jobs_(jobs), before_(before), outdated_(jobs.size()) {
    for (const JobBefore& job : before) valid_.push_back(job.succeeded);
  }

  std::vector<store::Outdated> run() {
    for (const std::uint32_t j : by_needs(jobs_)) {
      const bool is_prepare = jobs_[j].kind == core::JobKind::hook && jobs_[j].hook == core::HookKind::prepare;
      if (jobs_[j].kind != core::JobKind::slices && !is_prepare) continue;
      for (const core::Need& need : jobs_[j].needs) {
        if (jobs_[need.job].kind != core::JobKind::slices) continue;
        if (need.after == After::completed) look_at_whole(j, need.job);
        if (need.after == After::each) look_at_each(j, need.job);
      }
    }
    return std::move(found_);
  }

 private:
  void look_at_whole(std::uint32_t job, std::uint32_t needed) {
    if (!outdated_[needed].empty()) {
      mark(job, needed, kOutdatedToo, valid_[job]);
    } else if (!before_[needed].first.empty()) {
      mark(job, needed, kHadSlicesToRun, valid_[job]);
    } else if (before_[needed].history->has_lost_successes()) {
      mark(job, needed, kHasLostSlices, valid_[job]);
    }
  }

  void look_at_each(std::uint32_t job, std::uint32_t needed) {
    mark(job, needed, kOutdatedToo, valid_[job].intersect(outdated_[needed]));
    mark(job, needed, kHadSlicesToRun, valid_[job].intersect(before_[needed].first));
    if (before_[needed].was_part_of_run) mark(job, needed, kOtherSlice, paired_anew(job, needed));
  }

  void mark(std::uint32_t job, std::uint32_t needed, std::string_view reason, const core::IntervalSet& slices) {
    if (slices.empty()) return;
    found_.push_back(
        {.job = job, .slices = slices, .why = jobs_[needed].name + ", which it needs, " + std::string(reason)});
    outdated_[job].insert(slices);
    valid_[job] = valid_[job].without(found_.back().slices);
  }

  /// Slices of `job` that belong, by their index, to another slice of `needed` than before the lists changed.
  [[nodiscard]] core::IntervalSet paired_anew(std::uint32_t job, std::uint32_t needed) const {
    const History& mine = *before_[job].history;
    const History& other = *before_[needed].history;
    const core::IntervalSet& valid = valid_[job];
    if (valid.empty() || (!mine.is_matched_by_key() && !other.is_matched_by_key())) return {};
    core::ChunkedSet found;  // in the order of the old list
    const auto compare = [&](std::uint64_t then, std::uint64_t now) {
      if (!other.is_still_at(then, now)) found.insert(now);
    };
    if (mine.is_matched_by_key()) {
      for (const auto& move : mine.moves()) {
        if (valid.contains(move.to)) compare(move.from, move.to);
      }
    } else {
      valid.for_each([&](std::uint64_t slice) { compare(slice, slice); });
    }
    return found.intervals();
  }

  // True when it is said and, from the record, later.
  static constexpr std::string_view kOutdatedToo = "was outdated, too";
  static constexpr std::string_view kHadSlicesToRun = "had slices to run first";
  static constexpr std::string_view kHasLostSlices = "has lost slices since it ran";
  static constexpr std::string_view kOtherSlice = "has another slice at its place";

  const std::vector<core::JobSpec>& jobs_;
  const std::vector<JobBefore>& before_;
  std::vector<core::IntervalSet> valid_;     // by job: succeeded, and not outdated as far as is known
  std::vector<core::IntervalSet> outdated_;  // by job
  std::vector<store::Outdated> found_;
};

}  // namespace

std::vector<store::Outdated> find_outdated(const std::vector<core::JobSpec>& jobs,
                                           const std::vector<JobBefore>& before) {
  return Search(jobs, before).run();
}

}  // namespace runner::run
