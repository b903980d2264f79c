// Console: the observer that talks to the user on stderr - plain lines, and on a terminal one live progress line that
// is cleared before anything else is written. Owned by apps/; lives as long as the run. Never writes data (stdout).
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "report/context.hpp"
#include "report/observer.hpp"
#include "report/progress.hpp"
#include "report/terminal.hpp"

namespace runner::report {

/// quiet: failures only. normal: + start, retries, notices, progress, summary. verbose: + every start and success.
enum class Verbosity : std::uint8_t { quiet, normal, verbose };

struct ConsoleOptions {
  Verbosity verbosity = Verbosity::normal;
  Terminal terminal;
  unsigned slots = 0;  ///< for the first line; 0: not said
  std::function<util::TimePoint()> now = util::steady_now;
};

class Console final : public Observer {
 public:
  /// `sink` outlives the console; it may be shared with others that write whole lines.
  Console(TextSink& sink, ReportContext context, ConsoleOptions options);

  void on_event(const core::Event& event, const core::RunView& view) override;
  void on_tick(const core::RunView& view, util::TimePoint now) override;
  void on_notice(const std::string& message) override;
  void on_end(const core::RunView& view) override;

 private:
  void on_begin(const core::RunView& view);
  void on_started(const core::Event& event, bool is_slice);
  void on_ended(const core::Event& event, bool is_slice);
  void print(const std::string& lines);
  void draw(const core::RunView& view, util::TimePoint now);
  void plain_progress(const core::RunView& view, util::TimePoint now);
  [[nodiscard]] bool at_least(Verbosity verbosity) const { return options_.verbosity >= verbosity; }

  TextSink& sink_;
  ReportContext context_;
  ConsoleOptions options_;
  Style style_;
  Progress progress_;
  bool begun_ = false;
  util::TimePoint begun_at_{};
  std::string drawn_;           ///< the live line as it stands on the terminal, "" for none
  std::uint64_t left_out_ = 0;  ///< lines not written because the sink was not ready
  std::optional<util::TimePoint> last_progress_;
  unsigned last_step_ = 0;  ///< tenths of the way at the last plain progress line
};

}  // namespace runner::report
