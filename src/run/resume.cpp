#include "run/resume.hpp"

#include <algorithm>
#include <filesystem>
#include <map>
#include <system_error>
#include <utility>

#include "run/describe.hpp"
#include "run/history.hpp"
#include "run/line_diff.hpp"
#include "run/outdated.hpp"
#include "run/resume_hooks.hpp"
#include "util/text.hpp"

namespace runner::run {

namespace {

using store::kLeftOut;

/// What differs between a run as it began and the spec as it is now, for people; "" when nothing does.
std::string changes(const store::StoredRun& stored, const SessionRequest& request) {
  const core::Spec& spec = *request.spec;
  std::string text = line_diff(stored.spec_text, spec.text);
  const std::string settings = line_diff(stored.settings, request.settings);
  if (!settings.empty()) text += "--set:\n" + settings;
  for (std::size_t j = 0; j < std::min(stored.jobs.size(), spec.jobs.size()); ++j) {
    const auto& slices = spec.jobs[j].slices;
    if (stored.jobs[j].fingerprint == slices.fingerprint()) continue;
    text += "the list of slices changed (" + util::format_count(stored.jobs[j].slices) + " then, " +
            util::format_count(slices.size()) + " now)\n";
  }
  return text;
}

std::string names_of(const auto& jobs) {
  std::string text;
  for (const auto& job : jobs) text += (text.empty() ? "" : ", ") + job.name;
  return text;
}

/// Of the run of another spec, which has the same name or was given the same state directory. What was copied or moved
/// with its record is no other spec.
std::optional<Refusal> refuse_other_spec(const SessionRequest& request, const store::StoredRun& stored,
                                         const std::string& place) {
  const std::string& path = request.spec->path;
  std::error_code error;
  const bool is_same = stored.info.spec_path == path || std::filesystem::equivalent(stored.info.spec_path, path, error);
  const bool was_copied = !stored.place.empty() && stored.place != place;
  if (is_same || was_copied || !std::filesystem::exists(stored.info.spec_path, error)) return std::nullopt;
  return Refusal{"the last run in " + request.spec->state_dir + " is of " + stored.info.spec_path +
                 ", which shares its record with " + path +
                 ": give one of them another `name`, or a --state-dir of its own; to start a run of this one: runner " +
                 request.run_args};
}

/// Of a run whose spec is not what it was.
std::optional<Refusal> refuse_changed(const SessionRequest& request, const store::StoredRun& stored) {
  const auto& jobs = request.spec->jobs;
  const auto same_name = [](const store::NewRun::Job& job, const core::JobSpec& spec) { return job.name == spec.name; };
  const bool is_one = stored.jobs.size() == 1 && jobs.size() == 1;
  if (!is_one && !std::ranges::equal(stored.jobs, jobs, same_name)) {
    return Refusal{"the jobs of " + request.spec->path + " (hooks and services among them) changed since run " +
                   stored.info.id + " began:\n  then: " + names_of(stored.jobs) + "\n  now:  " + names_of(jobs) +
                   "\n--accept-changes matches slices, not jobs; start a new run: runner " + request.run_args};
  }
  const std::string difference = changes(stored, request);
  if (!difference.empty() && !request.accept_changes) {
    const bool is_list = stored.spec_text == request.spec->text && stored.settings == request.settings;
    return Refusal{(is_list ? "what the slices of " + request.spec->path + " are made from" : request.spec->path) +
                   " changed since run " + stored.info.id + " began:\n" + difference +
                   "to resume it all the same (slices are matched by key): runner " + request.run_args +
                   " --resume --accept-changes\nto start anew: runner " + request.run_args};
  }
  return std::nullopt;
}

/// --slices names slices that the run was begun without.
Refusal refuse_foreign(const SessionRequest& request, const std::string& run_id, const core::JobSpec& job,
                       const core::IntervalSet& selection, const core::IntervalSet& foreign) {
  constexpr std::size_t kShown = 12;
  const std::string of_job = request.spec->has_several_jobs() ? job.name + "/" : "";
  const std::string foreign_text = of_job + job.slices.format_selection(foreign, kShown);
  const std::string typed = of_job + job.slices.format_selection(foreign);
  const std::string begun =
      selection.empty() ? "out " + job.name : " --slices " + of_job + job.slices.format_selection(selection, kShown);
  return Refusal{"--slices: " + foreign_text + (foreign.count() == 1 ? " is" : " are") + " not of run " + run_id +
                 ", which was begun with" + begun + "; in a run of their own: runner " + request.run_args +
                 " --slices " + util::shell_quote_for_display(typed)};
}

/// What is left of a run, step by step; the steps build on each other in the order they stand in.
class ResumePlan {
 public:
  ResumePlan(const SessionRequest& request, const store::StoredRun& stored, store::Reader& reader, Session& session)
      : request_(request), stored_(stored), reader_(reader), session_(session) {}

