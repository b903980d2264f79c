// The local executor where short attempts follow each other in lanes.
#include <signal.h>
#include <sys/wait.h>

#include <doctest/doctest.h>
#include <algorithm>
#include <chrono>
#include <filesystem>
#include <thread>

#include "exec_harness.hpp"

namespace runner::exec {
namespace {

using namespace std::chrono_literals;

/// Nothing takes long in its lanes, on however busy a machine, unless that is what is asked for.
struct Laned : test::Harness {
  explicit Laned(util::Duration longest = 1min, bool force_sigchld = false) {
    ExecutorOptions options{.run_dir = run_dir.path(), .run_id = "lanes"};
    options.longest_in_lane = longest;
    options.force_sigchld = force_sigchld;
    make_local(options);
  }

  LaunchRequest script(std::uint64_t slice, const std::string& text) {
    LaunchRequest made = request(slice, {"/bin/sh", "-c", text});
    made.slot = 0;
    made.attempt.env = {"RUNNER_SLOT=0"};
    return made;
  }
  void offer(std::uint64_t slice, const std::string& text) {
    LaunchRequest made = script(slice, text);
    made.new_draft = false;
    executor->offer(std::move(made));
  }
  void launch(std::uint64_t slice, const std::string& text, std::uint32_t slot = 0) {
    LaunchRequest made = script(slice, text);
    made.slot = slot;
    executor->launch(std::move(made));
  }
  /// Without the loop: what happens in lanes alone.
  bool wait_for_file(const std::string& file) const {
    const auto deadline = std::chrono::steady_clock::now() + 1min;
    while (!exists(file) && std::chrono::steady_clock::now() < deadline) std::this_thread::sleep_for(1ms);
    return exists(file);
  }
  [[nodiscard]] bool was_told(const std::string& line) const { return std::ranges::find(log, line) != log.end(); }
};

using Lines = std::vector<std::string>;

/// Those that the threads of this process block whose name begins so; bit n-1 for signal n.
std::vector<std::uint64_t> blocked_by_threads(const std::string& name) {
  std::vector<std::uint64_t> masks;
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
    if (!test::contents(task.path() / "comm").starts_with(name)) continue;
    const std::string status = test::contents(task.path() / "status");
    const std::string label = "SigBlk:\t";
    masks.push_back(std::stoull(status.substr(status.find(label) + label.size(), 16), nullptr, 16));
  }
  return masks;
}

bool has_signal(std::uint64_t mask, int signal) {
  return ((mask >> static_cast<unsigned>(signal - 1)) & 1U) != 0;
}

}  // namespace

TEST_CASE("what was offered follows what succeeds, in order, in its slot, and is told so") {
  Laned t;
  REQUIRE(t.executor->takes_offers(2));
  for (std::uint64_t slice = 1; slice <= 3; ++slice) t.offer(slice, "echo $RUNNER_SLOT of " + std::to_string(slice));
  t.launch(0, "exit 0", 1);
  t.run_until_finished(4);
  CHECK(t.log == Lines{"started 0", "finished 0", "followed 1", "started 1", "finished 1", "followed 2", "started 2",
                       "finished 2", "followed 3", "started 3", "finished 3"});
  for (std::uint64_t slice = 1; slice <= 3; ++slice) {
    CHECK(t.output(slice) == "1 of " + std::to_string(slice) + "\n");
    CHECK(t.endings.at(slice).outcome == core::Outcome::succeeded);
    CHECK(t.endings.at(slice).ended_at >= t.endings.at(slice).started_at);
    CHECK(t.endings.at(slice).usage.max_rss_kib > 0);
  }
  CHECK(t.endings.at(0).log.empty());
}

TEST_CASE("nothing follows a failure before it has been told, and nothing at all after a recall") {
  for (const std::string fails : {"exit 3", "kill -9 $$"}) {
    Laned t;
    std::size_t begun = 99;
    t.on_finished = [&](const core::AttemptId& id) {
      if (id.slice == 0) begun = t.exists("began") ? 1 : 0;
      t.executor->recall();
    };
    for (std::uint64_t slice = 1; slice <= 8; ++slice) t.offer(slice, "touch began");
    t.launch(0, fails);
    t.run_until_finished(1);
    CHECK(begun == 0);
    CHECK(t.log == Lines{"started 0", "finished 0"});
    CHECK(t.endings.at(0).outcome == (fails == "exit 3" ? core::Outcome::failed : core::Outcome::killed));
    t.on_finished = nullptr;
    t.launch(20, "exit 0");
    t.run_until_finished(2);
    CHECK_FALSE(t.exists("began"));
  }
}

TEST_CASE("a failure in one slot holds up the others while it is told") {
  Laned t;
  for (std::uint64_t slice = 2; slice <= 9; ++slice) t.offer(slice, "touch began");
  t.on_finished = [&](const core::AttemptId& id) {
    if (id.slice != 0) return;
    std::filesystem::rename(t.path("failing"), t.path("go"));
    CHECK(t.wait_for_file("ended"));
    t.executor->recall();
  };
  t.launch(1, "while ! test -e go; do :; done; touch ended", 1);
  t.launch(0, "touch failing; exit 1");
  t.run_until_finished(2);
  CHECK(t.endings.at(0).exit_code == 1);
  CHECK_FALSE(t.exists("began"));
}

