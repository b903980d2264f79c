// The state directory: permissions, the lock between processes, `latest`, pruning, names of slice logs.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <random>
#include <set>

#include "store/state_dir.hpp"
#include "store_support.hpp"
#include "util/fd.hpp"

using namespace runner;
using namespace runner::store;
using namespace runner::store::testing;
namespace fs = std::filesystem;

namespace {

unsigned mode_of(const std::string& path) {
  struct stat info {};
  REQUIRE(::lstat(path.c_str(), &info) == 0);
  return info.st_mode & 0777U;
}

/// A process that holds the lock of `dir` until it is killed.
class Holder {
 public:
  explicit Holder(const StateDir& dir) {
    auto pipe = util::make_pipe();
    REQUIRE(pipe.ok());
    pid_ = ::fork();
    REQUIRE(pid_ >= 0);
    if (pid_ == 0) {
      auto lock = dir.lock();
      const bool has_it = lock.ok() && std::holds_alternative<StateLock>(*lock);
      const char answer = has_it ? 'y' : 'n';
      (void)!::write(pipe->write.get(), &answer, 1);
      while (true) ::pause();
    }
    char answer = 0;
    REQUIRE(::read(pipe->read.get(), &answer, 1) == 1);
    REQUIRE(answer == 'y');
  }
  ~Holder() { kill(); }
  Holder(const Holder&) = delete;
  Holder& operator=(const Holder&) = delete;

  void kill() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
    pid_ = 0;
  }
  [[nodiscard]] int pid() const { return pid_; }

 private:
  pid_t pid_ = 0;
};

bool can_lock(const StateDir& dir) {
  const auto lock = dir.lock();
  REQUIRE(lock.ok());
  return std::holds_alternative<StateLock>(*lock);
}

}  // namespace

TEST_CASE("a state directory is private whatever the umask, and kept out of git") {
  const TemporaryDirectory temporary;
  const StateDir dir(temporary / "project/.runner/correlate");
  CHECK_FALSE(dir.exists());
  const mode_t before = ::umask(0);
  const bool created = dir.create().ok() && dir.create_run_dir("20261121-164328-k3xa", "slices: 0-9\n").ok();
  ::umask(before);
  REQUIRE(created);
  CHECK(dir.exists());
  CHECK(mode_of(dir.path()) == 0700U);
  CHECK(mode_of(dir.run_dir("20261121-164328-k3xa")) == 0700U);
  CHECK(mode_of(dir.run_dir("20261121-164328-k3xa") + "/spec.yaml") == 0600U);
  const auto ignore = util::read_file(temporary / "project/.runner/.gitignore");
  REQUIRE(ignore.ok());
  CHECK(*ignore == "*\n");
  CHECK_MESSAGE(dir.create().ok(), "creating it again is no error");
}

TEST_CASE("a file in the way of the state directory is named") {
  const TemporaryDirectory temporary;
  REQUIRE(util::open_file(temporary / "taken", O_CREAT | O_WRONLY, 0600).ok());
  for (const char* path : {"taken", "taken/below"}) {
    const auto created = StateDir(temporary / path).create();
    REQUIRE_FALSE(created.ok());
    CHECK(created.error().message.find(temporary / "taken") != std::string::npos);
  }
}

TEST_CASE("latest points at the newest run, and a resumed run's spec is replaced") {
  const TemporaryDirectory temporary;
  const StateDir dir(temporary / "state");
  REQUIRE(dir.create().ok());
  REQUIRE(dir.create_run_dir("a", "one").ok());
  REQUIRE(dir.create_run_dir("b", "two").ok());
  CHECK(fs::read_symlink(temporary / "state/latest") == "runs/b");
  REQUIRE(dir.create_run_dir("a", "three").ok());
  CHECK(fs::read_symlink(temporary / "state/latest") == "runs/a");
  const auto spec = util::read_file(temporary / "state/latest/spec.yaml");
  REQUIRE(spec.ok());
  CHECK(*spec == "three");
}

TEST_CASE("pruning keeps the newest runs and never leaves the directory") {
  const TemporaryDirectory temporary;
  const StateDir dir(temporary / "state");
  REQUIRE(dir.create().ok());
  for (const char* id : {"a", "b", "c"}) REQUIRE(dir.create_run_dir(id, "").ok());
  CHECK(dir.prune({"c", "b", "a"}, 3).empty());
  CHECK(dir.prune({"c", "b", "a", "..", "../..", ""}, 2) == std::vector<std::string>{"a"});
  CHECK_FALSE(fs::exists(dir.run_dir("a")));
  CHECK(fs::exists(dir.run_dir("b")));
  CHECK(dir.prune({"c", "b"}, 0) == std::vector<std::string>{"b"});
  CHECK(fs::exists(dir.run_dir("c")));
}

