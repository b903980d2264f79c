#include "report/progress.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "report/context.hpp"
#include "util/text.hpp"
#include "util/units.hpp"

namespace runner::report {

namespace {

constexpr double kRateMemory = 20;       // seconds the rate looks back, at least
constexpr double kRateSlices = 30;       // and at least as long as so many slices take
constexpr double kLongSlice = 1;         // seconds; from here on the cost of starting a slice does not matter
constexpr double kOldestFrom = 10;       // seconds; a younger slice is not worth naming
constexpr double kLeastProgress = 0.02;  // below that, what a slice says of itself tells little of its end
constexpr std::size_t kNameWidth = 30;   // columns

std::size_t running_count(const core::RunView& view) {
  std::size_t n = 0;
  for (const auto& job : view.jobs) n += job.running().size();
  return n;
}

double age(const core::RunningAttempt& attempt, util::TimePoint now) {
  return std::max(0.0, util::seconds(now - attempt.since));
}

const core::RunningAttempt* oldest(const core::RunView& view) {
  const core::RunningAttempt* found = nullptr;
  for (const auto& job : view.jobs) {
    for (const auto& [slice, attempt] : job.running()) {
      if (found == nullptr || attempt.since < found->since) found = &attempt;
    }
  }
  return found;
}

/// Columns of valid UTF-8, every character taken as one wide.
std::size_t columns(std::string_view text) {
  return static_cast<std::size_t>(
      std::ranges::count_if(text, [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U; }));
}

/// Tenths would only flicker.
std::string whole_seconds(util::Duration d) {
  if (d >= std::chrono::seconds(59)) return util::format_duration_short(d);
  return std::to_string(std::chrono::ceil<std::chrono::seconds>(d).count()) + "s";
}

}  // namespace

void Progress::begin(const core::RunView& view) {
  total_ = done_ = 0;
  for (const auto& job : view.jobs) {
    if (job.kind() != core::JobKind::slices) continue;
    total_ += job.total();
    done_ += job.succeeded();
  }
}

void Progress::started(const core::AttemptId& id) {
  if (failed_[id.job].erase(id.slice) || cancelled_[id.job].erase(id.slice)) --done_;
}

void Progress::ended(const core::AttemptId& id, const core::Ending& ending, bool final) {
  started(id);  // nobody is told of a start that fails
  const double runtime = util::seconds(ending.runtime);
  if (!final) {
    retried_seconds_ += runtime;
    return;
  }
  ++done_;
  ++since_tick_;
  if (ending.outcome == core::Outcome::cancelled) {  // says nothing of how long slices take
    cancelled_[id.job].insert(id.slice);
    return;
  }
  if (ending.outcome != core::Outcome::succeeded) failed_[id.job].insert(id.slice);
  ++samples_;
  const double weight = std::max(1.0 / static_cast<double>(samples_), 1.0 / static_cast<double>(20 + 2 * widest_));
  slice_seconds_ += weight * (runtime + retried_seconds_ - slice_seconds_);
  retried_seconds_ = 0;
}

void Progress::tick(const core::RunView& view, util::TimePoint now) {
  widest_ = std::max(widest_, running_count(view));
  if (last_tick_) {
    const double dt = util::seconds(now - *last_tick_);
    const double per_second = recent_seconds_ > 0 ? recent_slices_ / recent_seconds_ : 0;
    const double memory = per_second > 0 ? std::max(kRateMemory, kRateSlices / per_second) : kRateMemory;
    const double kept = per_second > 0 ? std::exp(-dt / memory) : 1;
    recent_slices_ = recent_slices_ * kept + static_cast<double>(since_tick_);
    recent_seconds_ = recent_seconds_ * kept + dt;
  }
  // What ended before the first tick is left out: nobody knows in how much time it did.
  since_tick_ = 0;
  last_tick_ = now;
}

unsigned Progress::percent() const {
  if (total_ == 0) return 100;
  return static_cast<unsigned>(std::min(done_, total_) * 100 / total_);
}

std::optional<double> Progress::rate() const {
  if (recent_slices_ <= 0 || recent_seconds_ <= 0) return std::nullopt;
  return recent_slices_ / recent_seconds_;
}

/// Seconds that a running slice still takes: as it says itself, else as slices do.
double Progress::left_of(const core::RunningAttempt& attempt, util::TimePoint now) const {
  const double ran = age(attempt, now);
  const auto& said = attempt.record.report.progress;
  if (said && *said >= kLeastProgress) return ran * (1 - *said) / *said;
  return slice_seconds_ - std::min(ran, slice_seconds_);
}

/// Until the last of what runs has ended.
double Progress::longest_left(const core::RunView& view, util::TimePoint now) const {
  double longest = 0;
  for (const auto& job : view.jobs) {
    for (const auto& [slice, attempt] : job.running()) longest = std::max(longest, left_of(attempt, now));
  }
  return longest;
}

std::optional<util::Duration> Progress::eta(const core::RunView& view, util::TimePoint now) const {
  if (done_ >= total_) return util::Duration::zero();
  // Of slices that began together the quick ones end first: one round has to be over to know what a slice takes.
  const auto rate_now = rate();
  if (!rate_now || widest_ == 0 || samples_ < widest_) return std::nullopt;
  if (view.ending) return util::from_seconds(longest_left(view, now));
  const auto left = static_cast<double>(total_ - done_);
  if (slice_seconds_ < kLongSlice) return util::from_seconds(left / *rate_now);

  // By the work that is left and the slots that share it: the plain rate would swing from one round to the next.
  double work = left * slice_seconds_;
  for (const auto& job : view.jobs) {
    for (const auto& [slice, attempt] : job.running()) work -= slice_seconds_ - left_of(attempt, now);
  }
  return util::from_seconds(std::max(0.0, work) / std::min(left, static_cast<double>(widest_)));
}

std::string Progress::line(const core::RunView& view, util::TimePoint now, std::size_t width) const {
  const std::string counts =
      fmt::format("{}/{} ({}%)", util::format_count(done_), util::format_count(total_), percent());
  std::vector<std::string> parts;
  const auto count = [&parts](const auto& by_job, const char* what) {
    std::uint64_t n = 0;
    for (const auto& [job, slices] : by_job) n += slices.count();
    if (n > 0) parts.push_back(util::format_count(n) + what);
  };
  count(failed_, " failed");
  count(cancelled_, " cancelled");
  if (view.ending) parts.emplace_back("stopping");
  const auto left = eta(view, now);
  parts.push_back("ETA " + (left ? whole_seconds(*left) : "?"));
  parts.push_back(util::format_count(running_count(view)) + " running");
  if (const auto r = rate()) parts.push_back(format_rate(*r));
  if (const auto* attempt = oldest(view); attempt != nullptr && age(*attempt, now) >= kOldestFrom) {
    parts.push_back("oldest " + util::escape_for_display(key_text(attempt->record), 40) + " " +
                    whole_seconds(util::from_seconds(age(*attempt, now))));
  }
  std::string text = util::escape_for_display(view.info.name, kNameWidth) + ": " + counts;
  if (columns(text) > width) return columns(counts) > width ? std::string() : counts;
  for (const auto& part : parts) {
    if (columns(text) + 2 + columns(part) > width) break;
    text += ", " + part;
  }
  return text;
}

std::string format_rate(double per_second) {
  if (per_second >= 100) return util::format_count(static_cast<std::uint64_t>(std::llround(per_second))) + "/s";
  if (per_second >= 1) return fmt::format("{:.1f}/s", per_second);
  if (per_second * 60 >= 1) return fmt::format("{:.1f}/min", per_second * 60);
  return fmt::format("{:.1f}/h", per_second * 3600);
}

}  // namespace runner::report
