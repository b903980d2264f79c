// Session: what is settled before the first launch - the state directory is locked, the run is new or taken up again,
// and it is known which slices are to run. Made by open_session(); holds the lock as long as it lives.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "core/run_view.hpp"
#include "core/scheduler.hpp"
#include "core/spec.hpp"
#include "store/state_dir.hpp"
#include "store/store.hpp"

namespace runner::run {

struct SessionRequest {
  const core::Spec* spec = nullptr;  ///< with the command line's overrides in it; outlives the session
  bool resume = false;
  bool accept_changes = false;      ///< resume although the spec or the slices changed; slices match by key
  std::vector<std::string> slices;  ///< --slices, as core::select_slices() takes them
  std::string settings;             ///< --set, kept with the run
  std::string spec_args;            ///< what names the spec on the command line, for the commands in refusals
  std::string run_args;             ///< and what was set there
  std::function<void(const std::string&)> notice = [](const std::string&) {};  ///< what the user should know meanwhile
};

/// Why there is no session. Nothing was started, and of the record nothing was changed.
struct Refusal {
  enum class Why : std::uint8_t { usage, live, record };
  std::string message;
  Why why = Why::usage;
};

struct Session {
  store::StateDir state_dir;
  store::StateLock lock;
  store::NewRun run;  ///< of this invocation; a resumed run keeps its id
  bool resumed = false;
  bool completed = false;  ///< a resumed run that ended so, by its record
  core::RunView view;      ///< before the first launch
  std::vector<core::JobPlan> plans;
  std::vector<core::AttemptId>
      lost;  ///< claimed or started by the runner before, and never ended; by their stored index
  std::vector<store::Remap> remaps;         ///< slices that have another index than before (--accept-changes)
  std::vector<store::Outdated> outdated;    ///< slices that have not succeeded any more
  std::vector<std::string> notices;         ///< what else the user should know, once the run is taken up
  std::optional<core::RunInfo> unfinished;  ///< a new run: the one before it, if that left something

  [[nodiscard]] std::uint64_t slices_to_run() const;  ///< hooks and services do not count
  [[nodiscard]] bool has_work() const;                ///< slices or hooks
  /// Writes down that the run begins (again). Before the first launch.
  [[nodiscard]] util::Result<void> record(store::Writer& writer) const;
};

std::variant<Session, Refusal> open_session(const SessionRequest& request);

}  // namespace runner::run