TEST_CASE("the lock is had by one process, which is named to the others, until it is dead") {
  const TemporaryDirectory temporary;
  const StateDir dir(temporary / "state");
  REQUIRE(dir.create().ok());
  CHECK_FALSE(dir.owner().has_value());
  Holder holder(dir);
  const auto refused = dir.lock();
  REQUIRE(refused.ok());
  REQUIRE(std::holds_alternative<LockOwner>(*refused));
  const auto& owner = std::get<LockOwner>(*refused);
  CHECK(owner.pid == holder.pid());
  CHECK_FALSE(owner.host.empty());
  CHECK(owner.started_at.size() == std::string("2026-11-21 16:43:28").size());
  REQUIRE(dir.owner().has_value());
  CHECK(dir.owner()->pid == holder.pid());
  holder.kill();
  CHECK_FALSE_MESSAGE(dir.owner().has_value(), "a note without a lock is no owner");
  CHECK(can_lock(dir));
}

TEST_CASE("asking for the owner neither takes the lock nor gives it away") {
  const TemporaryDirectory temporary;
  const StateDir dir(temporary / "state");
  REQUIRE(dir.create().ok());
  {
    const auto lock = dir.lock();
    REQUIRE(lock.ok());
    REQUIRE(std::holds_alternative<StateLock>(*lock));
    REQUIRE(dir.owner().has_value());
    CHECK(dir.owner()->pid == ::getpid());
    CHECK_FALSE(can_lock(dir));
  }
  CHECK_FALSE(dir.owner().has_value());
  CHECK(can_lock(dir));
}

TEST_CASE("keys become file names that say what they are") {
  CHECK(encode_key("17") == "17");
  CHECK(encode_key("seed=3,model=a") == "seed=3,model=a");
  CHECK(encode_key("data/a.h5") == "data%2Fa.h5");
  CHECK(encode_key(".hidden") == "%2Ehidden");
  CHECK(encode_key("..") == "%2E.");
  CHECK(encode_key("-rf") == "%2Drf");
  CHECK(encode_key("") == "%");
  CHECK(encode_key("a b\n") == "a%20b%0A");
  CHECK(encode_key("100%") == "100%25");
  CHECK(slice_log_path(17, "17", 1) == "slices/0000/17.1.log");
  CHECK(slice_log_path(12'345'678, "a/b", 3) == "slices/12345/a%2Fb.3.log");
}

TEST_CASE("keys come back from their names, and different keys have different names") {
  std::mt19937 random(20261121);
  const std::string alphabet = std::string("aA0._-,=+@%~/ \n\xff\xc3\xa9", 18) + '\0';
  std::set<std::string> keys;
  std::set<std::string> names;
  for (int i = 0; i < 20'000; ++i) {
    std::string key(random() % (i % 50 == 0 ? 400 : 6), 'x');
    for (char& c : key) c = alphabet[random() % alphabet.size()];
    if (!keys.insert(key).second) continue;
    const std::string name = encode_key(key);
    CHECK(names.insert(name).second);
    CHECK(name.size() <= 200);
    CHECK(name.find('/') == std::string::npos);
    CHECK(name.find('\0') == std::string::npos);
    CHECK(name.front() != '.');
    CHECK(name.front() != '-');
    if (name.find('~') == std::string::npos) {
      CHECK(decode_key(name) == key);
    } else {
      CHECK_FALSE(decode_key(name).has_value());
    }
  }
}

TEST_CASE("long keys that differ only at their ends have different names") {
  for (const std::size_t length : {199U, 200U, 201U, 1000U}) {
    const std::string common(length - 1, 'k');
    CHECK(encode_key(common + "a") != encode_key(common + "b"));
    CHECK(encode_key(common + "a").size() == std::min<std::size_t>(length, 200));
  }
  const std::string escapes(67, '/');  // 201 bytes when encoded: cut between two escapes
  const std::string name = encode_key(escapes);
  const std::size_t hash_at = name.find('~');
  REQUIRE(hash_at != std::string::npos);
  CHECK(hash_at % 3 == 0);
}

TEST_CASE("names that no key has are not decoded") {
  for (const char* name : {"", "a/b", "%2", "%2f", "%zz", "a~", ".x", "-x", "a b"}) {
    CHECK_FALSE_MESSAGE(decode_key(name).has_value(), name);
  }
}

TEST_CASE("run ids tell their local time and differ within a second") {
  const util::WallTime now = util::wall_now();
  std::set<std::string> ids;
  for (int i = 0; i < 20; ++i) ids.insert(new_run_id(now));
  CHECK(ids.size() > 15);
  const std::string id = *ids.begin();
  CHECK(id.size() == std::string("20261121-164328-k3xa").size());
  CHECK(id[8] == '-');
  CHECK(id[15] == '-');
  CHECK(std::count_if(id.begin(), id.begin() + 15, [](char c) { return c >= '0' && c <= '9'; }) == 14);
}
