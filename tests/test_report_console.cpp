#include "report/console.hpp"

#include <pty.h>
#include <sys/ioctl.h>

#include "fakes/report_fixture.hpp"
#include "util/fd.hpp"

using namespace runner;
using namespace runner::test;
using namespace std::chrono_literals;
using core::Outcome;
using report::Console;
using report::ConsoleOptions;
using report::Verbosity;

namespace {

/// A console with a run of its own, and times that only move when told to.
struct Session {
  StringSink sink;
  core::RunView view;
  std::optional<Console> console;
  util::TimePoint steady{};

  Session(std::uint64_t slices, ConsoleOptions options, const std::string& run_dir = ".runner/correlate/runs/r1")
      : view(new_view(slices)) {
    options.now = [this] { return steady; };
    console.emplace(sink, context_of(run_dir), options);
  }
  void tell(const core::Event& event) {
    if (event.kind == core::SystemKind::slice) view.jobs[0].apply(event);
    console->on_event(event, view);
  }
  void tick(util::Duration later) {
    steady += later;
    console->on_tick(view, steady);
  }
  void succeed(std::uint64_t slice) {
    tell(start_event(slice, 1, 0));
    tell(end_event(slice, 1, ending_of(Outcome::succeeded)));
  }
  void end(double second) {
    steady = steady_at(second);
    console->on_end(view);
  }
};

ConsoleOptions options_of(Verbosity verbosity, bool live = false, bool color = false) {
  ConsoleOptions options;
  options.verbosity = verbosity;
  options.slots = 2;
  options.terminal.live = live;
  options.terminal.color = color;
  return options;
}

core::Event failed_with_log(std::uint64_t slice, std::uint32_t number) {
  core::Ending ending = ending_of(Outcome::failed, 3);
  ending.log = log_name(slice, number);
  return end_event(slice, number, ending);
}

/// Start, a success, a retry, a failure, a crash by signal, a notice, the end.
std::string whole_session(Verbosity verbosity, bool color = false) {
  use_utc();
  const TemporaryDirectory dir;
  write_logs(dir);
  dir.write(log_name(17, 2), "ValueError: bad header\n");
  Session session(20, options_of(verbosity, false, color), dir.path());
  session.tell(run_event(core::State::running, 0));
  session.succeed(0);
  session.tell(start_event(17, 1, 1));
  core::Event retry = failed_with_log(17, 1);
  retry.retry_in = 5s;
  retry.state = core::State::running;
  session.tell(retry);
  session.tell(start_event(17, 2, 9));
  session.tell(failed_with_log(17, 2));
  session.console->on_notice("no process could be made (EAGAIN), waiting");
  session.tell(start_event(18, 1, 10));
  session.tell(end_event(18, 1, ending_of(Outcome::killed, 9)));
  session.end(65);
  return replaced(session.sink.take(), dir.path(), "RUNDIR");
}

}  // namespace

TEST_CASE("plain lines tell start, retries, failures and notices, and the summary what is to be done") {
  check_golden("console_normal.txt", whole_session(Verbosity::normal));
}

TEST_CASE("a quiet console writes failures only, and one line that says how to go on") {
  check_golden("console_quiet.txt", whole_session(Verbosity::quiet));
}

TEST_CASE("a verbose console also writes every start and success") {
  check_golden("console_verbose.txt", whole_session(Verbosity::verbose));
}

TEST_CASE("colours are on state words and go out again") {
  check_golden("console_color.txt", replaced(whole_session(Verbosity::verbose, true), "\x1b", "<ESC>"));
}

TEST_CASE("a quiet run in which all slices succeed writes nothing at all") {
  Session session(2, options_of(Verbosity::quiet));
  session.tell(run_event(core::State::running, 0));
  session.succeed(0);
  session.tick(60s);
  session.succeed(1);
  session.console->on_notice("nothing of importance");
  session.end(60);
  CHECK(session.sink.take().empty());
}

TEST_CASE("the last line of a quiet run counts slices alone, and names hooks and services that failed") {
  const std::string next = "; to run what is left: runner 'my jobs.yaml' --resume\n";
  Session session(2, options_of(Verbosity::quiet));
  session.view.jobs.emplace_back("correlate:shutdown", 1, core::JobKind::hook);
  session.view.jobs.emplace_back("correlate:teardown", 1, core::JobKind::hook);
  session.view.jobs.emplace_back("db", 1, core::JobKind::service);
  session.tell(run_event(core::State::running, 0));
  const auto last_line = [&] {
    session.console->on_end(session.view);
    return session.sink.take();
  };
  const auto record = [&](std::size_t job, Outcome outcome) {
    core::AttemptRecord attempt;
    attempt.id = {static_cast<std::uint32_t>(job), 0, 1};
    attempt.ending = ending_of(outcome, 1);
    session.view.jobs[job].add_record(attempt, true);
  };
  session.succeed(0);
  session.succeed(1);
  CHECK(last_line() == "correlate: hook correlate:shutdown did not run, hook correlate:teardown did not run" + next);
  record(1, Outcome::failed);
  record(2, Outcome::timed_out);
  CHECK(last_line() == "correlate: hook correlate:shutdown failed, hook correlate:teardown failed" + next);
  record(3, Outcome::killed);
  session.view.jobs[0] = core::JobView("correlate", 8);
  session.view.jobs[1] = core::JobView("correlate:shutdown", 1, core::JobKind::hook);
  session.view.jobs[2] = core::JobView("correlate:teardown", 1, core::JobKind::hook);
  session.succeed(0);
  CHECK(last_line() == "correlate: 7 of 8 slices did not succeed, service db failed" + next);
}

