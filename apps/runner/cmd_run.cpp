// runner SPEC, runner SPEC --resume: sets up the parts of a run, lets the loop run it and turns its end into an exit
// code.
#include <unistd.h>

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <cassert>
#include <csignal>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>

#include "commands.hpp"
#include "common.hpp"
#include "containment.hpp"
#include "control/server.hpp"
#include "exec/factory.hpp"
#include "exit_codes.hpp"
#include "host/machine.hpp"
#include "log/logger.hpp"
#include "proc/cgroup.hpp"
#include "proc/guard.hpp"
#include "proc/inherited.hpp"
#include "report/console.hpp"
#include "report/format.hpp"
#include "report/output_pump.hpp"
#include "report/printer.hpp"
#include "run/capacity.hpp"
#include "run/describe.hpp"
#include "run/loop.hpp"
#include "run/session.hpp"
#include "util/text.hpp"

namespace runner::app {

namespace {

std::uint64_t succeeded(const core::RunView& view) {
  std::uint64_t count = 0;
  for (const auto& job : view.jobs) count += job.kind() == core::JobKind::slices ? job.succeeded() : 0;
  return count;
}

/// What a run is to do.
struct Wanted {
  std::uint64_t slices = 0;        ///< so many have succeeded in the end
  std::vector<std::size_t> hooks;  ///< that are to run
};

Wanted wanted_of(const run::Session& session) {
  Wanted wanted{.slices = succeeded(session.view) + session.slices_to_run(), .hooks = {}};
  for (std::size_t j = 0; j < session.plans.size(); ++j) {
    const bool is_hook = session.view.jobs[j].kind() == core::JobKind::hook;
    if (is_hook && !session.plans[j].todo.empty()) wanted.hooks.push_back(j);
  }
  return wanted;
}

int exit_code(const run::LoopResult& result, const Wanted& wanted) {
  if (!result.record_failed.empty()) return kRecordFailed;
  const bool hooks_failed = std::ranges::any_of(wanted.hooks, [&](std::size_t j) {
    const core::JobView& hook = result.view.jobs[j];
    return hook.failed() > 0 || (result.signal != 0 && hook.state() == core::State::disabled);
  });
  if (succeeded(result.view) == wanted.slices && !hooks_failed) return kSucceeded;
  if (result.signal != 0) return kSignalBase + result.signal;
  return result.halted.empty() ? kSlicesFailed : kStopped;
}

report::Verbosity verbosity_of(int level) {
  if (level < 0) return report::Verbosity::quiet;
  return level == 0 ? report::Verbosity::normal : report::Verbosity::verbose;
}

report::Terminal terminal_for(const RunCommand& command, core::Print print, pid_t guard) {
  report::Terminal terminal = report::detect_terminal(STDERR_FILENO, command.common.color);
  // A line that is drawn over does not go with the slices' output scrolling by.
  if (print != core::Print::none && ::isatty(STDOUT_FILENO) == 1) terminal.live = false;
  // The engine has no terminal of its own to ask; it is the guard that is in the foreground or not.
  terminal.columns = [guard, columns = terminal.columns] {
    return guard != 0 && !proc::is_in_foreground(guard) ? 0 : columns();
  };
  return terminal;
}

/// Where the run is shown: stderr for people, stdout and stderr for the slices' own output.
class Face {
 public:
  Face(boost::asio::io_context& io, const RunCommand& command, const core::Spec& spec, const run::Session& session,
       unsigned slots, pid_t guard)
      : out_(io, STDOUT_FILENO, events()),
        console_(err(io),
                 {.labels = labels_of(&spec),
                  .stdout_of = stdout_of(&spec, session.run.id),
                  .run_dir = display_path(session.state_dir.run_dir(session.run.id)),
                  .resume_command = resume_command(command.common, spec.path),
                  .json_command = json_command(command.common, spec.path, "")},
                 {.verbosity = verbosity_of(command.common.verbosity),
                  .terminal = terminal_for(command, command.print.value_or(spec.print), guard),
                  .slots = slots}) {
    const core::Print print = command.print.value_or(spec.print);
    if (print == core::Print::none) return;
    auto printer = report::make_printer(print == core::Print::group ? "group" : "line",
                                        {.out = &out_,
                                         .err = &err(io),
                                         .spool_dir = session.state_dir.run_dir(session.run.id),
                                         .notice =
                                             [this](const std::string& message) {
                                               if (spool_failed_.empty()) spool_failed_ = message;
                                               notice_(message);
                                             },
                                         .escape_out = ::isatty(STDOUT_FILENO) == 1,
                                         .escape_err = ::isatty(STDERR_FILENO) == 1});
    assert(printer);  // both names are known
    printer_ = std::move(*printer);
  }  // NOLINT(clang-analyzer-cplusplus.NewDeleteLeaks): it loses track of what a std::function owns

