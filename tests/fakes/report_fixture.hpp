// What the report tests share: a made-up run, a sink that keeps text, golden files.
#pragma once

#include <doctest/doctest.h>
#include <stdlib.h>  // setenv
#include <time.h>    // tzset

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include "core/run_view.hpp"
#include "report/context.hpp"
#include "temporary_directory.hpp"

namespace runner::test {

class StringSink final : public report::TextSink {
 public:
  void write(std::string_view text) override { text_ += text; }
  [[nodiscard]] bool ready() const override { return ready_; }
  std::string take() { return std::exchange(text_, {}); }
  void set_ready(bool ready) { ready_ = ready; }

 private:
  std::string text_;
  bool ready_ = true;
};

/// Compares with tests/golden/report/<name>; with RUNNER_UPDATE_GOLDEN set, writes that file instead.
inline void check_golden(const std::string& name, const std::string& text) {
  const auto path = std::filesystem::path(__FILE__).parent_path().parent_path() / "golden" / "report" / name;
  if (std::getenv("RUNNER_UPDATE_GOLDEN") != nullptr) std::ofstream(path, std::ios::binary) << text;
  std::ifstream in(path, std::ios::binary);
  std::ostringstream expected;
  expected << in.rdbuf();
  INFO("golden file ", path.string());
  CHECK(text == expected.str());
}

inline std::string replaced(std::string text, const std::string& from, const std::string& to) {
  for (std::size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size()) {
    text.replace(at, from.size(), to);
  }
  return text;
}

inline void use_utc() {
  ::setenv("TZ", "UTC", 1);
  ::tzset();
}

/// 2026-11-21 16:43:28 UTC and so many seconds.
/// The same moment by the steady clock.
inline util::TimePoint steady_at(double second) {
  return util::TimePoint(util::from_seconds(second));
}
inline util::WallTime at(double second) {
  return util::from_unix_seconds(1795279408 + second);
}

inline core::Ending ending_of(core::Outcome outcome, int number = 0, double runtime = 4.1) {
  core::Ending ending;
  ending.outcome = outcome;
  if (outcome == core::Outcome::failed) ending.exit_code = number;
  if (outcome == core::Outcome::killed) ending.signal = number;
  ending.runtime = util::from_seconds(runtime);
  ending.started_at = at(0);
  ending.ended_at = at(runtime);
  return ending;
}

inline std::string log_name(std::uint64_t slice, std::uint32_t number) {
  return "slices/0000/" + std::to_string(slice) + "." + std::to_string(number) + ".log";
}

inline core::Event start_event(std::uint64_t slice, std::uint32_t number, double second) {
  core::Event event;
  event.at = at(second);
  event.state = core::State::running;
  event.id = {0, slice, number};
  event.key = std::to_string(slice);
  event.name = "correlate/" + event.key;
  event.pid = 29720 + static_cast<int>(slice);
  event.log = log_name(slice, number);
  event.since = steady_at(second);
  return event;
}

inline core::Event end_event(std::uint64_t slice, std::uint32_t number, core::Ending ending) {
  core::Event event = start_event(slice, number, 0);
  event.at = ending.ended_at;
  event.state = ending.outcome == core::Outcome::succeeded ? core::State::completed : core::State::terminated;
  event.ending = std::move(ending);
  return event;
}

inline core::Event run_event(core::State state, double second) {
  core::Event event;
  event.at = at(second);
  event.kind = core::SystemKind::run;
  event.state = state;
  event.name = "correlate";
  return event;
}

inline core::RunView new_view(std::uint64_t slices) {
  core::RunView view;
  view.info.id = "20261121-164328-k3xa";
  view.info.name = "correlate";
  view.info.spec_path = "/data/my jobs.yaml";
  view.info.host = "node1";
  view.info.pid = 4711;
  view.info.state = core::State::running;
  view.info.started_at = at(0);
  view.jobs.emplace_back("correlate", slices);
  return view;
}

/// 100 slices: 90 succeeded, 17 and 23 exited with 3, 40 was killed, 41 has no output, 50 could not be executed,
/// 60-61 have no end, 3 never ran.
inline core::RunView mixed_view(bool live) {
  core::RunView view = new_view(100);
  view.info.live = live;
  if (live) view.info.containment = "guard, death signal, cookie";
  const auto add = [&](std::uint64_t slice, std::optional<core::Ending> ending, const std::string& log) {
    core::AttemptRecord record;
    record.id = {0, slice, slice == 23 ? 2U : 1U};
    record.key = std::to_string(slice);
    record.host = "node1";
    record.pid = 1000 + static_cast<int>(slice);
    record.started_at = at(static_cast<double>(slice));
    record.log = log;
    if (ending) ending->log = log;
    record.ending = std::move(ending);
    view.jobs[0].add_record(record, live);
  };
  for (std::uint64_t slice = 0; slice < 97; ++slice) {
    if (slice == 17 || slice == 23) {
      add(slice, ending_of(core::Outcome::failed, 3), log_name(slice, 1));
    } else if (slice == 40) {
      add(slice, ending_of(core::Outcome::killed, 9), "");
    } else if (slice == 41) {
      core::Ending ending = ending_of(core::Outcome::missing_output);
      ending.detail = "missing output out/41.csv";
      add(slice, ending, log_name(slice, 1));
    } else if (slice == 50) {
      core::Ending ending = ending_of(core::Outcome::not_started);
      ending.detail = "cannot execute ./correlate: No such file or directory";
      add(slice, ending, "");
    } else if (slice == 60 || slice == 61) {
      add(slice, std::nullopt, log_name(slice, 1));
    } else {
      add(slice, ending_of(core::Outcome::succeeded), "");
    }
  }
  return view;
}

inline void write_logs(const TemporaryDirectory& dir) {
  dir.write(log_name(17, 1),
            "reading in/17.dat\nTraceback (most recent call last):\nValueError: bad header \x1b[31m!\n\n");
  dir.write(log_name(41, 1), " 99%\r100%\r\n");
}

inline report::ReportContext context_of(const std::string& run_dir) {
  report::ReportContext context;
  context.run_dir = run_dir;
  context.resume_command = "runner 'my jobs.yaml' --resume";
  context.json_command = "runner status 'my jobs.yaml' --json";
  return context;
}

}  // namespace runner::test
