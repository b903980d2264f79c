// Files that are their owner's alone, symbolic links that are not followed, and who else could change a path.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>

#include "temporary_directory.hpp"
#include "util/private_file.hpp"
#include "util/trust.hpp"

using namespace runner::util;
using runner::test::TemporaryDirectory;
namespace fs = std::filesystem;

namespace {

unsigned mode_of(const std::string& path) {
  struct stat info {};
  REQUIRE(::lstat(path.c_str(), &info) == 0);
  return info.st_mode & 07777U;
}

template <class T>
int errno_of(const Result<T>& result) {
  return result ? 0 : result.error().errno_value;
}

}  // namespace

TEST_CASE("private files and directories are so whatever the umask") {
  for (const mode_t umask : {0U, 022U, 077U, 0777U}) {
    CAPTURE(umask);
    const TemporaryDirectory dir;
    const mode_t before = ::umask(umask);
    const auto made = make_private_directory(dir / "d");
    const auto file = open_private(dir / "d/f", O_WRONLY);
    ::umask(before);
    REQUIRE(made.ok());
    CHECK(*made);
    REQUIRE(file.ok());
    CHECK(mode_of(dir / "d") == 0700U);
    CHECK(mode_of(dir / "d/f") == 0600U);
    CHECK_MESSAGE((::fcntl(file->get(), F_GETFL) & O_NONBLOCK) == 0, "it is handed to programs that expect to wait");
    const auto again = make_private_directory(dir / "d");
    REQUIRE(again.ok());
    CHECK_FALSE(*again);
  }
}

TEST_CASE("no symbolic link is followed, at the end of a path or on its way") {
  const TemporaryDirectory dir;
  REQUIRE(make_private_directory(dir / "real").ok());
  REQUIRE(open_private(dir / "real/file", O_WRONLY).ok());
  fs::create_symlink("real", dir / "link");
  fs::create_symlink("file", dir / "real/link");
  fs::create_symlink("nothing", dir / "dangling");
  for (const char* path : {"link/file", "real/link", "link", "link/new", "dangling"}) {
    CAPTURE(path);
    CHECK(errno_of(open_no_links(dir / path, O_RDONLY)) == ELOOP);
    CHECK(errno_of(open_private(dir / path, O_WRONLY)) == ELOOP);
  }
  CHECK(errno_of(open_directory(dir / "link")) == ELOOP);
  CHECK(errno_of(make_private_directory(dir / "link")) == ELOOP);
  CHECK(errno_of(make_private_directory(dir / "link/d")) == ELOOP);
  CHECK_FALSE(fs::exists(dir / "real/new"));
  CHECK_FALSE(fs::exists(dir / "nothing"));
}

TEST_CASE("what is opened below a directory is below it") {
  const TemporaryDirectory dir;
  REQUIRE(make_private_directory(dir / "d").ok());
  REQUIRE(open_private(dir / "d/in", O_WRONLY).ok());
  REQUIRE(open_private(dir / "out", O_WRONLY).ok());
  fs::create_symlink(dir / "out", dir / "d/link");
  const auto below = open_directory(dir / "d");
  REQUIRE(below.ok());
  CHECK(open_beneath(*below, "in", O_RDONLY).ok());
  CHECK(errno_of(open_beneath(*below, "../out", O_RDONLY)) == EXDEV);
  CHECK(errno_of(open_beneath(*below, "../d/in", O_RDONLY)) == EXDEV);
  CHECK(errno_of(open_beneath(*below, dir / "d/in", O_RDONLY)) == EXDEV);
  CHECK(errno_of(open_beneath(*below, "link", O_RDONLY)) == ELOOP);
}

TEST_CASE("a pipe or a file in the way is an error, and nobody waits for it") {
  const TemporaryDirectory dir;
  REQUIRE(::mkfifo((dir / "fifo").c_str(), 0600) == 0);
  CHECK(errno_of(open_private(dir / "fifo", O_WRONLY)) == ENXIO);
  CHECK(errno_of(open_private(dir / "fifo", O_RDWR)) == EEXIST);
  CHECK(errno_of(make_private_directory(dir / "fifo")) == ENOTDIR);
}

TEST_CASE("a path is everyone's if they may write to it or to a directory on the way") {
  const TemporaryDirectory dir;
  fs::create_directories(dir / "a/b");
  REQUIRE(open_private(dir / "a/b/file", O_WRONLY).ok());
  const auto with_mode = [&](const char* name, mode_t mode) {
    REQUIRE(::chmod((dir / name).c_str(), mode) == 0);
    std::string found = writable_by_everyone(dir / "a/b/file");
    REQUIRE(::chmod((dir / name).c_str(), fs::is_directory(dir / name) ? 0755 : 0600) == 0);
    return found;
  };
  CHECK(writable_by_everyone(dir / "a/b/file").empty());
  CHECK(writable_by_everyone(dir / "a/none").empty());
  CHECK(with_mode("a", 0777) == dir / "a");
  CHECK(with_mode("a/b", 0757) == dir / "a/b");
  CHECK(with_mode("a/b/file", 0602) == dir / "a/b/file");
  CHECK(with_mode("a", 01777).empty());
  CHECK_MESSAGE(with_mode("a/b/file", 0660).empty(), "a group is the business of who formed it");
  fs::create_symlink(dir / "a/b/file", dir / "link");
  REQUIRE(::chmod((dir / "a").c_str(), 0777) == 0);
  CHECK_MESSAGE(writable_by_everyone(dir / "link") == dir / "a", "where a link leads to counts as well");
}

TEST_CASE("our own files and root's are nobody else's") {
  const TemporaryDirectory dir;
  REQUIRE(open_private(dir / "file", O_WRONLY).ok());
  CHECK(foreign_owner(dir / "file").empty());
  CHECK(foreign_owner("/").empty());
  CHECK(foreign_owner(dir / "none").empty());
  if (::geteuid() != 0) return;  // cannot give files away
  REQUIRE(::chown((dir / "file").c_str(), 65534, 65534) == 0);
  CHECK_FALSE(foreign_owner(dir / "file").empty());
}