  report::Console& console() { return console_; }
  core::OutputTap* tap() { return printer_.get(); }
  void say(std::string_view text) { (err_ ? *err_ : out_).write(text); }
  /// For as long as the loop runs: what to do when output can flow again, and how to tell of trouble.
  void connect(run::Loop& loop, exec::Executor& executor) {
    notice_ = [&loop](const std::string& message) { loop.notice(message); };
    resume_output_ = [&executor] { executor.resume_output(); };
  }
  void disconnect() {
    notice_ = [this](const std::string& message) { say("runner: " + message + "\n"); };
    resume_output_ = [] {};
  }
  void flush() {
    out_.flush();
    if (err_) err_->flush();
  }
  /// After flush(): why not all that was to be printed could be, "" where it was.
  [[nodiscard]] std::string print_failed() const {
    if (!printer_) return {};
    if (out_.lost() != 0) return util::errno_error("cannot write to stdout", out_.lost()).message;
    if (err_ && err_->lost() != 0) return util::errno_error("cannot write to stderr", err_->lost()).message;
    return spool_failed_;
  }

 private:
  /// One pump for both where both are the same file, so that lines do not get between each other's pieces.
  report::OutputPump& err(boost::asio::io_context& io) {
    if (!err_ && !report::same_target(STDOUT_FILENO, STDERR_FILENO)) {
      err_ = std::make_unique<report::OutputPump>(
          io, STDERR_FILENO, report::PumpEvents{.drained = [this] { resume_output_(); }, .broken = {}});
    }
    return err_ ? *err_ : out_;
  }
  report::PumpEvents events() {
    return {.drained = [this] { resume_output_(); },
            .broken =
                [this](int error) {
                  notice_(util::errno_error("cannot write to stdout", error).message +
                          "; output is not printed any more, the run goes on");
                  resume_output_();
                }};
  }

