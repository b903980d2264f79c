#include "report/output_pump.hpp"

#include <fcntl.h>
#include <pty.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <cerrno>
#include <cstring>
#include <thread>

#include "fakes/report_fixture.hpp"
#include "report/spool.hpp"

using namespace runner;
using namespace runner::test;
using report::OutputPump;
namespace asio = boost::asio;

namespace {

constexpr std::size_t kMiB = 1U << 20U;

/// Text in which no two places look alike.
std::string numbered(std::size_t size) {
  std::string text;
  for (unsigned n = 0; text.size() < size; ++n) text += std::to_string(n) + ' ';
  text.resize(size);
  return text;
}

/// Reads to the end of `fd` while the loop runs, until `size` bytes have come.
std::string receive(asio::io_context& io, int fd, std::size_t size) {
  std::string text;
  std::vector<char> buffer(10'000);  // no multiple of a page: partial room must do no harm
  while (text.size() < size) {
    io.restart();
    io.poll();
    const ssize_t n = ::read(fd, buffer.data(), std::min(buffer.size(), size - text.size()));
    REQUIRE(n > 0);
    text.append(buffer.data(), static_cast<std::size_t>(n));
  }
  io.restart();
  io.poll();
  return text;
}

bool is_non_blocking(int fd) {
  return (::fcntl(fd, F_GETFL) & O_NONBLOCK) != 0;
}

util::Fd file_with(const TemporaryDirectory& dir, const std::string& text) {
  auto fd = util::open_file(dir.write("spool", text), O_RDONLY);
  REQUIRE(fd.ok());
  return std::move(*fd);
}

}  // namespace

TEST_CASE("a pipe that nobody reads blocks no write, and all comes in order once it is read") {
  auto pipe = util::make_pipe();
  asio::io_context io;
  int drained = 0;
  OutputPump pump(io, pipe->write.get(), {[&] { ++drained; }, {}});
  const TemporaryDirectory dir;
  const std::string text = numbered(3 * kMiB);
  std::size_t sent = 0;
  for (; sent < kMiB / 2; sent += 1'000) pump.write(std::string_view(text).substr(sent, 1'000));
  CHECK(pump.ready());
  pump.write_file(file_with(dir, text.substr(sent, kMiB)), kMiB);
  sent += kMiB;
  pump.write(std::string_view(text).substr(sent));
  CHECK_FALSE(pump.ready());
  CHECK(drained == 0);
  CHECK(receive(io, pipe->read.get(), text.size()) == text);
  CHECK(pump.ready());
  CHECK(drained == 1);
  CHECK_FALSE(is_non_blocking(pipe->write.get()));
}

TEST_CASE("a pump that a block of a file has filled up says when it takes more") {
  auto pipe = util::make_pipe();
  asio::io_context io;
  int drained = 0;
  OutputPump pump(io, pipe->write.get(), {[&] { ++drained; }, {}});
  const TemporaryDirectory dir;
  const std::string block = numbered(64 * 1024);
  pump.write(block);  // fills the pipe
  pump.write_file(file_with(dir, "short"), 5);
  pump.write_file(file_with(dir, block), block.size());
  pump.write(numbered(kMiB - 5));
  REQUIRE(pump.ready());
  bool was_full = false;
  for (std::size_t left = 2 * block.size() + kMiB; left > 0;) {
    left -= receive(io, pipe->read.get(), std::min<std::size_t>(left, 4096)).size();
    was_full = was_full || !pump.ready();
  }
  CHECK(was_full);
  CHECK(drained == 1);
}

TEST_CASE("a socket that nobody reads blocks no write") {
  int ends[2];
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
  const util::Fd ours(ends[0]);
  const util::Fd theirs(ends[1]);
  asio::io_context io;
  OutputPump pump(io, ours.get());
  const std::string text = numbered(2 * kMiB);
  pump.write(text);
  CHECK(receive(io, theirs.get(), text.size()) == text);
  CHECK_FALSE(is_non_blocking(ours.get()));
}

TEST_CASE("a terminal that nobody reads blocks no write") {
  int master = -1;
  int slave = -1;
  REQUIRE(::openpty(&master, &slave, nullptr, nullptr, nullptr) == 0);
  const util::Fd terminal(slave);
  const util::Fd screen(master);
  asio::io_context io;
  OutputPump pump(io, terminal.get());
  const std::string text = numbered(kMiB);
  pump.write(text);
  CHECK_FALSE(is_non_blocking(terminal.get()));
  CHECK(receive(io, screen.get(), text.size()) == text);
}

TEST_CASE("what can be polled but not opened again is written to only when it polls writable") {
  const util::Fd event(::eventfd(0, EFD_CLOEXEC));
  asio::io_context io;
  OutputPump pump(io, event.get());
  const auto bytes = [](std::uint64_t n) {
    std::string text(sizeof n, '\0');
    std::memcpy(text.data(), &n, sizeof n);
    return text;
  };
  pump.write(bytes(UINT64_MAX - 1));  // the most it holds: a further write would block
  pump.write(bytes(7));
  CHECK(receive(io, event.get(), 8) == bytes(UINT64_MAX - 1));
  CHECK(receive(io, event.get(), 8) == bytes(7));
}

