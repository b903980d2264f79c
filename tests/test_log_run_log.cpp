#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <regex>

#include "log/logger.hpp"
#include "log_support.hpp"
#include "util/units.hpp"

using namespace runner;
using runner::log::Level;
using runner::log::RunLog;

namespace {

core::LogSpec spec_with(std::string level = "info", std::string pattern = "") {
  core::LogSpec spec;
  spec.level = std::move(level);
  spec.pattern = std::move(pattern);
  return spec;
}

util::WallTime at(std::int64_t micros) {
  return util::WallTime(std::chrono::microseconds(micros));
}

}  // namespace

TEST_CASE("a transition is logged with its own time, name, pid and state") {
  test::TemporaryDirectory dir;
  RunLog log;
  REQUIRE(log.open(dir / "run.log", spec_with(), "correlate"));
  log.transition(at(1'795'279'408'843'830), "correlate/17", 29720, core::State::running);
  log.close();
  const std::string expected = util::format_local(at(1'795'279'408'843'830), true);
  CHECK(test::contents(dir / "run.log") == expected + " [correlate/17] pid:29720 running\n");
}

TEST_CASE("the file is the owner's alone and is appended to") {
  test::TemporaryDirectory dir;
  for (const char* text : {"first", "second"}) {
    RunLog log;
    REQUIRE(log.open(dir / "run.log", spec_with("info", "%v"), "correlate"));
    log.line(Level::info, text);
  }
  CHECK(test::contents(dir / "run.log") == "first\nsecond\n");
  struct stat info {};
  REQUIRE(::stat((dir / "run.log").c_str(), &info) == 0);
  CHECK((info.st_mode & 0777) == 0600);
}

TEST_CASE("a pattern names system, level and text") {
  test::TemporaryDirectory dir;
  RunLog log({Level::off, {}});
  REQUIRE(log.open(dir / "run.log", spec_with("info", "%l|%n|%*|%v"), "correlate"));
  log.warn("no process could be made");
  log.error("broken");
  log.transition(at(0), "correlate/3", 7, core::State::terminated, "exit code 3");
  log.close();
  CHECK(test::contents(dir / "run.log") ==
        "warning|correlate|warning: |no process could be made\n"
        "error|correlate|error: |broken\n"
        "info|correlate/3||pid:7 terminated, exit code 3\n");
}

TEST_CASE("control characters in names, details and texts are escaped") {
  test::TemporaryDirectory dir;
  RunLog log({Level::off, {}});
  REQUIRE(log.open(dir / "run.log", spec_with("info", "[%n] %v"), "co\nrrelate"));
  log.transition(at(0), "correlate/\x1b[2J", 7, core::State::running, "a\nb");
  log.warn("two\nlines");
  log.close();
  CHECK(test::contents(dir / "run.log") == "[correlate/\\x1b[2J] pid:7 running, a\\nb\n[co\\nrrelate] two\\nlines\n");
}

TEST_CASE("file and console have levels of their own") {
  test::TemporaryDirectory dir;
  std::string console;
  RunLog log({Level::error, [&console](std::string_view line) { console += line; }});
  REQUIRE(log.open(dir / "run.log", spec_with("debug", "%v"), "correlate"));
  log.line(Level::trace, "trace");
  log.line(Level::debug, "debug");
  log.warn("warn");
  log.error("error");
  log.close();
  log.error("after the file was closed");
  CHECK(test::contents(dir / "run.log") == "debug\nwarn\nerror\n");
  CHECK(console == "runner: error\nrunner: after the file was closed\n");
}

TEST_CASE("an unknown level or a directory that is not there is an error, and the console goes on") {
  test::TemporaryDirectory dir;
  std::string console;
  RunLog log({Level::warn, [&console](std::string_view line) { console += line; }});
  const auto level = log.open(dir / "run.log", spec_with("loud"), "correlate");
  REQUIRE_FALSE(level);
  CHECK(level.error().message == "log level 'loud': use trace, debug, info, warn, error or off");
  const auto missing = log.open(dir / "none/run.log", spec_with(), "correlate");
  REQUIRE_FALSE(missing);
  CHECK(missing.error().errno_value == ENOENT);
  log.warn("still here");
  CHECK(console == "runner: still here\n");
}

TEST_CASE("an event is logged with how it ended, its retry and its reason") {
  test::TemporaryDirectory dir;
  RunLog log;
  REQUIRE(log.open(dir / "run.log", spec_with("info", "[%n] %v"), "correlate"));
  core::Event event;
  event.name = "correlate/17";
  event.pid = 29720;
  event.state = core::State::completed;
  event.ending = core::Ending{};
  log.event(event);
  event.state = core::State::running;
  event.ending->outcome = core::Outcome::failed;
  event.ending->exit_code = 3;
  event.retry_in = std::chrono::seconds(5);
  log.event(event);
  event.state = core::State::terminated;
  event.retry_in.reset();
  event.reason = "max_failed: 6 slices failed, 5 allowed";
  log.event(event);
  log.close();
  CHECK(test::contents(dir / "run.log") ==
        "[correlate/17] pid:29720 completed\n[correlate/17] pid:29720 running, " + core::describe(*event.ending) +
            ", again in " + util::format_duration_short(std::chrono::seconds(5)) +
            "\n[correlate/17] pid:29720 terminated, " + core::describe(*event.ending) +
            ", max_failed: 6 slices failed, 5 allowed\n");
}

TEST_CASE("a line is in the file soon after it was logged, without a close") {
  test::TemporaryDirectory dir;
  RunLog log;
  REQUIRE(log.open(dir / "run.log", spec_with("info", "%v"), "correlate"));
  log.line(Level::info, "now");
  CHECK(test::becomes_true([&] { return test::contents(dir / "run.log") == "now\n"; }));
}

TEST_CASE("no line is lost or torn over rotated files, and only max_files old ones are kept") {
  test::TemporaryDirectory dir;
  auto spec = spec_with("info", "%v");
  spec.max_size = 10'000;
  spec.max_files = 500;
  constexpr int kLines = 50'000;
  {
    RunLog log;
    REQUIRE(log.open(dir / "run.log", spec, "correlate"));
    for (int i = 0; i < kLines; ++i) log.line(Level::info, "line " + std::to_string(i) + " end");
  }
  std::string all;
  int files = 0;
  for (int n = 500; n > 0; --n) {
    const std::string path = dir / ("run." + std::to_string(n) + ".log");
    if (!std::filesystem::exists(path)) continue;
    ++files;
    CHECK(std::filesystem::file_size(path) <= spec.max_size);
    all += test::contents(path);
  }
  all += test::contents(dir / "run.log");
  std::string expected;
  for (int i = 0; i < kLines; ++i) expected += "line " + std::to_string(i) + " end\n";
  CHECK(files > 50);
  CHECK((all == expected));  // in parentheses: do not print a megabyte

  spec.max_files = 2;
  test::TemporaryDirectory small;
  {
    RunLog log;
    REQUIRE(log.open(small / "run.log", spec, "correlate"));
    for (int i = 0; i < 10'000; ++i) log.line(Level::info, "line " + std::to_string(i) + " end");
  }
  CHECK(std::filesystem::exists(small / "run.2.log"));
  CHECK_FALSE(std::filesystem::exists(small / "run.3.log"));
}

TEST_CASE("a full disk is said once and what did not fit is retried") {
  std::string console;
  RunLog log({Level::error, [&console](std::string_view line) { console += line; }});
  REQUIRE(log.open("/dev/full", spec_with("info", "%v"), "correlate"));
  log.line(Level::info, "first");
  REQUIRE(test::becomes_true([&] {
    log.line(Level::info, "more");
    return !console.empty();
  }));
  log.line(Level::info, "more");
  log.close();
  CHECK(console == "runner: /dev/full: No space left on device; the run goes on, this log may have gaps\n");
}
