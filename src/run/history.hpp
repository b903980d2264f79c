// History: what the record has of one job, brought into the view and the plan of a resume. Where the list of slices has
// changed since, they are matched by key. Lives as long as the resume is being planned.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "core/chunked_set.hpp"
#include "core/job_plan.hpp"
#include "core/run_view.hpp"
#include "core/spec.hpp"
#include "store/store.hpp"

namespace runner::run {

class History {
 public:
  /// All of them outlive it.
  History(const core::JobSpec& job, bool match_by_key, core::JobView& view, core::JobPlan& plan)
      : job_(job), match_by_key_(match_by_key), view_(view), plan_(plan) {}

  /// The last attempt of a slice; in the order of the record.
  void add(const core::AttemptRecord& record);
  /// After all attempts; of `outdated` slices nothing counts.
  void add(const core::AttemptId& id, const core::Counted& counted, const core::IntervalSet& outdated = {});

  /// Once more, into an empty view, where `outdated` slices have not succeeded.
  void add_again(const core::AttemptRecord& record, const core::IntervalSet& outdated);

  /// Whether the slice that had the index `then` is the one that has the index `now`, as far as anything is recorded
  /// of it.
  [[nodiscard]] bool is_still_at(std::uint64_t then, std::uint64_t now) const;

  [[nodiscard]] core::IntervalSet succeeded() const { return succeeded_.intervals(); }
  /// By the index they had.
  [[nodiscard]] const std::vector<core::AttemptId>& lost() const { return lost_; }
  [[nodiscard]] bool is_matched_by_key() const { return match_by_key_; }
  /// Where those that there still are went, in the order of the record; of a list that has changed.
  [[nodiscard]] const std::vector<store::Remap::Move>& moves() const { return moves_; }
  /// Slices that had succeeded are gone from the list.
  [[nodiscard]] bool has_lost_successes() const { return has_lost_successes_; }

 private:
  [[nodiscard]] std::optional<std::uint64_t> index_now(std::uint64_t then) const;
  void keep(const core::AttemptRecord& record);

  const core::JobSpec& job_;
  bool match_by_key_;
  core::JobView& view_;
  core::JobPlan& plan_;
  core::ChunkedSet succeeded_;  // in the order of the old list, which may be any in the new one
  std::vector<core::AttemptId> lost_;
  std::vector<store::Remap::Move> moves_;  // by `from`
  core::IntervalSet gone_;                 // by the index they had
  bool has_lost_successes_ = false;
};

}  // namespace runner::run