  std::optional<Refusal> make(const core::JobSelection& wanted) {
    begin();
    if (auto refusal = select()) return refusal;
    if (auto refusal = read_histories()) return refusal;
    for (std::size_t j = 0; j < jobs().size(); ++j) session_.plans[j].succeeded = histories_[j].succeeded();
    narrow(wanted);
    if (auto refusal = redo_outdated()) return refusal;
    if (auto refusal = choose(wanted)) return refusal;
    if (auto refusal = plan_other_jobs()) return refusal;
    keep_closed();
    session_.run.changed = request_.accept_changes && !changes(stored_, request_).empty();
    if (session_.run.changed) tell_what_is_kept();
    return std::nullopt;
  }

 private:
  void begin() {
    session_.run = describe(request_, session_.lock, stored_.info.id);
    session_.view.info = info_of(session_.run);
    session_.view.info.started_at = stored_.info.started_at;
    session_.view.info.resumes = stored_.info.resumes + 1;
    session_.completed = stored_.info.state == core::State::completed;
    const bool copied = !stored_.place.empty() && stored_.place != session_.run.place;
    if (copied && !core::is_over(stored_.info.state)) {
      request_.notice("run " + stored_.info.id + " has no end and was copied here; if it is live where it was (pid " +
                      std::to_string(stored_.info.pid) + " on " + stored_.info.host +
                      "), its slices run in both places");
    }
  }

  [[nodiscard]] bool has_same_list(std::size_t job) const {
    return stored_.jobs[job].fingerprint == jobs()[job].slices.fingerprint();
  }

  /// What the run was begun with, of each job.
  std::optional<Refusal> select() {
    for (std::size_t j = 0; j < jobs().size(); ++j) {
      const core::JobSpec& job = jobs()[j];
      const std::string& chosen = stored_.jobs[j].selection;
      if (!has_same_list(j) && !chosen.empty() && chosen != kLeftOut) {  // by index it means nothing for another list
        return Refusal{"run " + stored_.info.id + " was begun with --slices, and the list of slices changed since: " +
                       "start a new run: runner " + request_.run_args + " --slices ..."};
      }
      auto selection = parse_stored_selection(chosen, job.slices.size());
      if (!selection) return Refusal{selection.error().message, Refusal::Why::record};
      session_.run.jobs[j].selection = chosen == kLeftOut ? chosen : stored_selection(job, *selection);
      session_.view.jobs.emplace_back(job.name, selection->count(), job.kind);
      session_.plans.push_back(make_plan(job, selection->count()));
      selections_.push_back(std::move(*selection));
    }
    return std::nullopt;
  }

