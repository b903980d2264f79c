// What every executor promises, checked on the fake and on the local one in both of its ways to wait.
#include <signal.h>

#include <doctest/doctest.h>
#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "exec/factory.hpp"
#include "exec_harness.hpp"
#include "fakes/fake_executor.hpp"

namespace runner::exec {
namespace {

using fakes::FakeExecutor;
using test::Harness;

enum class Kind { fake, local_pidfd, local_sigchld };

/// The fake plays the few commands that the cases use.
FakeExecutor::Behaviour play(const LaunchRequest& request) {
  FakeExecutor::Behaviour behaviour;
  const std::string& command = request.attempt.command.argv.back();
  core::Ending& ending = behaviour.ending;
  if (request.attempt.command.argv.front() == "no-such-program") {
    ending.outcome = core::Outcome::not_started;
    ending.detail = "cannot execute 'no-such-program': not found in PATH";
  } else if (command.starts_with("exit ")) {
    ending.exit_code = std::stoi(command.substr(5));
    const auto& codes = request.job->success_codes;
    const bool success = std::find(codes.begin(), codes.end(), ending.exit_code) != codes.end();
    ending.outcome = success ? core::Outcome::succeeded : core::Outcome::failed;
  } else if (command.starts_with("kill -")) {
    ending.signal = std::stoi(command.substr(6));
    ending.outcome = core::Outcome::killed;
  } else if (command.starts_with("echo ")) {
    behaviour.output = command.substr(5) + "\n";
  } else if (command.find("sleep") != std::string::npos) {
    behaviour.runs_until_signalled = true;
    behaviour.ignores_terminate = command.starts_with("trap '' TERM");
  }
  return behaviour;
}

struct Contract : Harness {
  explicit Contract(Kind kind, core::OutputTap* tap = nullptr) {
    if (kind == Kind::fake) {
      executor = std::make_unique<FakeExecutor>(
          *this, [this](std::function<void()> f) { boost::asio::post(io, std::move(f)); }, &play, tap);
    } else {
      make_local({run_dir.path(), "contract", tap, kind == Kind::local_sigchld, ""});
    }
  }
};

/// Runs the case for every executor.
template <class Case>
void for_each_executor(Case body) {
  for (const Kind kind : {Kind::fake, Kind::local_pidfd, Kind::local_sigchld}) {
    CAPTURE(static_cast<int>(kind));
    body(kind);
  }
}

}  // namespace

TEST_CASE("an attempt is started, then finished, and each is told once") {
  for_each_executor([](Kind kind) {
    Contract t(kind);
    t.shell(0, "exit 0");
    t.run_until_finished(1);
    CHECK(t.log == std::vector<std::string>{"started 0", "finished 0"});
    CHECK(t.endings.at(0).outcome == core::Outcome::succeeded);
    CHECK(t.pids.at(0) > 0);
    CHECK(t.endings.at(0).ended_at >= t.endings.at(0).started_at);
  });
}

TEST_CASE("nothing is told from inside launch() or signal()") {
  for_each_executor([](Kind kind) {
    Contract t(kind);
    t.shell(0, "exit 0");
    t.command(1, {"no-such-program"});
    t.shell(2, "sleep 1000");
    t.executor->signal(t.id(2), How::kill);
    t.executor->signal(t.id(77), How::kill);
    CHECK(t.log.empty());
    t.run_until_finished(3);
  });
}

TEST_CASE("a program that is not there is an ending and was never started") {
  for_each_executor([](Kind kind) {
    Contract t(kind);
    t.command(0, {"no-such-program", "x"});
    t.run_until_finished(1);
    CHECK(t.log == std::vector<std::string>{"finished 0"});
    CHECK(t.endings.at(0).outcome == core::Outcome::not_started);
    CHECK(t.endings.at(0).detail == "cannot execute 'no-such-program': not found in PATH");
  });
}

TEST_CASE("exit code 9 and death by signal 9 are two things") {
  for_each_executor([](Kind kind) {
    Contract t(kind);
    t.shell(0, "exit 9");
    t.shell(1, "kill -9 $$");
    t.run_until_finished(2);
    CHECK(t.endings.at(0).outcome == core::Outcome::failed);
    CHECK(t.endings.at(0).exit_code == 9);
    CHECK(t.endings.at(0).signal == 0);
    CHECK(t.endings.at(1).outcome == core::Outcome::killed);
    CHECK(t.endings.at(1).signal == 9);
  });
}

TEST_CASE("success_codes decide what has succeeded") {
  for_each_executor([](Kind kind) {
    Contract t(kind);
    t.job.success_codes = {0, 3};
    t.shell(0, "exit 3");
    t.shell(1, "exit 4");
    t.run_until_finished(2);
    CHECK(t.endings.at(0).outcome == core::Outcome::succeeded);
    CHECK(t.endings.at(0).exit_code == 3);
    CHECK(t.endings.at(1).outcome == core::Outcome::failed);
  });
}

TEST_CASE("terminate ends an attempt with SIGTERM") {
  for_each_executor([](Kind kind) {
    Contract t(kind);
    t.shell(0, "sleep 1000");
    t.run_until([&] { return t.pids.contains(0); });
    t.executor->signal(t.id(0), How::terminate);
    t.run_until_finished(1);
    CHECK(t.endings.at(0).signal == SIGTERM);
  });
}

TEST_CASE("an attempt that ignores terminate runs on until it is killed") {
  for_each_executor([](Kind kind) {
    Contract t(kind);
    t.shell(0, "trap '' TERM; : > ready; while :; do sleep 0.01; done");
    if (kind != Kind::fake) t.run_until([&] { return t.exists("ready"); });
    t.executor->signal(t.id(0), How::terminate);
    t.run_until([&] { return t.pids.contains(0); });
    CHECK(t.endings.empty());
    t.executor->signal(t.id(0), How::kill);
    t.run_until_finished(1);
    CHECK(t.endings.at(0).signal == SIGKILL);
  });
}

TEST_CASE("a signal to an attempt that has ended does nothing") {
  for_each_executor([](Kind kind) {
    Contract t(kind);
    t.shell(0, "exit 0");
    t.run_until_finished(1);
    t.executor->signal(t.id(0), How::kill);
    t.shell(1, "exit 0");
    t.run_until_finished(2);
    CHECK(t.log.size() == 4);
  });
}

TEST_CASE("an attempt that has started is not withdrawn") {
  for_each_executor([](Kind kind) {
    Contract t(kind);
    t.shell(0, "sleep 1000");
    t.executor->signal(t.id(0), How::withdraw);
    t.run_until([&] { return t.pids.contains(0); });
    t.executor->signal(t.id(0), How::withdraw);
    t.executor->signal(t.id(0), How::terminate);
    t.run_until_finished(1);
    CHECK(t.endings.at(0).outcome == core::Outcome::killed);
    CHECK(t.endings.at(0).signal == SIGTERM);
  });
}

TEST_CASE("a slot can be used again from inside finished()") {
  for_each_executor([](Kind kind) {
    Contract t(kind);
    t.on_finished = [&](const core::AttemptId& id) {
      if (id.slice < 50) t.shell(id.slice + 1, "exit 0", 0);
    };
    t.shell(0, "exit 0", 0);
    t.run_until_finished(51);
    CHECK(t.log.size() == 102);
  });
}

TEST_CASE("only an attempt that has written something has a log") {
  for_each_executor([](Kind kind) {
    Contract t(kind);
    t.shell(0, "exit 0");
    t.shell(1, "echo words");
    t.run_until_finished(2);
    CHECK(t.endings.at(0).log.empty());
    CHECK(t.endings.at(1).log == "slices/0000/1.1.log");
  });
}

TEST_CASE("the tap gets the output and is closed before the end is told") {
  for_each_executor([](Kind kind) {
    test::Tap tap;
    Contract t(kind, &tap);
    tap.events = &t.log;
    t.shell(7, "echo words");
    t.run_until_finished(1);
    CHECK(tap.text == "words\n");
    CHECK(tap.key == "key-7");
    CHECK(t.log == std::vector<std::string>{"started 7", "closed 7", "finished 7"});
  });
}

}  // namespace runner::exec
