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
#include <fstream>
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
  for (const mode_t umask : {077U, 0U}) {
    fs::remove_all(temporary / "project");
    const mode_t before = ::umask(umask);
    const bool created = dir.create().ok() && dir.create_run_dir("20261121-164328-k3xa", "slices: 0-9\n").ok();
    ::umask(before);
    REQUIRE(created);
    CHECK(dir.exists());
    CHECK(mode_of(dir.path()) == 0700U);
    CHECK(mode_of(dir.run_dir("20261121-164328-k3xa")) == 0700U);
    CHECK(mode_of(dir.run_dir("20261121-164328-k3xa") + "/spec.yaml") == 0600U);
    CHECK(mode_of(temporary / "project/.runner") == (umask == 0 ? 0775U : 0700U));
  }
  const auto ignore = util::read_file(temporary / "project/.runner/.gitignore");
  REQUIRE(ignore.ok());
  CHECK(*ignore == "*\n");
  CHECK_MESSAGE(dir.create().ok(), "creating it again is no error");
}

TEST_CASE("a state directory that others may write to, or that is a link, is refused") {
  const TemporaryDirectory temporary;
  const StateDir dir(temporary / "state");
  REQUIRE(dir.create().ok());
  for (const mode_t mode : {0720U, 0702U, 01777U}) {
    REQUIRE(::chmod(dir.path().c_str(), mode) == 0);
    CHECK_FALSE(dir.create().ok());
  }
  REQUIRE(::chmod(dir.path().c_str(), 0755) == 0);
  CHECK(dir.create().ok());
  fs::create_symlink(dir.path(), temporary / "link");
  CHECK_FALSE(StateDir(temporary / "link").create().ok());
  CHECK_MESSAGE(StateDir(temporary / "link").exists(), "so that it is not taken for a directory without a run");
  CHECK_MESSAGE(StateDir(temporary / "link/below").path() == dir.path() + "/below", "links above it are resolved");
}

TEST_CASE("pruning does not look behind a link") {
  const TemporaryDirectory temporary;
  const StateDir dir(temporary / "state");
  REQUIRE(dir.create().ok());
  REQUIRE(dir.create_run_dir("b", "").ok());
  fs::create_directories(temporary / "elsewhere/a/kept");
  fs::create_symlink(temporary / "elsewhere/a", dir.run_dir("a"));
  CHECK(dir.prune({"b", "a"}, 1) == std::vector<std::string>{"a"});
  CHECK_FALSE(fs::is_symlink(dir.run_dir("a")));
  fs::rename(dir.path() + "/runs", temporary / "runs");
  fs::create_symlink(temporary / "elsewhere", dir.path() + "/runs");
  CHECK(dir.prune({"b", "a"}, 1).empty());
  CHECK(fs::exists(temporary / "elsewhere/a/kept"));
}

TEST_CASE("an id that is a path makes no directory") {
  const TemporaryDirectory temporary;
  const StateDir dir(temporary / "state");
  REQUIRE(dir.create().ok());
  for (const char* id : {"", "..", "../x", "/tmp/x"}) CHECK_FALSE(dir.create_run_dir(id, "").ok());
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
  REQUIRE(dir.set_latest("b").ok());
  CHECK(fs::read_symlink(temporary / "state/latest") == "runs/b");
  REQUIRE(dir.create_run_dir("a", "three").ok());
  CHECK_MESSAGE(fs::read_symlink(temporary / "state/latest") == "runs/b", "it has not begun yet");
  REQUIRE(dir.set_latest("a").ok());
  CHECK(fs::read_symlink(temporary / "state/latest") == "runs/a");
  const auto spec = util::read_file(temporary / "state/latest/spec.yaml");
  REQUIRE(spec.ok());
  CHECK(*spec == "three");
}