TEST_CASE("a recall tells of what has followed, and of nothing later") {
  Laned t;
  t.offer(1, "touch one; while ! test -e go; do :; done");
  t.offer(2, "touch two");
  t.launch(0, "exit 0");
  REQUIRE(t.wait_for_file("one"));
  CHECK(t.log.empty());
  t.executor->recall();
  CHECK(t.log == Lines{"started 0", "finished 0", "followed 1", "started 1"});
  std::filesystem::rename(t.path("one"), t.path("go"));
  t.run_until_finished(2);
  CHECK(t.endings.at(1).outcome == core::Outcome::succeeded);
  CHECK_FALSE(t.exists("two"));
}

TEST_CASE("a lane leaves signals to the loop, but for SIGCHLD, with which the kernel would wake it for each attempt") {
  Laned t;
  t.offer(1, "touch began; while ! test -e go; do :; done");
  t.launch(0, "exit 0");
  REQUIRE(t.wait_for_file("began"));
  const auto deadline = std::chrono::steady_clock::now() + 1min;
  std::vector<std::uint64_t> masks;
  bool is_launching = true;  // all the others are blocked while a process is made
  while (is_launching && std::chrono::steady_clock::now() < deadline) {
    masks = blocked_by_threads("lane ");
    is_launching = masks.empty() || has_signal(masks[0], SIGSEGV);
    if (!masks.empty() && has_signal(masks[0], SIGCHLD)) break;
  }
  REQUIRE(masks.size() == 1);
  CHECK_FALSE(is_launching);
  CHECK_FALSE(has_signal(masks[0], SIGCHLD));
  CHECK(has_signal(masks[0], SIGTERM));
  CHECK(has_signal(masks[0], SIGUSR1));
  t.run_dir.write("go", "");
  t.run_until_finished(2);
}

TEST_CASE("without pidfds, too, attempts follow each other, and one that takes long is taken over") {
  Laned t(10ms, true);
  t.offer(1, "exit 0");
  t.offer(2, "while ! test -e go; do :; done; exit 7");
  t.launch(0, "exit 0");
  t.run_until([&] { return t.was_told("started 2"); });
  t.launch(20, "exit 0", 1);  // its end is one SIGCHLD more
  t.run_until_finished(3);
  t.run_dir.write("go", "");
  t.run_until_finished(4);
  CHECK(t.endings.at(2).exit_code == 7);
  for (const std::uint64_t slice : {0U, 1U, 20U}) CHECK(t.endings.at(slice).outcome == core::Outcome::succeeded);
}

TEST_CASE("what takes long is told of while it runs, with its log, and can be ended") {
  Laned t(10ms);
  t.offer(1, "echo here; exec sleep 1000");
  t.launch(0, "exit 0");
  t.run_until([&] { return t.was_told("started 1"); });
  CHECK_FALSE(t.running_logs.at(1).empty());
  CHECK(t.running_logs.at(0).empty());
  t.executor->signal(t.id(1), How::terminate);
  t.run_until_finished(2);
  CHECK(t.endings.at(1).outcome == core::Outcome::killed);
  CHECK(t.endings.at(1).signal == SIGTERM);
  CHECK(t.output(1) == "here\n");
  CHECK(test::is_dead(t.pids.at(1)));
}

TEST_CASE("a signal reaches what runs in a lane, or is to") {
  for (const bool has_begun : {false, true}) {
    Laned t;
    t.offer(1, "exit 0");
    t.launch(0, "touch began; exec sleep 1000");
    if (has_begun) REQUIRE(t.wait_for_file("began"));
    t.executor->signal(t.id(0), How::kill);
    CHECK(t.log.empty());
    t.run_until_finished(1);
    const bool was_started = t.was_told("started 0");
    CHECK((was_started || !has_begun));
    CHECK(t.endings.at(0).outcome == (was_started ? core::Outcome::killed : core::Outcome::not_started));
    CHECK_FALSE(t.was_told("started 1"));
  }
}

TEST_CASE("what follows and cannot be launched has its own ending, and nothing follows that before it is told") {
  for (const bool is_expanded : {false, true}) {
    Laned t;
    LaunchRequest missing = t.request(1, {"no-such-program"});
    if (!is_expanded) missing.obstacle = "its command cannot be made";
    t.executor->offer(std::move(missing));
    t.offer(2, "exit 0");
    t.launch(0, "exit 0");
    t.run_until_finished(2);
    CHECK(t.log == Lines{"started 0", "finished 0", "followed 1", "finished 1"});
    CHECK(t.endings.at(1).outcome == core::Outcome::not_started);
    CHECK(t.endings.at(1).detail ==
          (is_expanded ? "cannot execute 'no-such-program': not found in PATH" : "its command cannot be made"));
    // And as the first in a lane.
    LaunchRequest first = t.request(4, {"no-such-program"});
    first.slot = 0;
    t.executor->launch(std::move(first));
    t.run_until_finished(3);
    CHECK(t.endings.at(4).outcome == core::Outcome::not_started);
    CHECK_FALSE(t.was_told("started 2"));
  }
}

