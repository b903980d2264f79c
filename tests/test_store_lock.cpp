// The lock of a state directory between processes, and between hosts that may not see each other's locks.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <thread>

#include "store/state_dir.hpp"
#include "store_support.hpp"

using namespace runner;
using namespace runner::store;
using namespace runner::store::testing;
using namespace std::chrono_literals;

namespace {

/// As a runner on another host writes it.
void write_foreign_note(const std::string& path, int beats) {
  const std::string text = "nodeB\n4711\n2026-11-21 16:43:28\nanother-kernel\n" + std::to_string(beats) + "\n";
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  REQUIRE(::pwrite(fd, text.data(), text.size(), 0) == static_cast<ssize_t>(text.size()));
  REQUIRE(::ftruncate(fd, static_cast<off_t>(text.size())) == 0);
  ::close(fd);
}

/// A runner on another host, as far as this one can see: its note changes, its lock is not seen.
class DistantRun {
 public:
  explicit DistantRun(std::string path)
      : path_(std::move(path)), thread_([this] {
          for (int beats = 0; !stop_; ++beats) {
            write_foreign_note(path_, beats);
            std::this_thread::sleep_for(1ms);
          }
        }) {}
  ~DistantRun() {
    stop_ = true;
    thread_.join();
  }
  DistantRun(const DistantRun&) = delete;
  DistantRun& operator=(const DistantRun&) = delete;

 private:
  std::string path_;
  std::atomic<bool> stop_ = false;
  std::thread thread_;
};

/// The lock without the note, as it is for a moment when a run begins, and after a kill while a child goes to its exec.
class BareLock {
 public:
  explicit BareLock(const std::string& path) : fd_(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600)) {
    struct flock lock {};
    lock.l_type = F_WRLCK;
    REQUIRE(::fcntl(fd_, F_OFD_SETLK, &lock) == 0);
  }
  ~BareLock() { ::close(fd_); }
  BareLock(const BareLock&) = delete;
  BareLock& operator=(const BareLock&) = delete;

 private:
  int fd_;
};

int pid_of_a_dead_process() {
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) ::_exit(0);
  REQUIRE(::waitpid(child, nullptr, 0) == child);
  return child;
}

StateLock take(const StateDir& dir, const LockOptions& options = {}) {
  auto lock = dir.lock(options);
  REQUIRE(lock.ok());
  REQUIRE(std::holds_alternative<StateLock>(*lock));
  return std::move(std::get<StateLock>(*lock));
}

std::string why_lost(StateLock& lock) {
  const auto kept = lock.keep();
  return kept ? std::string() : kept.error().message;
}

}  // namespace

TEST_CASE("a lock whose note is not written yet, or is of a dead process, is waited for") {
  const TemporaryDirectory directory;
  const StateDir dir(directory.path());
  const std::string path = directory / "lock";
  for (const std::string& note :
       {std::string(), std::to_string(pid_of_a_dead_process()) + "\n2026-11-21 16:43:28\nkernel\n0\n"}) {
    CAPTURE(note);
    char host[256] = {};
    REQUIRE(::gethostname(host, sizeof host - 1) == 0);
    std::ofstream(path) << (note.empty() ? "" : host + std::string("\n") + note);
    auto bare = std::make_unique<BareLock>(path);
    std::thread ending([&] {
      std::this_thread::sleep_for(50ms);
      bare.reset();
    });
    const auto lock = dir.lock();
    ending.join();
    REQUIRE(lock.ok());
    CHECK(std::holds_alternative<StateLock>(*lock));
  }
}

TEST_CASE("a run that ends in order leaves an empty note") {
  const TemporaryDirectory directory;
  const StateDir dir(directory.path());
  {
    const StateLock lock = take(dir);
    CHECK(contains(contents(directory / "lock"), "\n" + std::to_string(::getpid()) + "\n"));
  }
  CHECK(contents(directory / "lock").empty());
}

TEST_CASE("a lock whose file is removed or replaced is lost, and says so") {
  for (const bool replaced : {false, true}) {
    const TemporaryDirectory directory;
    const StateDir dir(directory.path());
    StateLock lock = take(dir);
    CHECK(why_lost(lock).empty());
    std::filesystem::rename(directory / "lock", directory / "away");
    if (replaced) std::ofstream(directory / "lock") << "another";
    CHECK(contains(why_lost(lock), (directory / "lock") + ": was removed or replaced while the run was live"));
  }
}

TEST_CASE("where locks may not reach other hosts, a run on one that gives signs of life is live") {
  const TemporaryDirectory directory;
  const StateDir dir(directory.path());
  int waits = 0;
  const LockOptions options{.shared = true, .silence = 60s, .waits = [&](const LockOwner& owner, util::Duration) {
                              ++waits;
                              CHECK(owner.host == "nodeB");
                            }};
  write_foreign_note(directory / "lock", 0);
  const DistantRun run(directory / "lock");
  const auto refused = dir.lock(options);
  REQUIRE(refused.ok());
  REQUIRE(std::holds_alternative<LockOwner>(*refused));
  CHECK(std::get<LockOwner>(*refused).host == "nodeB");
  CHECK(std::get<LockOwner>(*refused).pid == 4711);
  CHECK(waits == 1);
}

TEST_CASE("where locks may not reach other hosts, a silent run is believed dead after a while") {
  const TemporaryDirectory directory;
  const StateDir dir(directory.path());
  write_foreign_note(directory / "lock", 7);
  const auto before = util::steady_now();
  const StateLock lock = take(dir, {.shared = true, .silence = 100ms});
  CHECK(util::steady_now() - before >= 100ms);
  CHECK(dir.owner()->pid == ::getpid());
}

TEST_CASE("a copied directory on a local file system is locked at once") {
  const TemporaryDirectory directory;
  const StateDir dir(directory.path());
  write_foreign_note(directory / "lock", 7);
  const StateLock lock = take(dir, {.waits = [](const LockOwner&, util::Duration) { FAIL("nothing to wait for"); }});
  CHECK(dir.owner()->pid == ::getpid());
}

TEST_CASE("signs of life are given, and a run that was taken over stops and leaves the note alone") {
  const TemporaryDirectory directory;
  const StateDir dir(directory.path());
  {
    StateLock lock = take(dir, {.shared = true, .beat = 0s});
    const std::string first = contents(directory / "lock");
    CHECK(why_lost(lock).empty());
    const std::string second = contents(directory / "lock");
    CHECK(first != second);
    CHECK(second.size() == first.size());
    write_foreign_note(directory / "lock", 0);
    CHECK(contains(why_lost(lock), "was taken over by pid 4711 on nodeB"));
  }
  CHECK(contains(contents(directory / "lock"), "nodeB"));
}

TEST_CASE("a lock that stays without a name is refused all the same") {
  const TemporaryDirectory directory;
  const BareLock bare(directory / "lock");
  const auto refused = StateDir(directory.path()).lock();
  REQUIRE(refused.ok());
  REQUIRE(std::holds_alternative<LockOwner>(*refused));
  CHECK(std::get<LockOwner>(*refused).pid == 0);
}
