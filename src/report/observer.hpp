// Observer: something that shows or passes on what happens in a run - console, live progress, printer. The run loop
// calls every observer for every event, after the event's record is on disk. Observers never change the run.
#pragma once

#include "core/event.hpp"
#include "core/run_view.hpp"

namespace runner::report {

class Observer {
 public:
  virtual ~Observer() = default;
  /// `view` already contains the event.
  virtual void on_event(const core::Event& event, const core::RunView& view) = 0;
  /// About four times a second while the run is live (for a progress line).
  virtual void on_tick(const core::RunView& view, util::TimePoint now) = 0;
  /// Something a user should know that is no system's event ("no process could be made, waiting").
  virtual void on_notice(const std::string& message) = 0;
  /// Last call: the run is over and everything about it is on disk.
  virtual void on_end(const core::RunView& view) = 0;
};

}  // namespace runner::report
