#include "run/session.hpp"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>

#include "core/job_selection.hpp"
#include "run/resume_hooks.hpp"
#include "util/text.hpp"

namespace runner::run {

namespace {

using store::kLeftOut;
using util::Error;
using util::Result;

Refusal refuse(std::string message, Refusal::Why why = Refusal::Why::usage) {
  return {why, std::move(message)};
}

core::JobPlan make_plan(const core::JobSpec& job, std::uint64_t slices) {
  core::JobPlan plan;
  plan.name = job.name;
  plan.needs = job.needs;
  plan.is_teardown = job.hook == core::HookKind::teardown;
  plan.is_service = job.kind == core::JobKind::service;
  plan.n_procs = job.n_procs;
  plan.uses = job.uses;
  plan.priority = job.priority;
  if (job.allow_failures) plan.allow_failures = job.allow_failures->tolerated(slices);
  plan.retry = job.retry;
  plan.timeout = job.timeout;
  plan.timeout_percent = job.timeout_percent;
  plan.grace = job.grace;
  plan.need = {.slots = 1, .cpus_milli = job.cpus_milli.value_or(0), .memory = job.memory.value_or(0)};
  if (job.max_failed) plan.max_failed = job.max_failed->tolerated(slices);
  plan.on_halt = job.on_halt;
  return plan;
}

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

/// A selection as it is stored: by index, "" for everything, kLeftOut for nothing.
std::string stored_selection(const core::JobSpec& job, const std::optional<core::IntervalSet>& selection) {
  if (!selection) return kLeftOut;
  return selection->count() == job.slices.size() ? std::string() : selection->to_string();
}

Result<core::IntervalSet> parse_stored_selection(const std::string& text, const core::JobSpec& job) {
  if (text.empty()) return core::IntervalSet::first_n(job.slices.size());
  if (text == kLeftOut) return core::IntervalSet();
  auto ranges = core::parse_ranges(text);
  if (!ranges) return ranges.error();
  core::IntervalSet set;
  for (const auto& range : *ranges) {
    if (range.first < 0 || static_cast<std::uint64_t>(range.last) >= job.slices.size() || range.step != 1) {
      return Error{"the record is damaged: it has slices " + to_string(range) + " selected, of " +
                   util::format_count(job.slices.size())};
    }
    set.insert_range(static_cast<std::uint64_t>(range.first), static_cast<std::uint64_t>(range.last));
  }
  return set;
}

store::NewRun describe(const SessionRequest& request, const store::StateLock& lock, std::string id) {
  const core::Spec& spec = *request.spec;
  store::NewRun run;
  run.id = std::move(id);
  run.name = spec.name;
  run.spec_path = spec.path;
  run.spec_text = spec.text;
  run.settings = request.settings;
  run.host = host::hostname();
  run.pid = ::getpid();
  run.boot_id = host::boot_id();
  run.place = lock.place();
  run.started_at = util::wall_now();
  for (const auto& job : spec.jobs) {
    run.jobs.push_back({.name = job.name,
                        .slices = job.slices.size(),
                        .fingerprint = job.slices.fingerprint(),
                        .selection = {},
                        .kind = job.kind});
  }
  return run;
}

core::RunInfo info_of(const store::NewRun& run) {
  core::RunInfo info;
  info.id = run.id;
  info.name = run.name;
  info.spec_path = run.spec_path;
  info.host = run.host;
  info.pid = run.pid;
  info.started_at = run.started_at;
  info.live = true;
  info.containment = run.containment;
  return info;
}

std::string live_message(const SessionRequest& request, const store::LockOwner& owner) {
  const std::string who =
      owner.pid == 0 ? std::string(" (who has it does not say who it is)")
                     : ": pid " + std::to_string(owner.pid) + " on " + owner.host + " since " + owner.started_at;
  return "another run of " + request.spec->path + " is live" + who + "; see it with: runner status " +
         request.spec_args;
}

store::LockOptions lock_options(const SessionRequest& request) {
  store::LockOptions options;
  options.waits = [&](const store::LockOwner& owner, util::Duration silence) {
    request.notice("the run of pid " + std::to_string(owner.pid) + " on " + owner.host + " since " + owner.started_at +
                   " has no end; waiting " + util::format_count(static_cast<std::uint64_t>(util::seconds(silence))) +
                   " s for a sign of life of it");
  };
  return options;
}

}  // namespace

std::uint64_t Session::slices_to_run() const {
  std::uint64_t count = 0;
  for (std::size_t j = 0; j < plans.size(); ++j) {
    if (view.jobs[j].kind() == core::JobKind::slices) count += plans[j].todo.count();
  }
  return count;
}

bool Session::has_work() const {
  return std::ranges::any_of(plans, [](const core::JobPlan& plan) { return !plan.todo.empty(); });
}

Result<void> Session::record(store::Writer& writer) const {
  return resumed ? writer.resume_run(run, lost, remaps) : writer.begin_run(run);
}

namespace {

std::optional<Refusal> plan_new_run(const SessionRequest& request, Session& session) {
  session.run = describe(request, session.lock, store::new_run_id(util::wall_now()));
  session.view.info = info_of(session.run);
  auto selection = core::select_slices(*request.spec, request.slices);
  if (!selection) return refuse("--slices: " + selection.error().message);
  for (std::size_t j = 0; j < request.spec->jobs.size(); ++j) {
    const core::JobSpec& job = request.spec->jobs[j];
    session.run.jobs[j].selection = stored_selection(job, (*selection)[j]);
    core::IntervalSet todo = (*selection)[j].value_or(core::IntervalSet());
    session.view.jobs.emplace_back(job.name, todo.count(), job.kind);
    session.plans.push_back(make_plan(job, todo.count()));
    session.plans.back().todo = std::move(todo);
    session.plans.back().closed = session.plans.back().left_out = !(*selection)[j];
  }
  return std::nullopt;
}

/// One job's history: into the view, into the plan, and what is to be written down of it.
class History {
 public:
  History(const core::JobSpec& job, bool match_by_key, core::JobView& view, core::JobPlan& plan)
      : job_(job), match_by_key_(match_by_key), view_(view), plan_(plan) {}

