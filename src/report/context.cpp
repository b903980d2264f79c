#include "report/context.hpp"

#include <limits>

#include "util/text.hpp"
#include "util/units.hpp"

namespace runner::report {

namespace {

std::string list(const ReportContext& context, std::uint32_t job, const core::IntervalSet& indices, std::size_t max) {
  return context.labels ? context.labels(job, indices, max) : indices.to_string(max);
}

}  // namespace

std::string selection(const ReportContext& context, std::uint32_t job, const core::IntervalSet& indices) {
  return list(context, job, indices, std::numeric_limits<std::size_t>::max());
}

std::string readable_selection(const ReportContext& context, std::uint32_t job, const core::IntervalSet& indices) {
  constexpr std::size_t kMaxLength = 4'000;
  constexpr std::uint64_t kExamples = 12;
  // With its comma an interval takes two characters: a list that is cut at so many is too long as well.
  if (std::string all = list(context, job, indices, kMaxLength / 2 + 1); all.size() <= kMaxLength) return all;
  core::IntervalSet examples;
  for (const auto& interval : indices.intervals()) {
    for (std::uint64_t i = interval.first; i <= interval.last && examples.count() < kExamples; ++i) examples.insert(i);
  }
  return selection(context, job, examples) + " and " + util::format_count(indices.count() - examples.count()) +
         " more" + (context.json_command.empty() ? "" : ", all of them: " + context.json_command);
}

std::string short_selection(const ReportContext& context, std::uint32_t job, const core::IntervalSet& indices,
                            std::size_t max_intervals) {
  if (indices.intervals().size() <= max_intervals) return list(context, job, indices, max_intervals);
  // Cut here and not by the list's own "...", so that what is shown is a valid list by itself.
  core::IntervalSet shown;
  for (std::size_t i = 0; i < max_intervals; ++i) {
    const auto& interval = indices.intervals()[i];
    shown.insert_range(interval.first, interval.last);
  }
  return list(context, job, shown, max_intervals) + " and " + util::format_count(indices.count() - shown.count()) +
         " more";
}

std::string resume_command(const ReportContext& context, const core::RunInfo& info) {
  if (!context.resume_command.empty()) return context.resume_command;
  return "runner " + util::shell_quote_for_display(info.spec_path) + " --resume";
}

std::string log_path(const ReportContext& context, const std::string& log) {
  if (log.empty()) return {};
  return util::escape_for_display(context.run_dir.empty() ? log : context.run_dir + "/" + log, 4096);
}

std::string nothing_logged(const ReportContext& context, const core::AttemptRecord& record) {
  const std::string file = context.stdout_of ? context.stdout_of(record) : std::string();
  return file.empty() ? "wrote nothing"
                      : "wrote nothing to its log, stdout is in " + util::escape_for_display(file, 200);
}

std::string key_text(const core::AttemptRecord& record) {
  return record.key.empty() ? std::to_string(record.id.slice) : util::escape_for_display(record.key, 200);
}

std::string count_of(std::uint64_t n, std::string_view noun, std::string_view plural) {
  return util::format_count(n) + " " + std::string(n == 1 ? noun : plural);
}

}  // namespace runner::report
