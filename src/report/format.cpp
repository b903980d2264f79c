#include "report/format.hpp"

#include "report/joblog.hpp"
#include "report/status_json.hpp"
#include "report/status_table.hpp"
#include "util/text.hpp"

namespace runner::report {

core::IntervalSet waiting_slices(const StatusSource& source, std::uint32_t job) {
  if (job >= source.slices.size()) return {};
  const core::JobView& view = source.view.jobs[job];
  core::IntervalSet running;
  for (const auto& [slice, attempt] : view.running()) running.insert(slice);
  return source.slices[job].without(view.succeeded_slices()).without(view.failed_slices()).without(running);
}

const std::vector<Format>& formats() {
  static const std::vector<Format> kFormats = {
      {"table", "for people", write_status_table},
      {"json", "the whole state of the run; its schema is stable", write_status_json},
      {"joblog", "one line an ended attempt, as GNU parallel --joblog writes it", write_joblog},
  };
  return kFormats;
}

util::Result<Format> find_format(std::string_view name) {
  std::string names;
  for (const Format& format : formats()) {
    if (format.name == name) return format;
    names += (names.empty() ? "" : ", ") + std::string(format.name);
  }
  return util::Error{"unknown format '" + util::escape_for_display(name) + "'; there are: " + names};
}

}  // namespace runner::report