  void add(const core::AttemptRecord& record) {
    if (!record.ending) lost.push_back(record.id);
    if (!match_by_key_) return keep(record);
    const auto index = job_.slices.find(record.key);
    if (!index) return;  // no slice any more
    moves.push_back({.from = record.id.slice, .to = *index});
    core::AttemptRecord moved = record;
    moved.id.slice = *index;
    keep(moved);
  }

  /// After all that is to be added.
  void add(const core::AttemptId& id, const core::Counted& counted) {
    if (match_by_key_ && !std::ranges::binary_search(moves, id.slice, {}, &store::Remap::Move::from)) return;
    view_.add_counted(counted);
  }

  [[nodiscard]] bool match_by_key() const { return match_by_key_; }

  core::ChunkedSet succeeded;  // in the order of the old list, which may be any in the new one
  std::vector<core::AttemptId> lost;
  std::vector<store::Remap::Move> moves;  // by `from`

 private:
  void keep(const core::AttemptRecord& record) {
    plan_.has_begun = plan_.has_begun || record.pid != 0 || record.ending;
    if (record.ending && record.ending->outcome == core::Outcome::succeeded) {
      succeeded.insert(record.id.slice);
      if (plan_.timeout_percent) plan_.runtimes.add(record.ending->runtime);
    } else {
      plan_.attempted[record.id.slice] = record.id.number;
    }
    view_.add_record(record, false);
  }