  std::optional<Refusal> read_histories() {
    for (std::size_t j = 0; j < jobs().size(); ++j) {
      histories_.emplace_back(jobs()[j], !has_same_list(j), session_.view.jobs[j], session_.plans[j]);
    }
    auto read = reader_.last_attempts(stored_.info.id, [&](const core::AttemptRecord& record) {
      if (record.id.job < histories_.size()) histories_[record.id.job].add(record);
    });
    if (read) {
      read = reader_.counted(stored_.info.id, [&](const core::AttemptId& id, const core::Counted& counted) {
        if (id.job < histories_.size()) histories_[id.job].add(id, counted);
      });
    }
    if (!read) return Refusal{read.error().message, Refusal::Why::record};
    return std::nullopt;
  }

  /// What --slices leaves of what the run was begun with.
  void narrow(const core::JobSelection& wanted) {
    for (std::size_t j = 0; j < jobs().size(); ++j) {
      chosen_.push_back(request_.slices.empty() ? selections_[j]
                                                : selections_[j].intersect(wanted[j].value_or(core::IntervalSet())));
    }
  }

  /// What is outdated has not succeeded any more, whether it is to run this time or not; that is in the record with the
  /// resume, so that it outlives it.
  std::optional<Refusal> redo_outdated() {
    std::vector<JobBefore> before;
    for (std::size_t j = 0; j < jobs().size(); ++j) {
      before.push_back({.history = &histories_[j],
                        .succeeded = session_.plans[j].succeeded,
                        .first = chosen_[j].without(session_.plans[j].succeeded),
                        .was_part_of_run = stored_.jobs[j].selection != kLeftOut});
    }
    session_.outdated = find_outdated(jobs(), before);
    std::map<std::uint32_t, core::IntervalSet> by_job;
    for (const auto& [job, slices, why] : session_.outdated) {
      by_job[job].insert(slices);
      session_.notices.push_back(again_text(job, slices) + ", because " + why);
    }
    for (const auto& [job, slices] : by_job) {
      session_.plans[job].succeeded = session_.plans[job].succeeded.without(slices);
      if (auto refusal = read_again(job, slices)) return refusal;
    }
    return std::nullopt;
  }

  /// "merge runs again", "2 slices of b are to run again, in a resume that they are part of"
  [[nodiscard]] std::string again_text(std::uint32_t job, const core::IntervalSet& slices) const {
    const bool is_whole = slices.count() == selections_[job].count();
    const bool is_one = is_whole || slices.count() == 1;
    const std::string who =
        is_whole ? jobs()[job].name
                 : util::format_count(slices.count()) + (is_one ? " slice of " : " slices of ") + jobs()[job].name;
    if (!slices.intersect(chosen_[job]).empty()) return who + (is_one ? " runs again" : " run again");
    return who + (is_one ? " is to run again, in a resume that it is part of"
                         : " are to run again, in a resume that they are part of");
  }

  /// Into the view, of a job of which slices are outdated: what is known of few slices, and rarely wanted, is not kept
  /// of a million.
  std::optional<Refusal> read_again(std::uint32_t job, const core::IntervalSet& outdated) {
    History& history = histories_[job];
    session_.view.jobs[job] = core::JobView(jobs()[job].name, selections_[job].count(), jobs()[job].kind);
    auto read = reader_.last_attempts(
        stored_.info.id, [&](const core::AttemptRecord& record) { history.add_again(record, outdated); }, job);
    if (read) {
      read = reader_.counted(
          stored_.info.id,
          [&](const core::AttemptId& id, const core::Counted& counted) { history.add(id, counted, outdated); }, job);
    }
    if (!read) return Refusal{read.error().message, Refusal::Why::record};
    return std::nullopt;
  }