TEST_CASE("a regular file and /dev/null take everything at once") {
  const TemporaryDirectory dir;
  asio::io_context io;
  auto file = util::open_file(dir.path() + "/out", O_WRONLY | O_CREAT, 0600);
  REQUIRE(file.ok());
  const std::string text = numbered(10 * kMiB);
  {
    OutputPump pump(io, file->get());
    pump.write("first\n");
    pump.write_file(file_with(dir, text), text.size());
    io.run();
    CHECK(pump.ready());
  }
  CHECK(*util::read_file(dir.path() + "/out") == "first\n" + text);

  auto null = util::open_file("/dev/null", O_WRONLY);
  REQUIRE(null.ok());
  OutputPump pump(io, null->get());
  pump.write(text);
  io.restart();
  io.run();
  CHECK(pump.ready());
  CHECK_FALSE(pump.broken());
}

TEST_CASE("a reader that goes away is told once, and what comes later is dropped") {
  ::signal(SIGPIPE, SIG_IGN);
  auto pipe = util::make_pipe();
  asio::io_context io;
  std::vector<int> errors;
  OutputPump pump(io, pipe->write.get(), {{}, [&](int error) { errors.push_back(error); }});
  pump.write(numbered(2 * kMiB));
  CHECK_FALSE(pump.ready());
  pipe->read.reset();
  io.run();
  pump.write("more");
  io.restart();
  io.run();
  CHECK(errors == std::vector<int>{EPIPE});
  CHECK(pump.broken());
  CHECK(pump.lost() == 0);
  CHECK(pump.ready());
}

TEST_CASE("what a full disk does not take is lost, also when only flush finds out") {
  asio::io_context io;
  auto full = util::open_file("/dev/full", O_WRONLY);
  REQUIRE(full.ok());
  OutputPump at_once(io, full->get());
  at_once.write("text");
  CHECK(at_once.lost() == ENOSPC);

  const TemporaryDirectory dir;
  auto pipe = util::make_pipe();
  OutputPump late(io, pipe->write.get());
  late.write(numbered(2 * kMiB));  // fills the pipe and waits
  late.write_file(file_with(dir, "short"), 10);
  CHECK(late.lost() == 0);
  std::thread reader([&] {
    std::vector<char> buffer(kMiB);
    std::size_t left = 2 * kMiB + 5;
    while (left > 0)
      left -= static_cast<std::size_t>(std::max<ssize_t>(::read(pipe->read.get(), buffer.data(), buffer.size()), 0));
  });
  late.flush();
  reader.join();
  CHECK(late.lost() == EIO);
}

TEST_CASE("a closed stdout is an error and not a crash") {
  asio::io_context io;
  int error = 0;
  OutputPump pump(io, -1, {{}, [&](int e) { error = e; }});
  pump.write("text");
  io.run();
  CHECK(error == EBADF);
}

TEST_CASE("flush writes what is queued without the loop") {
  const TemporaryDirectory dir;
  asio::io_context io;
  auto pipe = util::make_pipe();
  OutputPump pump(io, pipe->write.get());
  const std::string text = numbered(kMiB);
  pump.write(text);
  pump.write_file(file_with(dir, text), text.size());
  std::string got;
  std::thread reader([&] {
    std::vector<char> buffer(65'536);
    while (got.size() < 2 * kMiB) {
      const ssize_t n = ::read(pipe->read.get(), buffer.data(), buffer.size());
      if (n <= 0) break;
      got.append(buffer.data(), static_cast<std::size_t>(n));
    }
  });
  pump.flush();
  reader.join();
  CHECK((got == text + text));
}

TEST_CASE("a pump may go while the loop still waits for its target") {
  auto pipe = util::make_pipe();
  asio::io_context io;
  {
    OutputPump pump(io, pipe->write.get());
    pump.write(numbered(kMiB));
    io.poll();
  }
  io.restart();
  io.run();  // ends: nothing is waited for any more
  CHECK(io.stopped());
}

TEST_CASE("many queued files count as not ready, however small they are") {
  const TemporaryDirectory dir;
  auto pipe = util::make_pipe();
  asio::io_context io;
  OutputPump pump(io, pipe->write.get());
  pump.write(numbered(100'000));  // more than the pipe takes
  for (int i = 0; i < 70; ++i) pump.write_file(file_with(dir, "x"), 1);
  CHECK_FALSE(pump.ready());
  CHECK(receive(io, pipe->read.get(), 100'070) == numbered(100'000) + std::string(70, 'x'));
  CHECK(pump.ready());
}

TEST_CASE("two descriptors of one pipe are the same target") {
  auto pipe = util::make_pipe();
  auto other = util::make_pipe();
  const util::Fd copy(::dup(pipe->write.get()));
  CHECK(report::same_target(pipe->write.get(), copy.get()));
  CHECK_FALSE(report::same_target(pipe->write.get(), other->write.get()));
}

TEST_CASE("a spool keeps little in memory and much in a file without a name") {
  const TemporaryDirectory dir;
  report::Spool spool(dir.path(), 1'000);
  REQUIRE(spool.append(std::string(1'000, 'a')).ok());
  CHECK(spool.in_memory());
  REQUIRE(spool.append("b").ok());
  CHECK_FALSE(spool.in_memory());
  CHECK(spool.text().empty());
  CHECK(std::filesystem::is_empty(dir.path()));
  const auto file = spool.take_file();
  CHECK(file.size == 1'001);
  std::string text(1'001, ' ');
  CHECK(::pread(file.fd.get(), text.data(), text.size(), 0) == 1'001);
  CHECK(text == std::string(1'000, 'a') + "b");
}

TEST_CASE("a spool that cannot be kept says so once and keeps what it has") {
  report::Spool spool("/nonexistent", 4);
  REQUIRE(spool.append("1234").ok());
  CHECK_FALSE(spool.append("5").ok());
  CHECK(spool.append("6").ok());
  CHECK(spool.text() == "1234");
}
