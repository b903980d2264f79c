// The semaphore within one process: an open file description is one holder, wherever it is.
#include <doctest/doctest.h>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <string>

#include "shared/semaphore.hpp"
#include "temporary_directory.hpp"

namespace runner::shared {
namespace {

using test::TemporaryDirectory;
using namespace std::chrono_literals;

}  // namespace

TEST_CASE("as many as there are slots get one, each its own, and the next comes in when one is given back") {
  const TemporaryDirectory dir;
  const auto take = [&] { return Semaphore::take(dir.path() + "/sem", "gpu", 2, 0s); };
  auto first = take();
  auto second = take();
  REQUIRE(first);
  REQUIRE(second);
  CHECK(first->slot() == 0);
  CHECK(second->slot() == 1);
  const auto late = take();
  REQUIRE_FALSE(late);
  CHECK(late.error().errno_value == ETIMEDOUT);
  CHECK(late.error().message == "none of the 2 slots of gpu was free in time");
  first->give_back();
  const auto third = take();
  REQUIRE(third);
  CHECK(third->slot() == 0);
}

TEST_CASE("names do not hold each other back") {
  const TemporaryDirectory dir;
  const auto one = Semaphore::take(dir.path(), "one", 1, 0s);
  const auto other = Semaphore::take(dir.path(), "other", 1, 0s);
  CHECK(one);
  CHECK(other);
}

TEST_CASE("another number of slots is refused while anybody is inside, and taken after that") {
  const TemporaryDirectory dir;
  {
    const auto inside = Semaphore::take(dir.path(), "gpu", 3, 0s);
    REQUIRE(inside);
    const auto other = Semaphore::take(dir.path(), "gpu", 5, 0s);
    REQUIRE_FALSE(other);
    CHECK(other.error().errno_value == EBUSY);
    CHECK(other.error().message ==
          "gpu has 3 slots while anybody holds one or waits, not 5; give the same --slots everywhere");
  }
  CHECK(Semaphore::take(dir.path(), "gpu", 5, 0s));
  CHECK(Semaphore::take(dir.path(), "gpu", 3, 0s));
  const auto alone = Semaphore::take(dir.path(), "gpu", 1, 0s);
  REQUIRE(alone);
  CHECK(Semaphore::take(dir.path(), "gpu", 5, 0s).error().message ==
        "gpu has 1 slot while anybody holds one or waits, not 5; give the same --slots everywhere");
  CHECK(Semaphore::take(dir.path(), "gpu", 1, 0s).error().message == "the one slot of gpu was not free in time");
}

TEST_CASE("what somebody else wrote into the file is no number of slots") {
  const TemporaryDirectory dir;
  for (const char* text : {"", "\n", "garbage, and a lot of it\n", "   -1\n", "99999999999999999999"}) {
    std::ofstream(dir.path() + "/gpu.sem") << text;
    CHECK(Semaphore::take(dir.path(), "gpu", 2, 0s));
  }
}

TEST_CASE("a wait ends in time, first in the queue or not") {
  const TemporaryDirectory dir;
  const auto inside = Semaphore::take(dir.path(), "gpu", 1, 0s);
  REQUIRE(inside);
  const auto begin = util::steady_now();
  const auto late = Semaphore::take(dir.path(), "gpu", 1, 30ms);
  REQUIRE_FALSE(late);
  CHECK(late.error().errno_value == ETIMEDOUT);
  CHECK(util::steady_now() - begin >= 30ms);
}

TEST_CASE("a directory that everyone may write to, or a link in the place of the file, is refused") {
  const TemporaryDirectory dir;
  std::filesystem::permissions(dir.path(), std::filesystem::perms::all);
  CHECK_FALSE(Semaphore::take(dir.path(), "gpu", 1, 0s));
  std::filesystem::permissions(dir.path(), std::filesystem::perms::owner_all);
  std::filesystem::create_symlink(dir.path() + "/elsewhere", dir.path() + "/gpu.sem");
  CHECK_FALSE(Semaphore::take(dir.path(), "gpu", 1, 0s));
  CHECK_FALSE(std::filesystem::exists(dir.path() + "/elsewhere"));
}

TEST_CASE("names are plain file names that no option looks like") {
  for (const char* good : {"gpu", "a", "GPU_0", "0", "scratch.2", "_", "a-b"}) CHECK(is_semaphore_name(good));
  for (const char* bad : {"", ".", "..", ".x", "-x", "a/b", "a b", "a\n", "\xc3\xa4"}) {
    CHECK_FALSE(is_semaphore_name(bad));
  }
  CHECK(is_semaphore_name(std::string(64, 'x')));
  CHECK_FALSE(is_semaphore_name(std::string(65, 'x')));
}

}  // namespace runner::shared