TEST_CASE("tidying removes drafts and empty logs, and nothing that a slice wrote") {
  const TemporaryDirectory dir;
  const StateDir state(dir / "state");
  REQUIRE(state.create().ok());
  REQUIRE(state.create_run_dir("r1", "slices: 0-1\n").ok());
  const fs::path run = state.run_dir("r1");
  std::ofstream(run / "slices/.slot-0.log");
  std::ofstream(run / "slices/.slot-1.log") << "output\n";
  std::ofstream(run / "spec.yaml.new");
  fs::create_symlink("runs/r1", fs::path(state.path()) / "latest.new");
  state.tidy("r1");
  CHECK_FALSE(fs::exists(run / "slices/.slot-0.log"));
  CHECK(fs::exists(run / "slices/.slot-1.log"));
  CHECK_FALSE(fs::exists(run / "spec.yaml.new"));
  CHECK_FALSE(fs::is_symlink(fs::path(state.path()) / "latest.new"));
  CHECK(fs::exists(run / "spec.yaml"));
  state.tidy("never-made");
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
  CHECK(encode_key("17", 0) == "17");
  CHECK(encode_key("seed=3,model=a", 0) == "seed=3,model=a");
  CHECK(encode_key("data/a.h5", 0) == "data%2Fa.h5");
  CHECK(encode_key(".hidden", 0) == "%2Ehidden");
  CHECK(encode_key("..", 0) == "%2E.");
  CHECK(encode_key("/", 0) == "%2F");
  CHECK(encode_key("-rf", 0) == "%2Drf");
  CHECK(encode_key("", 0) == "%");
  CHECK(encode_key("a b\n", 0) == "a%20b%0A");
  CHECK(encode_key("100%", 0) == "100%25");
  CHECK(encode_key("model=LCDM,seed=3", 0) == "model=LCDM,seed=3~078");
  CHECK(slice_log_path("", 17, "17", 1) == "slices/0000/17.1.log");
  CHECK(slice_log_path("merge", 0, "0", 2) == "slices/merge.0000/0.2.log");
  CHECK(slice_log_path("", 12'345'678, "a/b", 3) == "slices/12345/a%2Fb.3.log");
}

namespace {

std::vector<std::string> hostile_keys() {
  std::vector<std::string> keys = {"",   ".",       "..",  "...",     "/",         "//",       "../..", "-",
                                   "--", "-rf",     "~",   "%",       "%%",        "%2E",      "a~8",   "A",
                                   "a",  "aB",      "Ab",  "AB",      "a\xcc\x81", "\xc3\xa1", " ",     "\n",
                                   "\t", "\x1b[2J", "CON", "a.1.log", "a.1",       "a.log",    ".log"};
  for (int byte = 0; byte < 256; ++byte) keys.emplace_back(1, static_cast<char>(byte));
  for (const std::size_t length : {185U, 199U, 200U, 201U, 255U, 256U, 300U, 100'000U}) {
    for (const char c : {'k', 'K', '/', '\x01', '.'}) {
      keys.emplace_back(length, c);
      keys.push_back(std::string(length, c) + "x");
      keys.push_back("x" + std::string(length, c));
    }
  }
  return keys;
}

std::string in_small_letters(std::string text) {
  for (char& c : text) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return text;
}

}  // namespace

TEST_CASE("whatever the keys are, their file names are safe, all different and lead back to them") {
  std::mt19937 random(20261121);
  const std::string alphabet = std::string("aAbB0._-,=+@%~/ \n\xff\xc3\xa9", 20) + '\0';
  std::set<std::string> keys;
  for (const std::string& key : hostile_keys()) keys.insert(key);
  for (int i = 0; i < 20'000; ++i) {
    std::string key(random() % (i % 50 == 0 ? 400 : 6), 'x');
    for (char& c : key) c = alphabet[random() % alphabet.size()];
    keys.insert(key);
  }
  std::set<std::string> paths;  // as a file system that ignores case sees them
  std::uint64_t index = 0;
  for (const std::string& key : keys) {
    const std::string name = encode_key(key, index);
    REQUIRE(name.size() <= 200);
    REQUIRE(name.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._,=+@-%~") ==
            std::string::npos);
    REQUIRE(name.front() != '.');
    REQUIRE(name.front() != '-');
    const auto decoded = decode_key(name);
    REQUIRE((decoded == key || (!decoded && name.find('~') != std::string::npos && key.size() > 60)));
    for (const std::uint32_t attempt : {1U, UINT32_MAX}) {
      const fs::path path =
          slice_log_path("", index % 7, key, attempt);  // far more in one directory than there ever are
      REQUIRE(path.filename().string().size() <= 255);
      REQUIRE(paths.insert(in_small_letters(path.filename())).second);
    }
    ++index;
  }
}

TEST_CASE("long keys that differ only at their ends, or not even by their hashes, have different names") {
  for (const std::size_t length : {199U, 200U, 201U, 1000U}) {
    const std::string common(length - 1, 'k');
    CHECK(encode_key(common + "a", 0) != encode_key(common + "b", 0));
    CHECK(encode_key(common + "a", 0).size() <= 200);
  }
  CHECK(encode_key(std::string(300, 'k'), 1) != encode_key(std::string(300, 'k'), 2));
  const std::string escapes(67, '/');  // 201 bytes when encoded: cut between two escapes
  const std::string name = encode_key(escapes, 5);
  const std::size_t hash_at = name.find('~');
  REQUIRE(hash_at != std::string::npos);
  CHECK(hash_at % 3 == 0);
  CHECK(name.ends_with("~5"));
}

TEST_CASE("names that no key has are not decoded") {
  for (const char* name : {"", "a/b", "%2", "%2f", "%zz", "%41", "a~", "a~8", "A", "A~4", ".x", "-x", "a b"}) {
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