  std::function<void(const std::string&)> notice_ = [](const std::string&) {};
  std::function<void()> resume_output_ = [] {};
  std::string spool_failed_;  ///< what could not be kept until its turn to be printed, "" if all was
  report::OutputPump out_;
  std::unique_ptr<report::OutputPump> err_;
  report::Console console_;
  std::unique_ptr<report::Printer> printer_;
};

std::string lost_message(const run::Session& session, const report::Labels& labels) {
  std::map<std::uint32_t, core::IntervalSet> lost;
  for (const auto& id : session.lost) lost[id.job].insert(id.slice);
  std::string list;
  for (const auto& [job, slices] : lost) {
    // Labels belong to the list as it is now; after --accept-changes the stored indices are of the one before.
    const bool has_labels = session.remaps.empty() && labels;
    list += (list.empty() ? "" : "; ") + (has_labels ? labels(job, slices, 12) : slices.to_string(12));
  }
  return (session.lost.size() == 1 ? std::string("1 slice") : util::format_count(session.lost.size()) + " slices") +
         " may have run before (no end is recorded): " + list;
}

/// Who meant to resume that run has to hear of it now: --resume is for this one from here on.
/// To be asked for when older runs have been pruned.
std::string unfinished_message(const run::Session& session, const RunCommand& command, const core::Spec& spec) {
  std::error_code error;
  const core::RunInfo& last = *session.unfinished;
  const bool is_kept = std::filesystem::exists(session.state_dir.run_dir(last.id), error);
  const bool is_other = last.spec_path != spec.path && std::filesystem::exists(last.spec_path, error);
  return "this is a new run; --resume would have gone on with " + last.id +
         (is_other ? " of " + display_path(last.spec_path) + ", which shares its record with this spec and"
                   : ", which") +
         " left something undone" +
         (is_kept ? ": runner status " + spec_arguments(command.common, spec.path) + " --run " + last.id
                  : " and is forgotten now (keep_runs)");
}

/// Forgets the oldest runs beyond keep_runs: their directories, then their rows.
void prune(const core::Spec& spec, const run::Session& session, store::Writer& writer, run::Loop& loop) {
  auto reader = store::Reader::open(session.state_dir.database());
  if (!reader) return;
  auto runs = (*reader)->runs();
  if (!runs) return;
  std::vector<std::string> ids;
  for (const auto& run : *runs) ids.push_back(run.info.id);
  const auto gone = session.state_dir.prune(ids, spec.keep_runs);
  if (gone.empty()) return;
  if (auto removed = writer.remove_runs(gone); !removed) loop.notice(removed.error().message);
}

/// A run that could not begin: its directory, and its row unless the directory stays.
void remove_unbegun(const run::Session& session, store::Writer& writer) {
  std::error_code error;
  const bool is_gone = session.state_dir.remove_run_dir(session.run.id) ||
                       !std::filesystem::exists(session.state_dir.run_dir(session.run.id), error);
  if (is_gone) (void)writer.remove_runs({session.run.id});
}

/// By job: what the run was begun with.
std::vector<core::IntervalSet> begun_with(const run::Session& session) {
  std::vector<core::IntervalSet> selected;
  for (const auto& job : session.run.jobs) {
    auto slices = run::parse_stored_selection(job.selection, job.slices);
    assert(slices);  // the session made it
    selected.push_back(std::move(*slices));
  }
  return selected;
}

/// By job: what this invocation is about, done or not.
std::vector<core::IntervalSet> slices_of(const run::Session& session) {
  std::vector<core::IntervalSet> slices;
  for (const auto& plan : session.plans) {
    core::IntervalSet all = plan.todo;
    all.insert(plan.succeeded);
    slices.push_back(std::move(all));
  }
  return slices;
}

std::string status_text(const RunCommand& command, const core::Spec& spec, const run::Loop& loop,
                        const std::vector<core::IntervalSet>& slices, const std::string& run_dir) {
  report::StatusSource source;
  source.view = loop.view();
  source.slices = slices;
  source.context = {.labels = labels_of(&spec),
                    .stdout_of = {},
                    .run_dir = run_dir,
                    .resume_command = resume_command(command.common, spec.path),
                    .json_command = json_command(command.common, spec.path, "")};
  source.now = util::wall_now();
  std::string text;
  const auto format = report::find_format("json");
  if (format) (void)format->write(source, [&text](std::string_view part) { text += part; });
  return text;
}

/// Returns the path of the socket, "" where there is none: the run goes on without.
std::string listen(control::Server& server, control::Access access, const store::StateDir& dir, log::RunLog& log) {
  auto listener = control::listen_for(dir.path());
  if (!listener) {
    log.line(log::Level::info, "the run cannot be steered: " + listener.error().message);
    return {};
  }
  std::string path = listener->path;
  server.serve(std::move(*listener), std::move(access));
  return path;
}

/// How a session begins, besides itself.
struct Start {
  run::Capacity capacity;
  std::optional<mode_t> umask;  ///< of the slices, where it is not ours
  pid_t guard = 0;              ///< 0: there is none
  std::string cgroup;           ///< of this run; "": there is none
  std::string survivors;        ///< what was found alive and ended, for run.log
};

/// And says whether all of it was kept; `result` knows it then, too.
void close_record(std::unique_ptr<store::Writer>& writer, run::LoopResult& result, Face& face,
                  const std::string& how_to_resume) {
  const auto closed = writer->close();
  writer.reset();
  if (!closed && result.record_failed.empty()) {
    result.record_failed = closed.error().message;
    face.say("runner: " + result.record_failed + "\n");
  } else if (!result.record_failed.empty()) {
    face.say(
        "runner: the record could not be kept: " + util::escape_lines(result.record_failed) +
        "\nrunner: slices that ended since then are not in the record and will run again; when it is there and can be "
        "written: " +
        how_to_resume + "\n");
  }
}

/// Output flows as fast as it is read; a reader that does not read is left by Ctrl-C, or when nobody could press it.
/// Returns why not all of the slices' output could be printed, "" if it was.
std::string print_rest(boost::asio::io_context& io, Face& face, const std::function<bool()>& is_lost) {
  io.restart();
  while (!io.stopped() && !is_lost()) io.run_for(std::chrono::milliseconds(250));
  if (!is_lost()) face.flush();
  return face.print_failed();
}

int run_session(const RunCommand& command, const core::Spec& spec, run::Session session, const Start& start) {
  const std::string run_dir = session.state_dir.run_dir(session.run.id);
  boost::asio::io_context io(1);
  Face face(io, command, spec, session, start.capacity.resources.slots, start.guard);
  log::RunLog log({.level = log::Level::error, .write = [&](std::string_view line) { face.say(line); }});
  const Wanted wanted = wanted_of(session);
  const auto slices = slices_of(session);
  control::Server server(io);
  run::Loop loop(io, {.spec = &spec,
                      .plans = std::move(session.plans),
                      .capacity = start.capacity.resources,
                      .most_slots = start.capacity.most_slots,
                      .most_slots_because = start.capacity.most_slots_because,
                      .view = std::move(session.view),
                      .observers = {&face.console(), &server},
                      .log = &log,
                      .guard_is_lost = [&] { return start.guard != 0 && proc::is_orphan(start.guard); },
                      .end_leftovers = [&] { return end_leftovers(start.guard, start.cgroup); }});
  exec::ExecutorOptions executor_options;
  executor_options.run_dir = run_dir;
  executor_options.run_id = session.run.id;
  executor_options.cgroup = start.cgroup;
  executor_options.tap = face.tap();
  executor_options.umask = start.umask;
  auto executor = exec::make_executor("local", io, loop, executor_options);
  if (!executor) {
    complain(executor.error().message);
    return kUsage;
  }
  store::WriterOptions writer_options;
  writer_options.keep = [&session] { return session.lock.keep(); };
  auto writer = store::Writer::open(session.state_dir.database(), loop, writer_options);
  // The record first: whatever is made after it can be found again.
  auto ready = writer ? session.record(**writer) : util::Result<void>(writer.error());
  if (ready) ready = session.state_dir.create_run_dir(session.run.id, spec.text);
  if (ready) ready = log.open(run_dir + "/run.log", spec.log, spec.name);
  if (ready) ready = session.state_dir.set_latest(session.run.id);
  if (!ready) {
    // A run that could not begin is none to be resumed, nor one for whose sake older ones are forgotten.
    if (writer && !session.resumed) remove_unbegun(session, **writer);
    complain(ready.error().message);
    return kRecordFailed;
  }
  prune(spec, session, **writer, loop);
  face.connect(loop, **executor);
  if (!start.survivors.empty()) log.warn(start.survivors);
  if (session.unfinished) loop.notice(unfinished_message(session, command, spec));
  for (const std::string& message : session.notices) loop.notice(message);
  if (!start.capacity.note.empty()) loop.notice(start.capacity.note);
  if (!session.lost.empty()) log.warn(lost_message(session, labels_of(&spec)));  // the console says so itself
  const std::string control_path = listen(
      server,
      {.spec = &spec,
       .slices = slices,
       .view = [&loop]() -> const core::RunView& { return loop.view(); },
       .status = [&, selected = begun_with(session)] { return status_text(command, spec, loop, selected, run_dir); },
       .steer = [&loop](core::Steering what, const std::vector<std::string>& chosen,
                        const std::string& by) { return loop.steer(what, chosen, by); },
       .scale = [&loop](std::uint32_t n, const std::string& by) { return loop.scale(n, by); }},
      session.state_dir, log);
  run::LoopResult result = loop.run(**writer, **executor);
  if (!control_path.empty()) control::remove_place(session.state_dir.path(), control_path);
  face.disconnect();
  executor->reset();
  close_record(*writer, result, face, resume_command(command.common, spec.path));
  if (!result.record_failed.empty()) log.warn("exit 4: " + result.record_failed);
  const auto is_lost = [&] { return start.guard != 0 && proc::is_orphan(start.guard); };
  const std::string unprinted = print_rest(io, face, is_lost);
  if (!unprinted.empty()) log.warn("not all of the slices' output was printed: " + unprinted);
  log.close();
  const int code = exit_code(result, wanted);
  if (unprinted.empty() && result.output_lost.empty()) return code;
  if (!result.output_lost.empty()) {
    complain("logs of slices are not complete: " + result.output_lost);
  } else {
    complain("not all of the slices' output was printed: " + unprinted + "; their logs have it: runner logs " +
             spec_arguments(command.common, spec.path) + " SLICE");
  }
  return code == kSucceeded || code == kSlicesFailed ? kRecordFailed : code;
}

}  // namespace

int run(const RunCommand& command) {
  std::signal(SIGPIPE, SIG_IGN);  // a reader that went away must not end the run; slices get the default back
  std::signal(SIGXFSZ, SIG_IGN);  // a file size limit is a full disk to us, not a reason to die
  if (const std::string problem = proc::descriptor_problem(); !problem.empty()) {
    complain(problem);
    return kUsage;
  }
  const auto umask = proc::let_owner_in();
  const pid_t guard = start_guard(command);
  const auto loaded = load_spec_to_run(command);
  if (!loaded) return kUsage;
  const core::Spec& spec = loaded->spec;
  const bool is_live = command.may_steer && store::StateDir(spec.state_dir).owner();
  if (is_live && resume_live(spec.state_dir, command.slices)) return kSucceeded;
  const host::Machine machine = host::detect();
  if (!fits(spec, machine)) return kUsage;
  auto opened = open_session(command, *loaded);
  if (const auto* code = std::get_if<ExitCode>(&opened)) return *code;
  auto& session = std::get<run::Session>(opened);
  const bool captured = command.print.value_or(spec.print) != core::Print::none;
  Start start{.capacity = run::capacity(spec, machine, captured),
              .umask = umask,
              .guard = guard,
              .cgroup = {},
              .survivors = {}};
  proc::remove_empty_run_cgroups();  // of runs that were killed behind their end, too
  // Before they are recorded as lost: killed here, the next resume does it.
  if (const auto code = end_survivors(command, spec, session, start.survivors)) return *code;
  // That a change was accepted is to be recorded, for the next resume.
  const bool accepts = session.run.changed && command.slices.empty();
  if (command.resume && !session.has_work() && !accepts) {
    if (command.common.verbosity >= 0) {
      const std::string change = session.run.changed ? "; the change of the spec is not accepted by that" : "";
      complain(!command.slices.empty()
                   ? "nothing to run: every slice of --slices succeeded in run " + session.run.id + change
                   : "nothing left to run: every slice of run " + session.run.id + " succeeded");
    }
    // A run that was killed after its last slice still has its own end to record.
    if (!command.slices.empty() || session.completed) return kSucceeded;
  }
  start.cgroup = enter_cgroup(guard, session.run.id);
  session.run.containment = session.view.info.containment = containment(guard, start.cgroup);
  const int code = run_session(command, spec, std::move(session), start);
  if (const auto told = end_leftovers(guard, start.cgroup); !told.empty())
    complain(told);  // of a run that could not be recorded
  return code;
}

}  // namespace runner::app
