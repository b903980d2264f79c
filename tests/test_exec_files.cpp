// What attempts read and write: stdin, stdout, logs and their limit, declared outputs, output that is shown.
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <doctest/doctest.h>

#include "exec/attempt_files.hpp"
#include "exec/slot_log.hpp"
#include "exec_harness.hpp"

namespace runner::exec {
namespace {

struct Local : test::Harness {
  explicit Local(core::OutputTap* tap = nullptr) { make_local({run_dir.path(), "files-test", tap, false, ""}); }
};

std::vector<std::string> files_below(const std::string& dir) {
  std::vector<std::string> found;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(dir)) {
    if (entry.is_regular_file()) found.push_back(entry.path().filename());
  }
  return found;
}

}  // namespace

TEST_CASE("stdout and stderr are in the log in the order in which they were written") {
  Local t;
  t.shell(0, "echo one; echo two >&2; echo three");
  t.run_until_finished(1);
  CHECK(t.output(0) == "one\ntwo\nthree\n");
  struct stat info {};
  REQUIRE(::stat(t.path(t.endings.at(0).log).c_str(), &info) == 0);
  CHECK((info.st_mode & 0777U) == 0600U);
}

TEST_CASE("slices that write nothing leave no file") {
  Local t;
  t.on_finished = [&](const core::AttemptId& id) {
    if (id.slice < 20) t.shell(id.slice + 1, "exit 0", 0);
  };
  t.shell(0, "exit 0", 0);
  t.run_until_finished(21);
  CHECK(files_below(t.run_dir.path()) == std::vector<std::string>{".slot-0.0.20.1.log"});
  t.executor.reset();
  CHECK(files_below(t.run_dir.path()).empty());
}

TEST_CASE("a draft is renamed only where the record may have its name for another attempt") {
  Local t;
  t.shell(0, "exit 0", 0);
  t.run_until_finished(1);
  auto request = t.request(1, {"/bin/true"});
  request.slot = 0;
  request.new_draft = false;
  t.executor->launch(std::move(request));
  t.run_until_finished(2);
  CHECK(t.endings.at(1).detail == "");
  CHECK(files_below(t.run_dir.path()) == std::vector<std::string>{".slot-0.0.0.1.log"});
  t.shell(2, "exit 0", 0);
  t.run_until_finished(3);
  CHECK(files_below(t.run_dir.path()) == std::vector<std::string>{".slot-0.0.2.1.log"});
}

TEST_CASE("stdin is /dev/null unless there is a file for it") {
  Local t;
  std::ofstream(t.path("in.txt")) << "words\n";
  t.shell(0, "readlink /proc/$$/fd/0");
  auto request = t.request(1, {"cat"});
  request.attempt.stdin_path = t.path("in.txt");
  t.executor->launch(std::move(request));
  t.run_until_finished(2);
  CHECK(t.output(0) == "/dev/null\n");
  CHECK(t.output(1) == "words\n");
}

TEST_CASE("an input or an output that cannot be opened is named") {
  Local t;
  ::mkdir(t.path("dir").c_str(), 0755);
  std::ofstream(t.path("file")) << "x";
  const auto launch = [&](std::uint64_t slice, const std::string& in, const std::string& out) {
    auto request = t.request(slice, {"true"});
    if (!in.empty()) request.attempt.stdin_path = t.path(in);
    if (!out.empty()) request.attempt.stdout_path = t.path(out);
    t.executor->launch(std::move(request));
  };
  launch(0, "in/3.dat", "");
  launch(1, "dir", "");
  launch(2, "", "dir");
  launch(3, "", "file/out.csv");
  t.run_until_finished(4);
  for (std::uint64_t slice = 0; slice < 4; ++slice) CHECK(t.endings.at(slice).outcome == core::Outcome::not_started);
  CHECK(t.endings.at(0).detail == "cannot read stdin in/3.dat: No such file or directory");
  CHECK(t.endings.at(1).detail == "cannot read stdin dir: Is a directory");
  CHECK(t.endings.at(2).detail == "cannot write stdout dir: Is a directory");
  CHECK(t.endings.at(3).detail.find("stdout file/out.csv: Not a directory") != std::string::npos);
  CHECK(t.pids.empty());
}