TEST_CASE("a run in which all slices succeed ends in one line") {
  Session session(2, options_of(Verbosity::normal));
  session.tell(run_event(core::State::running, 0));
  session.succeed(0);
  session.succeed(1);
  session.sink.take();
  session.end(723);
  CHECK(session.sink.take() == "correlate: all 2 slices succeeded in 12m03s\n");
}

TEST_CASE("a resumed run says what is done and which slices may have run before") {
  Session session(100, options_of(Verbosity::normal));
  session.view = mixed_view(false);
  session.view.info.resumes = 1;
  session.tell(run_event(core::State::running, 0));
  CHECK(session.sink.take() ==
        "correlate: resumed: 90 of 100 slices done before, 2 at a time; run 20261121-164328-k3xa\n"
        "correlate: 2 slices may have run before: 60-61\n");
}

TEST_CASE("an interrupted run says what was cancelled and what was not run, without a line for every slice") {
  Session session(10, options_of(Verbosity::normal));
  session.tell(run_event(core::State::running, 0));
  session.succeed(0);
  session.tell(start_event(1, 1, 0));
  session.sink.take();
  session.tell(end_event(1, 1, ending_of(Outcome::cancelled)));
  CHECK(session.sink.take().empty());
  session.view.info.reason = "interrupted by SIGINT";
  session.end(5);
  CHECK(session.sink.take() ==
        "correlate: stopped early: interrupted by SIGINT\n"
        "correlate: 10 slices: 1 succeeded, 1 cancelled, 8 not run in 5.0s\n"
        "  cancelled, 1 slice: 1\n"
        "logs: .runner/correlate/runs/r1/slices\n"
        "to run what is left: runner 'my jobs.yaml' --resume\n");
}

TEST_CASE("a session whose record was lost does not say that a slice is running when it is over") {
  Session session(4, options_of(Verbosity::normal));
  session.tell(run_event(core::State::running, 0));
  session.succeed(0);
  session.tell(start_event(1, 1, 0));  // no end is told without a record
  session.sink.take();
  session.end(5);
  CHECK(session.sink.take().starts_with("correlate: 4 slices: 1 succeeded, 1 not recorded, 2 not run in "));
}

TEST_CASE("the live line is drawn, cleared before other lines, drawn again below them, and gone at the end") {
  Session session(4, options_of(Verbosity::normal, true));
  session.tell(run_event(core::State::running, 0));
  session.sink.take();
  session.tell(start_event(0, 1, 0));
  session.tick(250ms);
  CHECK(session.sink.take() == "\r\x1b[Kcorrelate: 0/4 (0%), ETA ?, 1 running");
  session.tick(1ms);
  CHECK(session.sink.take().empty());  // nothing new to draw
  session.tell(failed_with_log(0, 1));
  CHECK(session.sink.take() ==
        "\r\x1b[Kfailed: correlate/0: exit code 3 after 4.1s; log: .runner/correlate/runs/r1/slices/0000/0.1.log\n"
        "correlate: 0/4 (0%), ETA ?, 1 running");
  session.tick(1s);
  CHECK(session.sink.take().starts_with("\r\x1b[Kcorrelate: 1/4 (25%), 1 failed, ETA 13s, 0 running, "));
  session.end(2);
  const std::string last = session.sink.take();
  CHECK(last.starts_with("\r\x1b[Kcorrelate: 4 slices: "));
  CHECK(last.ends_with("--resume\n"));
}

TEST_CASE("a slice that ended for good and is asked to run again is neither done nor failed until it ends again") {
  Session session(4, options_of(Verbosity::normal, true));
  session.tell(run_event(core::State::running, 0));
  const auto drawn = [&] {
    session.sink.take();
    session.tick(250ms);
    return session.sink.take();
  };
  for (std::uint64_t slice = 0; slice < 3; ++slice) {
    session.tell(start_event(slice, 1, 0));
    session.tell(failed_with_log(slice, 1));
  }
  CHECK(drawn().starts_with("\r\x1b[Kcorrelate: 3/4 (75%), 3 failed, "));
  for (std::uint64_t slice = 0; slice < 3; ++slice) session.tell(start_event(slice, 2, 1));
  CHECK(drawn().starts_with("\r\x1b[Kcorrelate: 0/4 (0%), ETA "));
  session.tell(failed_with_log(0, 2));
  session.tell(end_event(1, 2, ending_of(Outcome::succeeded)));
  CHECK(drawn().starts_with("\r\x1b[Kcorrelate: 2/4 (50%), 1 failed, "));
  session.tell(end_event(0, 3, ending_of(Outcome::not_started)));  // without ever having run
  session.succeed(3);
  CHECK(drawn().starts_with("\r\x1b[Kcorrelate: 3/4 (75%), 1 failed, "));
}

