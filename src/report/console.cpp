#include "report/console.hpp"

#include "report/failures.hpp"
#include "report/summary.hpp"
#include "util/text.hpp"
#include "util/units.hpp"

namespace runner::report {

namespace {

// Plain progress: a line at each tenth of the way, never two within 30 s, and a sign of life every ten minutes.
constexpr auto kProgressGap = std::chrono::seconds(30);
constexpr auto kSignOfLife = std::chrono::minutes(10);
constexpr std::string_view kClearLine = "\r\x1b[K";

std::string shown(const std::string& text) {
  return util::escape_for_display(text);
}

}  // namespace

Console::Console(TextSink& sink, ReportContext context, ConsoleOptions options)
    : sink_(sink), context_(std::move(context)), options_(std::move(options)), style_(options_.terminal.color) {}

void Console::on_event(const core::Event& event, const core::RunView& view) {
  switch (event.kind) {
    case core::SystemKind::run:
      if (event.state == core::State::running && !begun_) on_begin(view);
      break;
    case core::SystemKind::job:
      break;
    case core::SystemKind::slice: {
      const bool is_slice = view.jobs[event.id.job].kind() == core::JobKind::slices;
      if (event.ending) {
        on_ended(event, is_slice);
      } else if (event.state == core::State::running) {
        on_started(event, is_slice);
      }
      break;
    }
  }
}

void Console::on_begin(const core::RunView& view) {
  begun_ = true;
  begun_at_ = options_.now();
  progress_.begin(view);
  if (!at_least(Verbosity::normal)) return;
  std::string text = shown(view.info.name) + ": ";
  if (view.info.resumes > 0) {
    text += "resumed: " + util::format_count(progress_.done()) + " of " +
            count_of(progress_.total(), "slice", "slices") + " done before";
  } else {
    text += count_of(progress_.total(), "slice", "slices");
  }
  if (options_.slots > 0) text += ", " + std::to_string(options_.slots) + " at a time";
  text += "; run " + view.info.id + "\n";
  for (std::uint32_t j = 0; j < view.jobs.size(); ++j) {
    const auto lost = view.jobs[j].lost_slices();
    if (lost.empty()) continue;
    text += shown(view.jobs[j].name());
    if (view.jobs[j].kind() != core::JobKind::slices) {
      text += " may have run before\n";
      continue;
    }
    text += ": " + count_of(lost.count(), "slice", "slices") +
            " may have run before: " + short_selection(context_, j, lost) + "\n";
  }
  print(text);
}

void Console::on_started(const core::Event& event, bool is_slice) {
  if (is_slice) progress_.started(event.id);
  if (!at_least(Verbosity::verbose)) return;
  print(style_(Tone::good, "started") + ": " + shown(event.name) + ": attempt " + std::to_string(event.id.number) +
        ", pid " + std::to_string(event.pid) + "\n");
}

void Console::on_ended(const core::Event& event, bool is_slice) {
  const core::Ending& ending = *event.ending;
  if (is_slice) progress_.ended(event.id, ending, !event.retry_in);
  const bool good = ending.outcome == core::Outcome::succeeded;
  const Verbosity from = good ? Verbosity::verbose : event.retry_in ? Verbosity::normal : Verbosity::quiet;
  if (!at_least(from)) return;
  // Thousands of slices that were stopped on request are one figure in the summary.
  if (ending.outcome == core::Outcome::cancelled && !at_least(Verbosity::verbose)) return;
  if (!sink_.ready()) {
    ++left_out_;
    return;
  }
  const std::string after = " after " + util::format_duration_short(ending.runtime);
  if (good) {
    print(style_(Tone::good, "succeeded") + ": " + shown(event.name) + after + "\n");
    return;
  }
  std::string text = event.retry_in ? style_(Tone::caution, "retry") : style_(Tone::bad, core::name(ending.outcome));
  text += ": " + shown(event.name) + ": " + shown(core::describe(ending));
  if (ending.runtime.count() > 0 && ending.outcome != core::Outcome::timed_out) text += after;
  if (event.retry_in) {
    text += "; attempt " + std::to_string(event.id.number + 1) + " in " + util::format_duration_short(*event.retry_in);
  } else if (event.id.number > 1) {
    text += ", attempt " + std::to_string(event.id.number);
  }
  if (const std::string log = log_path(context_, ending.log); !log.empty()) text += "; log: " + log;
  print(text + "\n");
}

void Console::on_notice(const std::string& message) {
  if (at_least(Verbosity::normal)) print(style_(Tone::caution, "notice") + ": " + shown(message) + "\n");
}

void Console::on_tick(const core::RunView& view, util::TimePoint now) {
  if (!begun_ || !at_least(Verbosity::normal)) return;
  progress_.tick(view, now);
  if (left_out_ > 0 && sink_.ready()) print("");
  if (options_.terminal.live) {
    draw(view, now);
  } else {
    plain_progress(view, now);
  }
}

void Console::on_end(const core::RunView& view) {
  std::string text;
  if (at_least(Verbosity::normal)) {
    const auto elapsed = begun_ ? options_.now() - begun_at_ : util::Duration::zero();
    text = summary_text(view, context_, elapsed, style_);
  } else {
    text = quiet_summary_text(view, context_);
  }
  if (!drawn_.empty()) sink_.write(kClearLine);
  drawn_.clear();
  print(text);
}

/// Writes whole lines above the live line.
void Console::print(const std::string& lines) {
  std::string text = lines;
  if (left_out_ > 0) {
    text.insert(0, "notice: " + count_of(left_out_, "line was", "lines were") +
                       " left out here: stderr was not read in time; run.log has them\n");
    left_out_ = 0;
  }
  if (text.empty()) return;
  if (!drawn_.empty()) text = std::string(kClearLine) + text + drawn_;
  sink_.write(text);
}

void Console::draw(const core::RunView& view, util::TimePoint now) {
  if (!sink_.ready()) return;
  const unsigned columns = options_.terminal.columns();
  // The last column stays free: a terminal that wraps there would scroll.
  std::string line = columns > 1 ? progress_.line(view, now, columns - 1) : std::string();
  if (line == drawn_) return;
  sink_.write(std::string(kClearLine) + line);
  drawn_ = std::move(line);
}

void Console::plain_progress(const core::RunView& view, util::TimePoint now) {
  const unsigned step = progress_.percent() / 10;
  if (!last_progress_) {
    last_progress_ = now;
    last_step_ = step;
  }
  const auto since = now - *last_progress_;
  if (since < kProgressGap || (step == last_step_ && since < kSignOfLife) || !sink_.ready()) return;
  last_progress_ = now;
  last_step_ = step;
  constexpr std::size_t kWide = 200;
  print(progress_.line(view, now, kWide) + "\n");
}

}  // namespace runner::report