TEST_CASE("stdout goes to its file, with the directories made, and is emptied first; stderr stays in the log") {
  Local t;
  for (std::uint64_t slice = 0; slice < 2; ++slice) {
    auto request = t.request(slice, {"/bin/sh", "-c", "echo data; echo note >&2"});
    request.attempt.stdout_path = t.path("deep/er/out.csv");
    t.executor->launch(std::move(request));
    t.run_until_finished(slice + 1);
    CHECK(test::contents(t.path("deep/er/out.csv")) == "data\n");
    CHECK(t.output(slice) == "note\n");
  }
}

TEST_CASE("a named pipe without a writer does not hold the loop") {
  Local t;
  REQUIRE(::mkfifo(t.path("fifo").c_str(), 0600) == 0);
  auto request = t.request(0, {"/bin/sh", "-c", "cat; echo end"});
  request.attempt.stdin_path = t.path("fifo");
  t.executor->launch(std::move(request));
  t.run_until_finished(1);
  CHECK(t.output(0) == "end\n");
}

TEST_CASE("a declared output must be there and be new") {
  Local t;
  std::ofstream(t.path("old.csv")) << "x";
  timespec past[2] = {{1000, 0}, {1000, 0}};
  REQUIRE(::utimensat(AT_FDCWD, t.path("old.csv").c_str(), past, 0) == 0);
  std::uint64_t slice = 0;
  for (const char* command : {"echo x > new.csv", "exit 0", "exit 4"}) {
    for (const char* output : {"new.csv", "old.csv", "none.csv"}) {
      auto request = t.request(slice++, {"/bin/sh", "-c", command});
      request.attempt.outputs = {t.path(output)};
      t.executor->launch(std::move(request));
      t.run_until_finished(slice);
      if (slice == 3) ::unlink(t.path("new.csv").c_str());
    }
  }
  CHECK(t.endings.at(0).outcome == core::Outcome::succeeded);
  CHECK(t.endings.at(1).outcome == core::Outcome::missing_output);
  CHECK(t.endings.at(1).detail == "output old.csv is older than this attempt");
  CHECK(t.endings.at(2).detail == "missing output none.csv");
  CHECK(t.endings.at(3).detail == "missing output new.csv");
  CHECK(t.endings.at(3).exit_code == 0);
  CHECK(t.endings.at(8).outcome == core::Outcome::failed);
  CHECK(t.endings.at(8).detail.empty());
}

TEST_CASE("a clock that is set back makes no output older than its attempt") {
  const timespec started{1000, 500'000'000};
  const auto same = [](const timespec& a, const timespec& b) { return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec; };
  using namespace std::chrono_literals;
  CHECK(same(not_after(started, {1060, 450'000'000}, 60s), started));  // as it should be, but for a coarse tick
  CHECK(same(not_after(started, {5000, 0}, 60s), started));            // set forward, or asleep meanwhile
  CHECK(same(not_after(started, {560, 0}, 60s), {500, 0}));            // set back by 500.5 s
  CHECK(same(not_after(started, {560, 250'000'000}, 60500ms), {499, 750'000'000}));
}

TEST_CASE("an output's time is only as exact as its file system") {
  test::TemporaryDirectory dir;
  core::ExpandedAttempt attempt;
  attempt.outputs = {dir.path() + "/out"};
  std::ofstream(attempt.outputs.front()) << "x";
  const auto check = [&](timespec modified, timespec started) {
    const timespec times[2] = {modified, modified};
    REQUIRE(::utimensat(AT_FDCWD, attempt.outputs.front().c_str(), times, 0) == 0);
    return check_outputs(attempt, started).empty();
  };
  CHECK(check({2000, 0}, {2000, 999'999'999}));            // whole seconds
  CHECK(check({2000, 250'000'000}, {2000, 251'234'567}));  // 10 ms
  CHECK_FALSE(check({1999, 0}, {2000, 0}));
  CHECK_FALSE(check({2000, 250'000'001}, {2000, 250'000'002}));
  CHECK_FALSE(check({2000, 240'000'000}, {2000, 251'234'567}));
}