TEST_CASE("the live line fits the terminal, follows its width, and is not drawn in the background") {
  unsigned columns = 27;
  ConsoleOptions options = options_of(Verbosity::normal, true);
  options.terminal.columns = [&] { return columns; };
  Session session(400, options);
  session.tell(run_event(core::State::running, 0));
  session.sink.take();
  const auto drawn = [&] {
    session.tick(250ms);
    return replaced(session.sink.take(), "\r\x1b[K", "");
  };
  CHECK(drawn() == "correlate: 0/400 (0%)");
  columns = 30;
  CHECK(drawn() == "correlate: 0/400 (0%), ETA ?");
  columns = 20;
  CHECK(drawn() == "0/400 (0%)");
  columns = 8;
  CHECK(drawn().empty());
  columns = 30;
  CHECK_FALSE(drawn().empty());
  columns = 0;
  session.tick(250ms);
  CHECK(session.sink.take() == "\r\x1b[K");
}

TEST_CASE("plain progress comes at tenths of the way, at most every 30 seconds, and as a sign of life") {
  Session session(100, options_of(Verbosity::normal));
  session.tell(run_event(core::State::running, 0));
  session.sink.take();
  session.tick(1s);
  CHECK(session.sink.take().empty());
  for (std::uint64_t slice = 0; slice < 15; ++slice) session.succeed(slice);
  session.tick(29s);
  CHECK(session.sink.take().empty());  // a tenth is done, but it is too soon
  session.tick(1s);
  CHECK(session.sink.take().starts_with("correlate: 15/100 (15%), ETA "));
  session.succeed(15);
  session.tick(60s);
  CHECK(session.sink.take().empty());  // no further tenth
  session.tick(540s);
  CHECK(session.sink.take().starts_with("correlate: 16/100 (16%), ETA "));
}

TEST_CASE("lines that nobody reads are counted instead of piling up") {
  Session session(10, options_of(Verbosity::normal));
  session.tell(run_event(core::State::running, 0));
  session.sink.take();
  session.sink.set_ready(false);
  for (std::uint64_t slice = 0; slice < 3; ++slice) session.tell(failed_with_log(slice, 1));
  session.tick(1s);
  CHECK(session.sink.take().empty());
  session.sink.set_ready(true);
  session.tick(1s);
  CHECK(session.sink.take() == "notice: 3 lines were left out here: stderr was not read in time; run.log has them\n");
}

TEST_CASE("names and messages cannot write control characters to the terminal") {
  Session session(10, options_of(Verbosity::normal));
  session.tell(run_event(core::State::running, 0));
  core::Event event = failed_with_log(0, 1);
  event.name = "correlate/a\x1b]0;title\x07\n";
  session.tell(event);
  session.console->on_notice("a\rb");
  const std::string text = session.sink.take();
  CHECK(text.find('\x1b') == std::string::npos);
  CHECK(text.find('\r') == std::string::npos);
  CHECK(text.find("correlate/a\\x1b]0;title\\x07\\n: exit code 3") != std::string::npos);
}

TEST_CASE("colours and the live line depend on the terminal, TERM, NO_COLOR and --color") {
  using report::ColorMode;
  using report::detect_terminal;
  int master = -1;
  int slave = -1;
  REQUIRE(::openpty(&master, &slave, nullptr, nullptr, nullptr) == 0);
  const util::Fd screen(master);
  const util::Fd terminal(slave);
  const auto pipe = util::make_pipe();
  ::unsetenv("NO_COLOR");
  ::setenv("TERM", "xterm", 1);
  CHECK(detect_terminal(slave, ColorMode::automatic).live);
  CHECK(detect_terminal(slave, ColorMode::automatic).color);
  CHECK_FALSE(detect_terminal(slave, ColorMode::never).color);
  CHECK_FALSE(detect_terminal(pipe->write.get(), ColorMode::automatic).live);
  CHECK_FALSE(detect_terminal(pipe->write.get(), ColorMode::automatic).color);
  CHECK(detect_terminal(pipe->write.get(), ColorMode::always).color);

  const winsize narrow{24, 44, 0, 0};
  REQUIRE(::ioctl(master, TIOCSWINSZ, &narrow) == 0);
  CHECK(detect_terminal(slave, ColorMode::automatic).columns() == 44);

  ::setenv("NO_COLOR", "1", 1);
  CHECK(detect_terminal(slave, ColorMode::automatic).live);
  CHECK_FALSE(detect_terminal(slave, ColorMode::automatic).color);
  CHECK(detect_terminal(slave, ColorMode::always).color);
  ::unsetenv("NO_COLOR");
  ::setenv("TERM", "dumb", 1);
  CHECK_FALSE(detect_terminal(slave, ColorMode::automatic).live);
  CHECK_FALSE(detect_terminal(slave, ColorMode::automatic).color);
}
