#include "run/session.hpp"

#include <algorithm>
#include <cerrno>

#include "core/job_selection.hpp"
#include "run/describe.hpp"
#include "run/resume.hpp"
#include "util/text.hpp"

namespace runner::run {

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

util::Result<void> Session::record(store::Writer& writer) const {
  return resumed ? writer.resume_run(run, lost, remaps, outdated) : writer.begin_run(run);
}

namespace {

std::string live_message(const SessionRequest& request, const store::LockOwner& owner) {
  const std::string who =
      owner.pid == 0 ? std::string(" (who has it does not say who it is)")
                     : ": pid " + std::to_string(owner.pid) + " on " + owner.host + " since " + owner.started_at;
  return "another run of " + request.spec->path + " is live" + who + "; see it with: runner status " +
         request.spec_args;
}

/// Of a state directory that cannot be made or locked.
std::string with_next_step(const util::Error& error) {
  if (error.message.find("--state-dir") != std::string::npos) return error.message;
  switch (error.errno_value) {
    case ENOSPC:
    case EDQUOT:
      return error.message + ": free some space, or choose another place with --state-dir";
    case EACCES:
    case EPERM:
    case EROFS:
      return error.message + ": choose another place with --state-dir";
    default:
      return error.message;
  }
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

void plan_new_run(const SessionRequest& request, const core::JobSelection& selection, Session& session) {
  session.run = describe(request, session.lock, store::new_run_id(util::wall_now()));
  session.view.info = info_of(session.run);
  for (std::size_t j = 0; j < request.spec->jobs.size(); ++j) {
    const core::JobSpec& job = request.spec->jobs[j];
    session.run.jobs[j].selection = stored_selection(job, selection[j]);
    core::IntervalSet todo = selection[j].value_or(core::IntervalSet());
    session.view.jobs.emplace_back(job.name, todo.count(), job.kind);
    session.plans.push_back(make_plan(job, todo.count()));
    session.plans.back().todo = std::move(todo);
    session.plans.back().closed = session.plans.back().left_out = !selection[j];
  }
}

/// The newest run, if that left something.
std::optional<core::RunInfo> unfinished_run(store::Reader& reader) {
  const auto last = reader.find_run(std::nullopt);
  if (!last || !*last || (*last)->info.state == core::State::completed) return std::nullopt;
  return (*last)->info;
}

}  // namespace

std::variant<Session, Refusal> open_session(const SessionRequest& request) {
  const core::Spec& spec = *request.spec;
  const auto wanted = core::select_slices(spec, request.slices);
  if (!wanted) return Refusal{"--slices: " + wanted.error().message};
  store::StateDir dir(spec.state_dir);
  if (request.resume && !dir.exists()) return no_run(request);
  if (auto created = dir.create(); !created) return Refusal{with_next_step(created.error()), Refusal::Why::record};
  auto locked = dir.lock(lock_options(request));
  if (!locked) return Refusal{with_next_step(locked.error()), Refusal::Why::record};
  if (const auto* owner = std::get_if<store::LockOwner>(&*locked)) {
    return Refusal{live_message(request, *owner), Refusal::Why::live};
  }
  Session session{.state_dir = std::move(dir),
                  .lock = std::move(std::get<store::StateLock>(*locked)),
                  .run = {},
                  .resumed = request.resume,
                  .completed = false,
                  .view = {},
                  .plans = {},
                  .lost = {},
                  .remaps = {},
                  .outdated = {},
                  .notices = {},
                  .unfinished = std::nullopt};

  auto reader = store::Reader::open(session.state_dir.database());
  const bool is_empty = !reader && reader.error().errno_value == ENOENT;
  if (!reader && !is_empty) return Refusal{reader.error().message, Refusal::Why::record};
  if (!request.resume) {
    plan_new_run(request, *wanted, session);
    if (!is_empty) session.unfinished = unfinished_run(**reader);
    return session;
  }
  if (is_empty) return no_run(request);
  if (auto refusal = plan_resumed_run(request, *wanted, **reader, session)) return *refusal;
  session.state_dir.tidy(session.run.id);
  return session;
}

}  // namespace runner::run
