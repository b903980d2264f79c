#include "store/batch.hpp"

#include <utility>

namespace runner::store {

std::size_t Batch::Hash::operator()(const core::AttemptId& id) const {
  // Slices of one batch are neighbours: their index alone spreads well.
  return id.slice ^ (std::uint64_t{id.job} << 40U) ^ (std::uint64_t{id.number} << 52U);
}

Change& Batch::change_of(const core::AttemptId& id) {
  const auto [position, is_new] = last_change_.try_emplace(id, changes_.size());
  if (is_new) {
    changes_.push_back({.kind = Change::Kind::update, .id = id, .key = {}, .started = {}, .ending = {}});
  }
  return changes_[position->second];
}

void Batch::add(Operation&& operation) {
  const core::AttemptId id = operation.id;
  struct Visitor {
    Batch& batch;
    const core::AttemptId& id;

    void operator()(Claimed& claimed) const {
      // Always a change of its own: after an unclaim in the same batch the row is deleted first, then made anew.
      batch.last_change_[id] = batch.changes_.size();
      batch.changes_.push_back(
          {.kind = Change::Kind::insert, .id = id, .key = std::move(claimed.key), .started = {}, .ending = {}});
    }
    void operator()(Unclaimed& /*unclaimed*/) const {
      Change& change = batch.change_of(id);
      change.kind = change.kind == Change::Kind::insert ? Change::Kind::none : Change::Kind::erase;
    }
    void operator()(Started& started) const { batch.change_of(id).started = std::move(started); }
    void operator()(core::Report& report) const { batch.change_of(id).report = std::move(report); }
    void operator()(core::Ending& ending) const { batch.change_of(id).ending = std::move(ending); }
    void operator()(RunMoved& moved) const { batch.run_moved_ = std::move(moved); }
    void operator()(JobMoved& moved) const { batch.jobs_moved_[id.job] = std::move(moved); }
    void operator()(SteeringRecord& record) const { batch.steered_.push_back(std::move(record)); }
  };
  std::visit(Visitor{*this, id}, operation.what);
}

void Batch::clear() {
  changes_.clear();
  last_change_.clear();
  run_moved_.reset();
  jobs_moved_.clear();
  steered_.clear();
}

}  // namespace runner::store
