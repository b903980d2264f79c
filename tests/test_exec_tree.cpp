// Ending an attempt means its whole tree, wherever its processes have gone.
#include <signal.h>
#include <unistd.h>

#include <doctest/doctest.h>
#include <set>
#include <sstream>

#include "exec/cookie.hpp"
#include "exec/survivors.hpp"
#include "exec_harness.hpp"

namespace runner::exec {
namespace {

struct Local : test::Harness {
  explicit Local(bool force_sigchld = false) { make_local({run_dir.path(), "tree-test", nullptr, force_sigchld, ""}); }

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
/// The third has even changed its environment and its parent is dead: only its process group tells.
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

namespace {

/// Starts a process in a session of its own with this cookie, as one that outlived its runner; its pid.
int start_survivor(Local& t, const std::string& cookie) {
  t.shell(0,
          "env -i PATH=\"$PATH\" " + cookie +
              " setsid -f sh -c 'echo $$ > survivor; exec sleep 1000'; while [ ! -s survivor ]; do sleep 0.01; done");
  t.run_until_finished(1);
  return t.written_pids("survivor").at(0);
}

}  // namespace

TEST_CASE("survivors of a dead engine are found by their cookie and ended") {
  Local t;
  Engine dead = this_engine();
  dead.start -= 1;  // the pid is alive, but it is another process
  const int survivor = start_survivor(t, cookie_of(cookie_prefix(t.run_id, dead), {0, 9, 1}));
  CHECK(find_survivors({"another-run"})->empty());
  const auto found = *find_survivors({t.run_id});
  REQUIRE(found.size() == 1);
  CHECK(found[0].process.pid == survivor);
  REQUIRE(found[0].id);
  CHECK(found[0].id->slice == 9);
  CHECK(end_survivors({t.run_id})->empty());
  CHECK(is_gone(survivor));
}

TEST_CASE("what a live engine has started is no survivor") {
  Local t;
  const int pid = start_survivor(t, cookie_of(cookie_prefix(t.run_id, this_engine()), {0, 9, 1}));
  CHECK(find_survivors({t.run_id})->empty());
  CHECK(end_survivors({t.run_id})->empty());
  CHECK_FALSE(is_gone(pid));
  ::kill(pid, SIGKILL);
}

TEST_CASE("a process that only has a copy of the cookie is no survivor") {
  Local t;
  Engine dead = this_engine();
  dead.start -= 1;
  // As in a shell into which somebody has read a slice's environment: it has a parent, which is not of the slice.
  t.shell(0, "env -i PATH=\"$PATH\" " + cookie_of(cookie_prefix(t.run_id, dead), {0, 9, 1}) +
                 " sh -c 'echo $$ > copy; exec sleep 1000' & wait");
  t.run_until([&] { return t.written_pids("copy").size() == 1; });
  CHECK(find_survivors({t.run_id})->empty());
  t.executor->signal(t.id(0), How::kill);
  t.run_until_finished(1);
}

TEST_CASE("a survivor of another pid namespace is left alone") {
  Local t;
  Engine elsewhere = this_engine();
  elsewhere.start -= 1;
  elsewhere.pid_namespace = "1";
  const int pid = start_survivor(t, cookie_of(cookie_prefix(t.run_id, elsewhere), {0, 9, 1}));
  CHECK(find_survivors({t.run_id})->empty());
  ::kill(pid, SIGKILL);
}

TEST_CASE("a cookie says what it was made from, and nothing else is one") {
  const std::string text = cookie_of(cookie_prefix("20261121-154412-ab2c", {12, 345, 6, "78"}), {1, 99, 3});
  CHECK(text == "RUNNER_COOKIE=20261121-154412-ab2c.78.12.345.6.1.99.3");
  const auto cookie = parse_cookie(text);
  REQUIRE(cookie);
  CHECK(cookie->run_id == "20261121-154412-ab2c");
  CHECK(cookie->engine.pid == 12);
  CHECK(cookie->engine.start == 345);
  CHECK(cookie->engine.session == 6);
  CHECK(cookie->engine.pid_namespace == "78");
  CHECK(cookie->id == core::AttemptId{1, 99, 3});
  for (const char* other :
       {"RUNNER_COOKIE=", "RUNNER_COOKIE=r.1.2.3.4.5.6", "RUNNER_COOKIE=.9.1.2.3.4.5.6",
        "RUNNER_COOKIE=r.9.1.2.3.4.5.x", "RUNNER_COOKIE=r.9.1.2.3.4.5.", "COOKIE=r.9.1.2.3.4.5.6"}) {
    CAPTURE(other);
    CHECK_FALSE(parse_cookie(other));
  }
}

}  // namespace runner::exec