  /// The slices that are to run.
  std::optional<Refusal> choose(const core::JobSelection& wanted) {
    for (std::uint32_t j = 0; j < histories_.size(); ++j) {
      const History& history = histories_[j];
      core::JobPlan& plan = session_.plans[j];
      if (!request_.slices.empty() && wanted[j]) {
        if (const auto foreign = wanted[j]->without(selections_[j]); !foreign.empty())
          return refuse_foreign(request_, session_.run.id, jobs()[j], selections_[j], foreign);
      }
      core::IntervalSet todo = chosen_[j].without(plan.succeeded);
      const store::NewRun::Job& before = stored_.jobs[j];
      const bool is_done = todo.empty() && before.state == core::State::completed;
      // Of hooks and services plan_hooks() knows.
      const bool has_slices = jobs()[j].kind == core::JobKind::slices;
      plan.left_out = !wanted[j] || (has_slices && before.selection == kLeftOut);
      plan.closed = plan.left_out || (has_slices && is_done);
      is_partial_.push_back(!selections_[j].without(plan.succeeded).without(todo).empty());
      plan.todo = std::move(todo);
      session_.lost.insert(session_.lost.end(), history.lost().begin(), history.lost().end());
      if (history.is_matched_by_key()) session_.remaps.push_back({.job = j, .moves = history.moves()});
    }
    return std::nullopt;
  }

  /// Hooks and services.
  std::optional<Refusal> plan_other_jobs() {
    const auto notice = [&](const std::string& text) {
      if (!session_.completed) session_.notices.push_back(text);
    };
    auto planned = plan_hooks(*request_.spec, stored_, reader_, session_.plans, is_partial_, notice);
    if (!planned) return Refusal{planned.error().message, Refusal::Why::record};
    return std::nullopt;
  }

  /// Who accepts a change may think that it holds for every slice.
  void tell_what_is_kept() const {
    std::uint64_t kept = 0;
    for (std::size_t j = 0; j < jobs().size(); ++j) {
      if (jobs()[j].kind == core::JobKind::slices) kept += session_.plans[j].succeeded.count();
    }
    if (kept == 0) return;
    session_.notices.push_back(
        util::format_count(kept) + (kept == 1 ? " slice" : " slices") +
        " succeeded before the spec changed, and what came of that is kept; to run all of them as it is now: "
        "runner " +
        request_.run_args);
  }

  /// What has nothing to do stays in the state that it is in.
  void keep_closed() {
    for (std::size_t j = 0; j < jobs().size(); ++j) {
      if (!session_.plans[j].closed) continue;
      const store::NewRun::Job& before = stored_.jobs[j];
      store::NewRun::Job& now = session_.run.jobs[j];
      now.state = before.state;
      now.state_at = before.state_at;
      now.reason = before.reason;
      const auto outdated = std::ranges::find(session_.outdated, j, &store::Outdated::job);
      if (outdated != session_.outdated.end()) {  // and did not stay completed
        now.state = core::State::disabled;
        now.reason = "it is to run again: " + outdated->why;
      }
      session_.view.jobs[j].move(now.state, now.reason);
    }
  }

  [[nodiscard]] const std::vector<core::JobSpec>& jobs() const { return request_.spec->jobs; }

  const SessionRequest& request_;
  const store::StoredRun& stored_;
  store::Reader& reader_;
  Session& session_;
  std::vector<core::IntervalSet> selections_;  // by job, as the rest
  std::vector<core::IntervalSet> chosen_;      // of these, what this resume is about
  std::vector<History> histories_;
  std::vector<bool> is_partial_;
};

}  // namespace

Refusal no_run(const SessionRequest& request) {
  return {"there is no run of " + request.spec->path + " to resume; start one: runner " + request.run_args};
}

std::optional<Refusal> plan_resumed_run(const SessionRequest& request, const core::JobSelection& wanted,
                                        store::Reader& reader, Session& session) {
  auto found = reader.find_run(std::nullopt);
  if (!found) return Refusal{found.error().message, Refusal::Why::record};
  if (!*found) return no_run(request);
  const store::StoredRun& stored = **found;
  if (auto refusal = refuse_other_spec(request, stored, session.lock.place())) return refusal;
  if (auto refusal = refuse_changed(request, stored)) return refusal;
  return ResumePlan(request, stored, reader, session).make(wanted);
}

}  // namespace runner::run
