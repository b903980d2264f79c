#include <doctest/doctest.h>
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <utility>

#include "temporary_directory.hpp"
#include "util/fd.hpp"

using namespace runner::util;
using runner::test::TemporaryDirectory;

namespace {

bool is_open(int fd) {
  return ::fcntl(fd, F_GETFD) >= 0;
}
bool closes_on_exec(int fd) {
  return (::fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0;
}

}  // namespace

TEST_CASE("a descriptor is closed when its owner goes, and not before") {
  int number = -1;
  {
    auto fd = open_file("/dev/null", O_RDONLY);
    REQUIRE(fd.ok());
    number = fd->get();
    CHECK(is_open(number));
  }
  CHECK_FALSE(is_open(number));
}

TEST_CASE("moving a descriptor moves the duty to close it") {
  Fd a = std::move(*open_file("/dev/null", O_RDONLY));
  const int first = a.get();
  Fd b = std::move(a);
  CHECK_FALSE(a.is_open());  // NOLINT(bugprone-use-after-move)
  CHECK(b.get() == first);
  Fd c = std::move(*open_file("/dev/null", O_RDONLY));
  const int second = c.get();
  c = std::move(b);
  CHECK(c.get() == first);
  CHECK_FALSE(is_open(second));
  Fd& same = c;
  c = std::move(same);
  CHECK(is_open(first));
  const int released = c.release();
  CHECK(released == first);
  CHECK_FALSE(c.is_open());
  CHECK(is_open(released));
  ::close(released);
}

TEST_CASE("an empty owner closes nothing") {
  Fd none;
  CHECK_FALSE(none);
  CHECK(none.get() == -1);
  none.reset();
  CHECK(none.release() == -1);
}

TEST_CASE("every descriptor is closed on exec from birth") {
  const auto file = open_file("/dev/null", O_RDONLY);
  REQUIRE(file.ok());
  CHECK(closes_on_exec(file->get()));
  const auto pipe = make_pipe();
  REQUIRE(pipe.ok());
  CHECK(closes_on_exec(pipe->read.get()));
  CHECK(closes_on_exec(pipe->write.get()));
}

TEST_CASE("a file that cannot be opened is named, with the reason") {
  const auto file = open_file("/nonexistent/file", O_RDONLY);
  REQUIRE_FALSE(file.ok());
  CHECK(file.error().message == "/nonexistent/file: No such file or directory");
  CHECK(file.error().errno_value == ENOENT);
}

TEST_CASE("what is written is read back, of any length and content") {
  const TemporaryDirectory directory;
  const std::string path = directory.path() + "/file";
  for (const std::size_t size : {0U, 1U, 65535U, 65536U, 65537U, 1000000U}) {
    std::string data(size, '\0');
    for (std::size_t i = 0; i < size; ++i) data[i] = static_cast<char>(i * 7);
    {
      auto fd = open_file(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
      REQUIRE(fd.ok());
      REQUIRE(write_all(fd->get(), data, path).ok());
    }
    const auto read = read_file(path);
    REQUIRE(read.ok());
    CHECK(*read == data);
  }
}

TEST_CASE("a file larger than the limit is refused, one of just that size is not") {
  const TemporaryDirectory directory;
  const std::string path = directory.path() + "/file";
  {
    auto fd = open_file(path, O_WRONLY | O_CREAT, 0600);
    REQUIRE(fd.ok());
    REQUIRE(write_all(fd->get(), "12345678", path).ok());
  }
  CHECK(read_file(path, 8).ok());
  const auto read = read_file(path, 7);
  REQUIRE_FALSE(read.ok());
  CHECK(read.error().message == path + ": larger than 7 bytes");
}

TEST_CASE("a directory and a missing file are errors that name them") {
  const TemporaryDirectory directory;
  const auto read = read_file(directory.path());
  REQUIRE_FALSE(read.ok());
  CHECK(read.error().errno_value == EISDIR);
  CHECK(read.error().message.find(directory.path()) == 0);
  CHECK(read_file(directory.path() + "/none").error().errno_value == ENOENT);
}

TEST_CASE("a write that fails names its target") {
  const auto full = open_file("/dev/full", O_WRONLY);
  REQUIRE(full.ok());
  const auto written = write_all(full->get(), "x", "out/3.csv");
  REQUIRE_FALSE(written.ok());
  CHECK(written.error().errno_value == ENOSPC);
  CHECK(written.error().message == "out/3.csv: No space left on device");
}
