// Formats: what `runner status --format NAME` can print, and the one table of their names. A format is a function; all
// it may need comes in a StatusSource, all it says goes to a Write. To add one: a file, and a line in format.cpp.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "core/run_view.hpp"
#include "report/context.hpp"
#include "report/terminal.hpp"
#include "util/result.hpp"

namespace runner::report {

using VisitAttempt = std::function<void(const core::AttemptRecord&)>;

struct StatusSource {
  core::RunView view;
  std::vector<core::IntervalSet> slices;  ///< by job: what the run was begun with; empty where it is not known
  ReportContext context;
  util::WallTime now{};
  bool color = false;
  /// Every ended attempt in order of its end (store::Reader::ended_attempts).
  std::function<util::Result<void>(const VisitAttempt&)> ended_attempts;
  /// The command line an attempt ran; "" where it cannot be told any more.
  std::function<std::string(const core::AttemptRecord&)> command;
};

/// Neither ended for good nor running: as many as JobView::waiting() where StatusSource::slices are known, else none.
core::IntervalSet waiting_slices(const StatusSource& source, std::uint32_t job);

using Write = std::function<void(std::string_view)>;

struct Format {
  std::string_view name;
  std::string_view about;
  util::Result<void> (*write)(const StatusSource& source, const Write& write);
};

const std::vector<Format>& formats();
/// The error lists the names there are.
util::Result<Format> find_format(std::string_view name);

}  // namespace runner::report