TEST_CASE("outputs and codes are judged in a lane as everywhere") {
  Laned t;
  t.offer(1, "exit 0");
  LaunchRequest without = t.script(0, "exit 0");
  without.attempt.outputs = {t.path("out")};
  t.executor->launch(std::move(without));
  t.run_until_finished(1);
  CHECK(t.endings.at(0).outcome == core::Outcome::missing_output);
  t.executor->recall();
  t.offer(3, "exit 0");
  LaunchRequest with = t.script(2, "touch out");
  with.attempt.outputs = {t.path("out")};
  t.executor->launch(std::move(with));
  t.run_until_finished(3);
  CHECK(t.endings.at(2).outcome == core::Outcome::succeeded);
  t.job.success_codes = {7};
  t.offer(5, "exit 0");
  t.launch(4, "exit 0");
  t.run_until_finished(4);
  CHECK(t.endings.at(4).outcome == core::Outcome::failed);
  CHECK_FALSE(t.was_told("started 5"));
}

TEST_CASE("counters that cannot be read are a failure, and nothing follows that before it is told") {
  Laned t;
  std::size_t begun = 0;
  t.on_finished = [&](const core::AttemptId& id) {
    if (id.slice == 0) t.executor->recall();
    begun += t.exists("began") ? 1 : 0;
  };
  t.offer(1, "touch began");
  t.launch(0, "mkdir -p \"${RUNNER_COUNTERS%/*}\"; echo nonsense > \"$RUNNER_COUNTERS\"");
  t.run_until_finished(1);
  CHECK(t.endings.at(0).outcome == core::Outcome::missing_output);
  CHECK(begun == 0);
  CHECK(t.log == Lines{"started 0", "finished 0"});
}

TEST_CASE("what is withdrawn before its lane has begun is cancelled; one that runs goes on") {
  Laned t;
  t.offer(1, "exit 0");
  t.launch(0, "exit 0");
  t.executor->signal(t.id(0), How::withdraw);
  t.run_until_finished(1);
  CHECK(t.endings.at(0).outcome == (t.was_told("started 0") ? core::Outcome::succeeded : core::Outcome::cancelled));
}

TEST_CASE("what an attempt leaves in its group dies with it, also where another follows") {
  Laned t;
  t.offer(1, "exit 0");
  t.launch(0, "sleep 1000 & echo $! > left");
  t.run_until_finished(2);
  const pid_t left = std::stoi(test::contents(t.path("left")));
  CHECK(t.run_until([&] { return test::is_dead(left); }));
}

TEST_CASE("every one of many has its own output, and no draft is left") {
  constexpr std::uint64_t kCount = 400;
  {
    Laned t(10ms);
    t.job.log_limit = 1000;
    for (std::uint64_t slice = 2; slice < kCount; ++slice)
      t.offer(slice, slice % 3 == 0 ? "echo " + std::to_string(slice) : "exit 0");
    t.launch(0, "exit 0", 0);
    t.launch(1, "exit 0", 1);
    // A chain ends where an attempt takes long, on a machine that has other things to do: then it is begun again.
    std::uint64_t more = kCount;
    int chains = 2;
    t.on_finished = [&](const core::AttemptId&) {
      if (!t.is_followed) --chains;
      if (chains > 0 || t.endings.size() >= kCount) return;
      t.launch(more++, "exit 0");
      ++chains;
    };
    t.run_until([&] { return t.endings.size() >= kCount; });
    for (const auto& [slice, ending] : t.endings) {
      CHECK(ending.outcome == core::Outcome::succeeded);
      if (slice >= 2 && slice < kCount && slice % 3 == 0) {
        CHECK(t.output(slice) == std::to_string(slice) + "\n");
      } else {
        CHECK(ending.log.empty());
      }
    }
    t.executor.reset();
    for (const auto& entry : std::filesystem::directory_iterator(t.path("slices")))
      CHECK_FALSE(entry.path().filename().string().starts_with(".slot"));
  }
  CHECK(::waitpid(-1, nullptr, WNOHANG) == -1);
}

TEST_CASE("what runs in a lane dies with the executor") {
  Laned t;
  t.offer(1, "echo $$ > pid.new; mv pid.new pid; exec sleep 1000");
  t.launch(0, "exit 0");
  REQUIRE(t.wait_for_file("pid"));
  const pid_t pid = std::stoi(test::contents(t.path("pid")));
  t.executor.reset();
  CHECK(test::is_dead(pid));
  CHECK(t.log.empty());
}

}  // namespace runner::exec
