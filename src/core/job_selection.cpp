#include "core/job_selection.hpp"

#include <algorithm>
#include <utility>

#include "util/text.hpp"

namespace runner::core {
namespace {

util::Error not_of_a_job(const Spec& spec, const std::string& text) {
  std::vector<std::string> names;
  for (const JobSpec& job : spec.jobs) {
    if (job.kind == JobKind::slices) names.push_back(job.name);
  }
  const std::string name = text.substr(0, text.find('/'));
  const auto nearest = util::closest(name, names);
  return util::Error{"`" + util::escape_for_display(text, 60) + "` names no job: write " +
                     nearest.value_or(names.front()) + "/LIST, or a job's name for all of it"};
}

}  // namespace

util::Result<JobSelection> select_slices(const Spec& spec, const std::vector<std::string>& texts) {
  JobSelection selection(spec.jobs.size());
  if (texts.empty()) {
    for (std::size_t j = 0; j < spec.jobs.size(); ++j) selection[j] = IntervalSet::first_n(spec.jobs[j].slices.size());
    return selection;
  }
  for (const std::string& text : texts) {
    std::size_t j = 0;
    std::string list = text;
    if (spec.has_several_jobs()) {
      const std::size_t slash = text.find('/');
      const auto job = std::ranges::find(spec.jobs, text.substr(0, slash), &JobSpec::name);
      if (job == spec.jobs.end() || job->kind != JobKind::slices) return not_of_a_job(spec, text);
      j = static_cast<std::size_t>(job - spec.jobs.begin());
      if (slash == std::string::npos) {
        selection[j] = IntervalSet::first_n(job->slices.size());
        continue;
      }
      list = text.substr(slash + 1);
    }
    const SliceList& slices = spec.jobs[j].slices;
    auto chosen = slices.select(list);
    const std::string of_job = spec.jobs[j].name + "/";  // of one job alone it may stand there, too: the log has it so
    if (!chosen && !spec.has_several_jobs() && list.starts_with(of_job)) {
      if (auto named = slices.select(list.substr(of_job.size()))) chosen = std::move(named);
    }
    if (!chosen) return chosen.error();
    if (!selection[j]) selection[j].emplace();
    selection[j]->insert(*chosen);
  }
  for (std::size_t j = 0; j < spec.jobs.size(); ++j) {  // hooks go with what they belong to
    const JobSpec& job = spec.jobs[j];
    const bool is_part = job.kind != JobKind::slices && (!job.hook_of || selection[*job.hook_of]);
    if (is_part) selection[j] = IntervalSet::first_n(1);
  }
  return selection;
}

}  // namespace runner::core
