// Ending an attempt means its whole tree, wherever its processes have gone.
#include <signal.h>
#include <unistd.h>

#include <doctest/doctest.h>
#include <set>
#include <sstream>

#include "exec_harness.hpp"

namespace runner::exec {
namespace {

struct Local : test::Harness {
  explicit Local(bool force_sigchld = false) { make_local({run_dir.path, "tree-test", nullptr, force_sigchld, ""}); }

  /// Pids that the attempt's processes have written, one a line.
  [[nodiscard]] std::vector<int> written_pids(const std::string& file) const {
    std::istringstream in(test::contents(path(file)));
    std::vector<int> found;
    for (int pid = 0; in >> pid;) found.push_back(pid);
    return found;
  }
};

/// Dead or a zombie: nothing of it will run any more.
bool is_gone(int pid) {
  const std::string stat = test::contents("/proc/" + std::to_string(pid) + "/stat");
  if (stat.empty()) return true;
  const char state = stat.at(stat.rfind(')') + 2);
  return state == 'Z' || state == 'X';
}

/// Starts processes in every way that leaves the group, each of which writes its pid to the file "pids".
/// The third has even changed its environment and its parent is dead: only its session tells.
constexpr const char* kScatter =
    "setsid sh -c 'echo $$ >> pids; exec sleep 1000' & "
    "(setsid sh -c 'echo $$ >> pids; sleep 1000 & echo $! >> pids; wait' &) ; "
    "(env -i sh -c 'echo $$ >> pids; exec sleep 1000' &) ; "
    "sleep 1000 & echo $! >> pids; ";

}  // namespace

TEST_CASE("kill ends grandchildren that have left the session and the parent") {
  for (const bool sigchld : {false, true}) {
    CAPTURE(sigchld);
    Local t(sigchld);
    t.shell(0, std::string(kScatter) + "wait");
    t.run_until([&] { return t.written_pids("pids").size() == 5; });
    t.executor->signal(t.id(0), How::kill);
    t.run_until_finished(1);
    CHECK(t.endings.at(0).signal == SIGKILL);
    for (const int pid : t.written_pids("pids")) CHECK(is_gone(pid));
  }
}

TEST_CASE("terminate reaches the whole tree, and the end is told when all of it is gone") {
  Local t;
  t.shell(0,
          "setsid sh -c 'trap \"echo stray >> told; exit\" TERM; echo $$ >> pids; while :; do sleep 0.01; done' & "
          "trap 'echo root >> told; exit 5' TERM; echo $$ >> pids; while :; do sleep 0.01; done");
  t.run_until([&] { return t.written_pids("pids").size() == 2; });
  t.executor->signal(t.id(0), How::terminate);
  t.run_until_finished(1);
  CHECK(t.endings.at(0).exit_code == 5);
  for (const int pid : t.written_pids("pids")) CHECK(is_gone(pid));
  const std::string told = test::contents(t.path("told"));
  CHECK(told.find("root") != std::string::npos);
  CHECK(told.find("stray") != std::string::npos);
}

TEST_CASE("a tree of which a part ignores terminate ends when it is killed") {
  Local t;
  t.shell(0,
          "setsid sh -c 'trap \"\" TERM; echo $$ >> pids; while :; do sleep 0.01; done' & "
          "echo $$ >> pids; sleep 1000 & wait");
  t.run_until([&] { return t.written_pids("pids").size() == 2; });
  t.executor->signal(t.id(0), How::terminate);
  const auto pids = t.written_pids("pids");
  t.run_until([&] { return t.pids.contains(0) && is_gone(t.pids.at(0)); });
  CHECK(t.endings.empty());
  t.executor->signal(t.id(0), How::kill);
  t.run_until_finished(1);
  CHECK(t.endings.at(0).signal == SIGTERM);  // what the slice itself died of
  for (const int pid : pids) CHECK(is_gone(pid));
}

TEST_CASE("a stopped child is continued so that it can act on terminate") {
  Local t;
  t.shell(0, "trap 'exit 6' TERM; echo $$ > pids; kill -STOP $$; while :; do sleep 0.01; done");
  t.run_until([&] {
    if (!t.pids.contains(0)) return false;
    const std::string stat = test::contents("/proc/" + std::to_string(t.pids.at(0)) + "/stat");
    return stat.find(") T ") != std::string::npos;
  });
  t.executor->signal(t.id(0), How::terminate);
  t.run_until_finished(1);
  CHECK(t.endings.at(0).exit_code == 6);
}

TEST_CASE("only the tree of the attempt that is meant is ended") {
  Local t;
  t.shell(0, std::string(kScatter) + "wait");
  t.run_until([&] { return t.written_pids("pids").size() == 5; });
  t.shell(1, "setsid sh -c 'echo $$ > other; exec sleep 1000' & while [ ! -e go ]; do sleep 0.01; done");
  t.run_until([&] { return !t.written_pids("other").empty(); });
  t.executor->signal(t.id(0), How::kill);
  t.run_until_finished(1);
  CHECK_FALSE(is_gone(t.pids.at(1)));
  CHECK_FALSE(is_gone(t.written_pids("other").at(0)));
  t.executor->signal(t.id(1), How::kill);
  t.run_until_finished(2);
  CHECK(is_gone(t.written_pids("other").at(0)));
}

TEST_CASE("a tree that forks as fast as it can is ended") {
  Local t;
  t.shell(0,
          "f() { (sleep 0.02; f) & (sleep 0.02; f) & wait; }; ulimit -u 20000; : > begun; (f) & (f) & "
          "while :; do sh -c 'exit 0'; done");
  t.run_until([&] { return t.exists("begun"); });
  t.executor->signal(t.id(0), How::kill);
  t.run_until_finished(1);
  CHECK(t.endings.at(0).signal == SIGKILL);
}

TEST_CASE("survivors of an attempt of an earlier runner are ended when it is adopted") {
  Local t;
  t.shell(0, "env -i PATH=\"$PATH\" RUNNER_COOKIE=" + t.run_id +
                 ".0.9.1 setsid -f sh -c 'echo $$ > survivor; exec sleep 1000'; "
                 "while [ ! -s survivor ]; do sleep 0.01; done");
  t.run_until_finished(1);
  const int survivor = t.written_pids("survivor").at(0);
  CHECK_FALSE(is_gone(survivor));
  core::AttemptRecord record;
  record.id = {0, 9, 1};
  CHECK_FALSE(t.executor->adopt(record));
  CHECK(is_gone(survivor));
}

}  // namespace runner::exec
