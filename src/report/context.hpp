// ReportContext: what a report needs besides the RunView - slice labels, where the logs are, what to type next. Filled
// once by apps/, which knows the spec and how the program was called; every field may be left empty.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "core/attempt.hpp"
#include "core/interval_set.hpp"
#include "core/run_view.hpp"

namespace runner::report {

/// Indices of a job's slices -> a list for --slices, of at most so many intervals (SliceList::format_selection).
using Labels =
    std::function<std::string(std::uint32_t job, const core::IntervalSet& indices, std::size_t max_intervals)>;

/// The file that the spec names for an attempt's stdout, as the user can type it; "" where it goes to the log.
using StdoutOf = std::function<std::string(const core::AttemptRecord& record)>;

struct ReportContext {
  Labels labels;               ///< unset (the spec cannot be read any more): indices are shown
  StdoutOf stdout_of;          ///< likewise: not known
  std::string run_dir;         ///< as the user should see and type it; logs are relative to it
  std::string resume_command;  ///< unset: made from the spec's path
  std::string json_command;    ///< `runner status ... --json`, which has every list in full
};

/// Text goes here: OutputPump in the program, a string in tests.
class TextSink {
 public:
  virtual void write(std::string_view text) = 0;
  /// False while it would only pile up: what can be left out should be.
  [[nodiscard]] virtual bool ready() const = 0;

 protected:
  ~TextSink() = default;
};

/// All of `indices` as a list that can be pasted into --slices.
std::string selection(const ReportContext& context, std::uint32_t job, const core::IntervalSet& indices);
/// Likewise, unless it takes more than 4,000 characters: then a few slices, how many more there are, and where all are.
std::string readable_selection(const ReportContext& context, std::uint32_t job, const core::IntervalSet& indices);
/// For people, where nobody has to type it: the first `max_intervals` intervals, then " and 12 more".
std::string short_selection(const ReportContext& context, std::uint32_t job, const core::IntervalSet& indices,
                            std::size_t max_intervals = 12);

/// The exact command that finishes the run, quoted for a shell.
std::string resume_command(const ReportContext& context, const core::RunInfo& info);
/// Path of an attempt's log as the user can type it, made safe to show; "" when it wrote none.
std::string log_path(const ReportContext& context, const std::string& log);
/// Of an attempt with an empty log: "wrote nothing", or where its stdout is: "wrote nothing to its log, stdout is in
/// out/17.csv".
std::string nothing_logged(const ReportContext& context, const core::AttemptRecord& record);
/// The slice's key made safe to show; its index where the key is not known.
std::string key_text(const core::AttemptRecord& record);

/// "1 slice", "1,234 slices"
std::string count_of(std::uint64_t n, std::string_view noun, std::string_view plural);

}  // namespace runner::report
