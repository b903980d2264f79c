// Batch: what has queued for the record since the last commit, folded so that an attempt is written once however much
// happened to it. Private to store/; owned by the writer's thread. Touches no disk.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <variant>
#include <vector>

#include "core/attempt.hpp"
#include "core/lifecycle.hpp"
#include "store/store.hpp"

namespace runner::store {

struct Claimed {
  std::string key;
};
struct Unclaimed {};
struct Started {
  util::WallTime at{};
  int pid = 0;
  std::string log;
};
struct RunMoved {
  core::State state = core::State::initial;
  util::WallTime at{};
  std::string reason;
};

struct JobMoved {
  core::State state = core::State::initial;
  util::WallTime at{};
  std::string reason;
};

/// One call of the writer's.
struct Operation {
  core::AttemptId id;  ///< not of RunMoved and SteeringRecord; of JobMoved the job alone
  std::variant<Claimed, Unclaimed, Started, core::Report, core::Ending, RunMoved, JobMoved, SteeringRecord> what;
};

/// What has to happen to one row of the attempt table.
struct Change {
  enum class Kind : std::uint8_t { none, insert, update, erase };
  Kind kind = Kind::none;  ///< none: claimed and unclaimed in one batch
  core::AttemptId id;
  std::string key;  ///< of an insert
  std::optional<Started> started;
  std::optional<core::Report> report{};
  std::optional<core::Ending> ending;
};

class Batch {
 public:
  void add(Operation&& operation);
  void clear();

  /// To be written in this order.
  [[nodiscard]] const std::vector<Change>& changes() const { return changes_; }
  /// The run's last state, if it moved.
  [[nodiscard]] const std::optional<RunMoved>& run_moved() const { return run_moved_; }
  /// The last state of each job that moved.
  [[nodiscard]] const std::map<std::uint32_t, JobMoved>& jobs_moved() const { return jobs_moved_; }
  [[nodiscard]] const std::vector<SteeringRecord>& steered() const { return steered_; }

 private:
  struct Hash {
    std::size_t operator()(const core::AttemptId& id) const;
  };
  Change& change_of(const core::AttemptId& id);

  std::vector<Change> changes_;
  std::unordered_map<core::AttemptId, std::size_t, Hash> last_change_;  ///< id -> position in changes_
  std::optional<RunMoved> run_moved_;
  std::map<std::uint32_t, JobMoved> jobs_moved_;
  std::vector<SteeringRecord> steered_;
};

}  // namespace runner::store
