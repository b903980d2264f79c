#include "run/history.hpp"

#include <algorithm>

namespace runner::run {
namespace {

bool is_success(const core::AttemptRecord& record) {
  return record.ending && record.ending->outcome == core::Outcome::succeeded;
}

}  // namespace

void History::add(const core::AttemptRecord& record) {
  if (!record.ending) lost_.push_back(record.id);
  if (!match_by_key_) return keep(record);
  const auto index = job_.slices.find(record.key);
  if (!index) {  // no slice any more
    gone_.insert(record.id.slice);
    has_lost_successes_ = has_lost_successes_ || is_success(record);
    return;
  }
  moves_.push_back({.from = record.id.slice, .to = *index});
  core::AttemptRecord moved = record;
  moved.id.slice = *index;
  keep(moved);
}

void History::add(const core::AttemptId& id, const core::Counted& counted, const core::IntervalSet& outdated) {
  const auto index = index_now(id.slice);
  if (index && !outdated.contains(*index)) view_.add_counted(counted);
}

void History::add_again(const core::AttemptRecord& record, const core::IntervalSet& outdated) {
  const auto index = index_now(record.id.slice);
  if (!index) return;
  core::AttemptRecord moved = record;
  moved.id.slice = *index;
  if (outdated.contains(*index)) {  // as it is recorded then
    moved.outdated = true;
    ++moved.never_started;
    plan_.attempted[*index] = ++moved.id.number;
  }
  view_.add_record(moved, false);
}

bool History::is_still_at(std::uint64_t then, std::uint64_t now) const {
  const auto index = index_now(then);
  return index ? *index == now : !gone_.contains(then);
}

std::optional<std::uint64_t> History::index_now(std::uint64_t then) const {
  if (!match_by_key_) return then;
  const auto move = std::ranges::lower_bound(moves_, then, {}, &store::Remap::Move::from);
  return move != moves_.end() && move->from == then ? std::optional(move->to) : std::nullopt;
}

void History::keep(const core::AttemptRecord& record) {
  plan_.has_begun = plan_.has_begun || record.pid != 0 || record.ending;
  if (is_success(record)) {
    succeeded_.insert(record.id.slice);
    if (plan_.timeout_percent) plan_.runtimes.add(record.ending->runtime);
  } else {
    plan_.attempted[record.id.slice] = record.id.number;
  }
  view_.add_record(record, false);
}

}  // namespace runner::run