  const core::JobSpec& job_;
  bool match_by_key_;
  core::JobView& view_;
  core::JobPlan& plan_;
};

Refusal no_run(const SessionRequest& request) {
  return refuse("there is no run of " + request.spec->path + " to resume; start one: runner " + request.run_args);
}

/// Finds the run to take up, or says why it cannot be.
std::variant<store::StoredRun, Refusal> run_to_resume(const SessionRequest& request, store::Reader& reader) {
  auto found = reader.find_run(std::nullopt);
  if (!found) return refuse(found.error().message, Refusal::Why::record);
  if (!*found) return no_run(request);
  store::StoredRun stored = std::move(**found);
  const auto same_name = [](const store::NewRun::Job& job, const core::JobSpec& spec) { return job.name == spec.name; };
  const bool is_one = stored.jobs.size() == 1 && request.spec->jobs.size() == 1;
  if (!is_one && !std::ranges::equal(stored.jobs, request.spec->jobs, same_name)) {
    return refuse("the jobs of " + request.spec->path + " changed since run " + stored.info.id +
                  " began; start a new run: runner " + request.run_args);
  }
  const std::string difference = changes(stored, request);
  if (!difference.empty() && !request.accept_changes) {
    return refuse(request.spec->path + " changed since run " + stored.info.id + " began:\n" + difference +
                  "to resume it all the same (slices are matched by key): runner " + request.run_args +
                  " --resume --accept-changes\nto start anew: runner " + request.run_args);
  }
  return stored;
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
  return refuse("--slices: " + foreign_text + (foreign.count() == 1 ? " is" : " are") + " not of run " + run_id +
                ", which was begun with" + begun + "; in a run of their own: runner " + request.run_args +
                " --slices " + util::shell_quote_for_display(typed));
}

std::optional<Refusal> plan_resumed_run(const SessionRequest& request, const store::StoredRun& stored,
                                        store::Reader& reader, Session& session) {
  const core::Spec& spec = *request.spec;
  session.run = describe(request, session.lock, stored.info.id);
  session.view.info = info_of(session.run);
  session.view.info.started_at = stored.info.started_at;
  session.view.info.resumes = stored.info.resumes + 1;
  session.completed = stored.info.state == core::State::completed;
  const bool copied = !stored.place.empty() && stored.place != session.run.place;
  if (copied && !core::is_over(stored.info.state)) {
    request.notice("run " + stored.info.id + " has no end and was copied here; if it is live where it was (pid " +
                   std::to_string(stored.info.pid) + " on " + stored.info.host + "), its slices run in both places");
  }

  std::vector<core::IntervalSet> selections;
  for (std::size_t j = 0; j < spec.jobs.size(); ++j) {
    const core::JobSpec& job = spec.jobs[j];
    const bool same_list = stored.jobs[j].fingerprint == job.slices.fingerprint();
    const std::string& chosen = stored.jobs[j].selection;
    if (!same_list && !chosen.empty() && chosen != kLeftOut) {  // stored by index, it means nothing for another list
      return refuse("run " + stored.info.id + " was begun with --slices, and the list of slices changed since: " +
                    "start a new run: runner " + request.run_args + " --slices ...");
    }
    auto selection = parse_stored_selection(chosen, job);
    if (!selection) return refuse(selection.error().message, Refusal::Why::record);
    session.run.jobs[j].selection = chosen == kLeftOut ? chosen : stored_selection(job, *selection);
    session.view.jobs.emplace_back(job.name, selection->count(), job.kind);
    session.plans.push_back(make_plan(job, selection->count()));
    selections.push_back(std::move(*selection));
  }
  std::vector<History> histories;
  for (std::size_t j = 0; j < spec.jobs.size(); ++j) {
    const bool same_list = stored.jobs[j].fingerprint == spec.jobs[j].slices.fingerprint();
    histories.emplace_back(spec.jobs[j], !same_list, session.view.jobs[j], session.plans[j]);
  }
  auto read = reader.last_attempts(stored.info.id, [&](const core::AttemptRecord& record) {
    if (record.id.job < histories.size()) histories[record.id.job].add(record);
  });
  if (read) {
    read = reader.counted(stored.info.id, [&](const core::AttemptId& id, const core::Counted& counted) {
      if (id.job < histories.size()) histories[id.job].add(id, counted);
    });
  }
  if (!read) return refuse(read.error().message, Refusal::Why::record);

  auto wanted = core::select_slices(spec, request.slices);
  if (!wanted) return refuse("--slices: " + wanted.error().message);
  std::vector<bool> is_partial;
  for (std::uint32_t j = 0; j < histories.size(); ++j) {
    History& history = histories[j];
    core::JobPlan& plan = session.plans[j];
    plan.succeeded = history.succeeded.intervals();
    core::IntervalSet todo = selections[j].without(plan.succeeded);
    if (!request.slices.empty()) {
      const core::IntervalSet chosen = (*wanted)[j].value_or(core::IntervalSet());
      if (const auto foreign = chosen.without(selections[j]); !foreign.empty()) {
        return refuse_foreign(request, session.run.id, spec.jobs[j], selections[j], foreign);
      }
      todo = todo.intersect(chosen);
    }
    const store::NewRun::Job& before = stored.jobs[j];
    const bool is_done = todo.empty() && before.state == core::State::completed;
    // Of hooks and services plan_hooks() knows.
    const bool has_slices = spec.jobs[j].kind == core::JobKind::slices;
    plan.left_out = !(*wanted)[j] || (has_slices && before.selection == kLeftOut);
    plan.closed = plan.left_out || (has_slices && is_done);
    is_partial.push_back(!selections[j].without(plan.succeeded).without(todo).empty());
    plan.todo = std::move(todo);
    session.lost.insert(session.lost.end(), history.lost.begin(), history.lost.end());
    if (history.match_by_key()) session.remaps.push_back({.job = j, .moves = std::move(history.moves)});
  }
  const bool completed = session.completed;
  auto planned = plan_hooks(spec, stored.info.id, reader, session.plans, is_partial, [&](const std::string& text) {
    if (!completed) request.notice(text);
  });
  if (!planned) return refuse(planned.error().message, Refusal::Why::record);
  for (std::uint32_t j = 0; j < histories.size(); ++j) {
    if (!session.plans[j].closed) continue;
    const store::NewRun::Job& before = stored.jobs[j];
    session.run.jobs[j].state = before.state;
    session.run.jobs[j].state_at = before.state_at;
    session.run.jobs[j].reason = before.reason;
    session.view.jobs[j].move(before.state, before.reason);
  }
  return std::nullopt;
}

}  // namespace

std::variant<Session, Refusal> open_session(const SessionRequest& request) {
  const core::Spec& spec = *request.spec;
  store::StateDir dir(spec.state_dir);
  if (request.resume && !dir.exists()) return no_run(request);
  if (auto created = dir.create(); !created) return refuse(created.error().message, Refusal::Why::record);
  auto locked = dir.lock(lock_options(request));
  if (!locked) return refuse(locked.error().message, Refusal::Why::record);
  if (const auto* owner = std::get_if<store::LockOwner>(&*locked)) {
    return refuse(live_message(request, *owner), Refusal::Why::live);
  }
  Session session{.state_dir = std::move(dir),
                  .lock = std::move(std::get<store::StateLock>(*locked)),
                  .run = {},
                  .resumed = request.resume,
                  .completed = false,
                  .view = {},
                  .plans = {},
                  .lost = {},
                  .remaps = {}};

  auto reader = store::Reader::open(session.state_dir.database());
  const bool is_empty = !reader && reader.error().errno_value == ENOENT;
  if (!reader && !is_empty) return refuse(reader.error().message, Refusal::Why::record);
  if (!request.resume) {
    if (auto refusal = plan_new_run(request, session)) return *refusal;
    return session;
  }
  if (is_empty) return no_run(request);
  auto chosen = run_to_resume(request, **reader);
  if (auto* refusal = std::get_if<Refusal>(&chosen)) return *refusal;
  if (auto refusal = plan_resumed_run(request, std::get<store::StoredRun>(chosen), **reader, session)) return *refusal;
  session.state_dir.tidy(session.run.id);
  return session;
}

namespace {

// A shell, its command, and a pipeline or a few threads.
constexpr std::uint64_t kProcessesOfSlice = 4;
// runner's own, with a few for a launch and a look at /proc; then a log and a pidfd for each slice, with two pipes.
constexpr std::uint64_t kOwnDescriptors = 32;
constexpr std::uint64_t kDescriptorsOfSlice = 2;
constexpr std::uint64_t kDescriptorsOfCaptured = 4;

std::uint32_t wanted_slots(const core::Spec& spec, const host::Machine& machine) {
  switch (spec.n_procs.kind) {
    case core::ProcCount::Kind::count:
      return spec.n_procs.value;
    case core::ProcCount::Kind::automatic:
      break;
    case core::ProcCount::Kind::percent:
      return static_cast<std::uint32_t>(std::lround(machine.cpus * static_cast<double>(spec.n_procs.value) / 100.0));
  }
  return machine.cpus;
}

}  // namespace

Capacity capacity(const core::Spec& spec, const host::Machine& machine, bool captured) {
  const std::uint32_t wanted = std::max(1U, wanted_slots(spec, machine));
  Capacity capacity;
  capacity.resources = {.slots = wanted, .cpus_milli = std::int64_t{machine.cpus} * 1000, .memory = machine.memory};
  const auto limit = [&](std::uint64_t slots, const std::string& why) {
    if (slots < capacity.most_slots) {
      capacity.most_slots = static_cast<std::uint32_t>(std::max<std::uint64_t>(1, slots));
      capacity.most_slots_because = why;
    }
    if (slots >= capacity.resources.slots) return;
    capacity.resources.slots = static_cast<std::uint32_t>(std::max<std::uint64_t>(1, slots));
    capacity.note =
        util::format_count(capacity.resources.slots) + " at a time, not " + util::format_count(wanted) + ": " + why;
  };
  if (machine.descriptors > 0) {
    const std::uint64_t left = machine.descriptors - std::min(machine.descriptors, kOwnDescriptors);
    limit(left / (captured ? kDescriptorsOfCaptured : kDescriptorsOfSlice),
          "the limit of open files (ulimit -n) is " + util::format_count(machine.descriptors));
  }
  if (machine.processes) {
    limit(*machine.processes / kProcessesOfSlice, "there may be " + util::format_count(*machine.processes) +
                                                      " more processes (" + machine.processes_reason +
                                                      "), and a slice may need " + std::to_string(kProcessesOfSlice));
  }
  return capacity;
}

}  // namespace runner::run