TEST_CASE("a log is cut at its limit and says how much was dropped") {
  for (const bool captured : {false, true}) {
    CAPTURE(captured);
    test::Tap tap;
    tap.keep = false;
    Local t(captured ? &tap : nullptr);
    t.job.log_limit = 10'240;
    t.shell(0, "head -c 1000000 /dev/zero | tr '\\0' x; sleep 0.25; echo more");
    t.shell(1, "head -c 10240 /dev/zero | tr '\\0' x");
    t.run_until_finished(2);
    const std::string text = t.output(0);
    CHECK(text.substr(0, 10'240) == std::string(10'240, 'x'));
    const std::string note = text.substr(10'240);
    CHECK(note.starts_with("\n[runner: log limit 10K reached; "));
    CHECK(note.ends_with(" bytes dropped]\n"));
    const auto dropped = std::stoull(note.substr(note.find("; ") + 2));
    // Exact when the output comes through us; what is written while the file is being cut back is not counted.
    CHECK((captured ? dropped == 989'765 : dropped > 0 && dropped <= 989'765));
    CHECK(t.output(1).size() == 10'240);
    if (captured) CHECK(tap.total == 1'000'005 + 10'240);
  }
}

TEST_CASE("a log that is already there is not overwritten") {
  Local t;
  std::filesystem::create_directories(t.path("slices/0000"));
  std::ofstream(t.path("slices/0000/0.1.log")) << "earlier\n";
  std::ofstream(t.path("slices/.slot-0.0.0.1.log")) << "of a killed runner\n";
  t.shell(0, "echo new");
  t.run_until_finished(1);
  CHECK(t.endings.at(0).log == "slices/0000/0.1.log.1");
  CHECK(t.output(0) == "new\n");
  CHECK(test::contents(t.path("slices/0000/0.1.log")) == "earlier\n");
  CHECK(test::contents(t.path("slices/.slot-0.0.0.1.log")) == "of a killed runner\n");
}

TEST_CASE("a log that cannot be given its name keeps the one it has, and the slot takes another") {
  Local t;
  std::filesystem::create_directories(t.path("slices"));
  std::ofstream(t.path("slices/0000")) << "in the way";
  t.shell(0, "echo first", 0);
  t.run_until_finished(1);
  t.shell(1, "echo second", 0);
  t.run_until_finished(2);
  CHECK(t.endings.at(0).log == "slices/.slot-0.0.0.1.log");
  CHECK(t.endings.at(1).log == "slices/.slot-0.0.1.1.log");
  CHECK(t.output(0) == "first\n");
  CHECK(t.output(1) == "second\n");
}

TEST_CASE("output of a process that was left behind does not get into the next slice's log") {
  Local t;
  t.on_finished = [&](const core::AttemptId& id) {
    if (id.slice < 100) t.shell(id.slice + 1, id.slice % 2 == 0 ? "exit 0" : "(while :; do echo stray; done) &", 0);
  };
  t.shell(0, "exit 0", 0);
  t.run_until_finished(101);
  for (std::uint64_t slice = 1; slice <= 100; slice += 2) CHECK(t.endings.at(slice).log.empty());
}

TEST_CASE("output of a process that left the session does not get into the next slice's log") {
  Local t;
  t.shell(0,
          "setsid sh -c 'echo > ready; until [ -e go ]; do sleep 0.01; done; echo stray; echo > done' & "
          "until [ -e ready ]; do sleep 0.01; done",
          0);
  t.run_until_finished(1);
  t.shell(1, "echo > go; until [ -e done ]; do sleep 0.01; done", 0);
  t.run_until_finished(2);
  CHECK(t.endings.at(0).log.empty());
  CHECK(t.endings.at(1).log.empty());
}

TEST_CASE("slots between two attempts hold no descriptor") {
  Local t;
  const auto descriptors = [] { return std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {}); };
  t.shell(0, "exit 0", 0);
  t.run_until_finished(1);
  const auto before = descriptors();
  for (std::uint32_t slot = 1; slot < 20; ++slot) t.shell(slot, "exit 0", slot);
  t.run_until_finished(20);
  CHECK(descriptors() == before);
}

TEST_CASE("a symbolic link in the place of the log is not followed") {
  Local t;
  std::filesystem::create_directories(t.path("slices"));
  std::ofstream(t.path("precious")) << "keep";
  REQUIRE(::symlink("../precious", t.path("slices/.slot-0.0.0.1.log").c_str()) == 0);
  t.shell(0, "echo overwritten");
  t.run_until_finished(1);
  CHECK(test::contents(t.path("precious")) == "keep");
  CHECK(t.output(0) == "overwritten\n");
}

TEST_CASE("captured output is complete, in pieces of 64 KiB at most, and in the log as well") {
  test::Tap tap;
  Local t(&tap);
  t.shell(0, "head -c 3000000 /dev/zero | tr '\\0' x; echo complaint >&2; exit 3");
  t.run_until_finished(1);
  CHECK(tap.text == std::string(3'000'000, 'x'));
  CHECK(tap.errors == "complaint\n");
  CHECK(tap.largest <= 65'536);
  CHECK(t.output(0).size() == 3'000'010);
  CHECK(t.endings.at(0).exit_code == 3);
}

TEST_CASE("while the tap is not ready nothing is read and the slice waits") {
  test::Tap tap;
  tap.is_ready = false;
  Local t(&tap);
  t.shell(0, "head -c 1000000 /dev/zero; echo x > done");
  t.shell(1, "echo short");
  t.run_until([&] { return t.pids.size() == 2; });
  // The short one has exited, and waits for its output to be taken.
  t.run_until([&] {
    return test::contents("/proc/" + std::to_string(t.pids.at(1)) + "/stat").find(") Z ") != std::string::npos;
  });
  CHECK(t.endings.empty());
  CHECK(tap.total == 0);
  CHECK_FALSE(t.exists("done"));
  t.io.restart();
  t.io.poll();
  const auto exited_by = util::wall_now();
  tap.is_ready = true;
  t.executor->resume_output();
  t.run_until_finished(2);
  CHECK(tap.total == 1'000'006);
  CHECK(t.holds == std::vector<bool>{true, false});
  CHECK(t.endings.at(1).ended_at <= exited_by);
}

TEST_CASE("a tap that is never ready does not keep a killed attempt from ending") {
  test::Tap tap;
  tap.is_ready = false;
  Local t(&tap);
  t.shell(0, "echo words; sleep 1000");
  t.shell(1, "echo words");
  t.run_until([&] { return t.pids.size() == 2; });
  t.executor->signal(t.id(0), How::kill);
  t.executor->signal(t.id(1), How::kill);
  t.run_until_finished(2);
  CHECK(t.endings.at(0).signal == SIGKILL);
}

TEST_CASE("a grandchild that holds the pipe open does not keep the slice from ending") {
  test::Tap tap;
  Local t(&tap);
  tap.keep = false;
  t.shell(
      0,
      "setsid sh -c 'echo $$ > pid; while :; do echo noise; done' & while [ ! -s pid ]; do sleep 0.01; done; echo x");
  t.run_until_finished(1);
  CHECK(t.endings.at(0).outcome == core::Outcome::succeeded);
  CHECK(tap.total >= 2);
  const int stray = std::stoi(test::contents(t.path("pid")));
  ::kill(stray, SIGKILL);  // SIGPIPE ends it as well
  t.run_until([&] { return test::is_dead(stray); });
}

}  // namespace runner::exec
