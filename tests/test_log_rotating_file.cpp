#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <filesystem>

#include "log/rotating_file.hpp"
#include "log_support.hpp"

using namespace runner;
using runner::log::RotatingFile;

namespace {

/// Limits the size of this process's files: the nearest thing to a full disk that needs no rights.
void limit_files_to(rlim_t bytes) {
  ::signal(SIGXFSZ, SIG_IGN);
  const rlimit limit{bytes, RLIM_INFINITY};
  ::setrlimit(RLIMIT_FSIZE, &limit);
}

}  // namespace

TEST_CASE("a last line torn by a crash is ended before the next one") {
  test::TemporaryDirectory dir;
  dir.write("run.log", "whole\nto");
  auto file = RotatingFile::open(dir / "run.log", {});
  REQUIRE(file);
  file->append("next\n");
  file->flush();
  CHECK(test::contents(dir / "run.log") == "whole\nto\nnext\n");
}

TEST_CASE("a symbolic link is not followed") {
  test::TemporaryDirectory dir;
  std::filesystem::create_symlink(dir / "elsewhere", dir / "run.log");
  const auto file = RotatingFile::open(dir / "run.log", {});
  REQUIRE_FALSE(file);
  CHECK(file.error().errno_value == ELOOP);
}

TEST_CASE("the descriptor is not inherited") {
  test::TemporaryDirectory dir;
  const auto file = RotatingFile::open(dir / "run.log", {});
  REQUIRE(file);
  int found = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code gone;
    if (std::filesystem::read_symlink(entry.path(), gone) != dir / "run.log") continue;
    ++found;
    CHECK((::fcntl(std::stoi(entry.path().filename()), F_GETFD) & FD_CLOEXEC) != 0);
  }
  CHECK(found == 1);
}

TEST_CASE("a log that cannot be renamed grows beyond its limit") {
  test::TemporaryDirectory dir;
  std::filesystem::create_directories(dir / "run.1.log/in the way");
  auto file = RotatingFile::open(dir / "run.log", {10, 1});
  REQUIRE(file);
  for (const char* line : {"one two\n", "three four\n", "five six\n"}) file->append(line);
  file->flush();
  CHECK(test::contents(dir / "run.log") == "one two\nthree four\nfive six\n");
}

TEST_CASE("without old files to keep the log starts anew at its limit") {
  test::TemporaryDirectory dir;
  auto file = RotatingFile::open(dir / "run.log", {10, 0});
  REQUIRE(file);
  for (const char* line : {"one two\n", "three four\n"}) file->append(line);
  file->flush();
  CHECK(test::contents(dir / "run.log") == "three four\n");
}

TEST_CASE("what a full disk refused is written when there is room again") {
  test::TemporaryDirectory dir;
  const int status = test::status_of_child([&] {
    auto file = RotatingFile::open(dir / "run.log", {});
    limit_files_to(10);
    file->append("one two\n");
    file->append("three four\n");  // fits in part: the line is torn for the moment
    file->flush();
    const bool refused = file->failure() == EFBIG && test::contents(dir / "run.log") == "one two\nth";
    limit_files_to(RLIM_INFINITY);
    file->flush();
    ::_exit(refused && file->failure() == 0 && file->dropped() == 0 ? 0 : 1);
  });
  CHECK(status == 0);
  CHECK(test::contents(dir / "run.log") == "one two\nthree four\n");
}

TEST_CASE("lines that a full disk never took are counted, in the file as well") {
  test::TemporaryDirectory dir;
  const std::string line = std::string(999, 'x') + "\n";
  const int status = test::status_of_child([&] {
    auto file = RotatingFile::open(dir / "run.log", {});
    limit_files_to(1);
    for (int i = 0; i < 2000; ++i) file->append(line);
    file->flush();
    const std::uint64_t dropped = file->dropped();
    limit_files_to(RLIM_INFINITY);
    file->flush();
    file->append("after\n");
    file->flush();
    ::_exit(dropped == 2000 - 1048 && file->dropped() == dropped ? 0 : 1);
  });
  CHECK(status == 0);
  const std::string text = test::contents(dir / "run.log");
  CHECK(text.ends_with("x\n(952 lines are missing: they could not be written)\nafter\n"));
}
