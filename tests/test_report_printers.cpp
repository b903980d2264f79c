#include <fcntl.h>
#include <sys/resource.h>

#include <boost/asio/io_context.hpp>
#include <random>

#include "fakes/report_fixture.hpp"
#include "report/output_pump.hpp"
#include "report/printer.hpp"
#include "util/fd.hpp"
#include "util/text.hpp"

using namespace runner;
using namespace runner::test;
using core::AttemptId;
using core::Stream;

namespace {

/// A printer whose stdout and stderr are files; the loop is run for them to be read.
struct Printed {
  TemporaryDirectory dir;
  boost::asio::io_context io;
  util::Fd out_fd = std::move(*util::open_file(dir.path() + "/out", O_WRONLY | O_CREAT | O_APPEND, 0600));
  util::Fd err_fd = std::move(*util::open_file(dir.path() + "/err", O_WRONLY | O_CREAT | O_APPEND, 0600));
  report::OutputPump out{io, out_fd.get()};
  report::OutputPump err{io, err_fd.get()};
  std::vector<std::string> notices;
  std::unique_ptr<report::Printer> printer;

  explicit Printed(std::string_view name, const std::string& spool_dir = {}) {
    auto made = report::make_printer(name, {&out, &err, spool_dir.empty() ? dir.path() : spool_dir,
                                            [this](const std::string& message) { notices.push_back(message); }});
    REQUIRE(made.ok());
    printer = std::move(*made);
  }
  void data(std::uint64_t slice, Stream stream, std::string_view piece) {
    printer->data({0, slice, 1}, std::to_string(slice), stream, piece);
  }
  void close(std::uint64_t slice) { printer->closed({0, slice, 1}); }
  std::string read(const std::string& name) {
    io.restart();
    io.run();
    return *util::read_file(dir.path() + "/" + name);
  }
};

long max_rss_kib() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss;
}

}  // namespace

TEST_CASE("group: the output of each slice comes in one piece, in the order in which slices end") {
  Printed printed("group");
  printed.data(1, Stream::out, "one a\n");
  printed.data(2, Stream::out, "two a\n");
  printed.data(1, Stream::err, "one error\n");
  printed.data(1, Stream::out, "one b\n");
  printed.data(2, Stream::out, "two b");
  CHECK(printed.read("out").empty());
  printed.close(2);
  printed.close(1);
  printed.close(3);  // wrote nothing
  CHECK(printed.read("out") == "two a\ntwo bone a\none b\n");
  CHECK(printed.read("err") == "one error\n");
}

TEST_CASE("group: long output of several slices stays apart and whole") {
  Printed printed("group");
  std::string a;
  std::string b;
  for (int i = 0; i < 2'000; ++i) {
    const std::string piece_a = std::string(997, 'a') + std::to_string(i);
    const std::string piece_b = std::string(331, 'b') + std::to_string(i);
    printed.data(1, Stream::out, piece_a);
    printed.data(2, Stream::out, piece_b);
    a += piece_a;
    b += piece_b;
  }
  printed.close(1);
  printed.close(2);
  CHECK(printed.read("out") == a + b);
}

TEST_CASE("line: whole lines come at once, each with its slice before it") {
  Printed printed("line");
  printed.data(17, Stream::out, "first\nsec");
  CHECK(printed.read("out") == "17: first\n");
  printed.data(18, Stream::out, "other\n");
  printed.data(17, Stream::err, "error\n");
  printed.data(17, Stream::out, "ond\n\nthird\n");
  CHECK(printed.read("out") == "17: first\n18: other\n17: second\n17: \n17: third\n");
  CHECK(printed.read("err") == "17: error\n");
}

TEST_CASE("line: a last line without a newline gets one") {
  Printed printed("line");
  printed.data(17, Stream::out, "no end");
  printed.data(17, Stream::err, "nor here");
  CHECK(printed.read("out").empty());
  printed.close(17);
  printed.close(17);
  CHECK(printed.read("out") == "17: no end\n");
  CHECK(printed.read("err") == "17: nor here\n");
}

TEST_CASE("line: a key with a newline in it cannot break a line") {
  Printed printed("line");
  printed.printer->data({0, 1, 1}, "a\nb", Stream::out, "text\n");
  CHECK(printed.read("out") == "a\\nb: text\n");
}

TEST_CASE("line: pieces cut anywhere give back every slice's lines, never mixed") {
  for (unsigned seed = 0; seed < 20; ++seed) {
    CAPTURE(seed);
    std::mt19937 random(seed);
    Printed printed("line");
    std::array<std::string, 4> texts;
    for (std::size_t slice = 0; slice < texts.size(); ++slice) {
      for (int line = 0; line < 200; ++line) {
        const std::size_t length = random() % 50 == 0 ? 200'000 : random() % 100;
        texts[slice] += std::string(length, static_cast<char>('a' + slice)) + "\n";
      }
    }
    std::array<std::size_t, 4> sent{};
    for (bool more = true; more;) {
      more = false;
      for (std::size_t slice = 0; slice < texts.size(); ++slice) {
        const std::string_view piece = std::string_view(texts[slice]).substr(sent[slice], random() % 65'536);
        if (!piece.empty()) printed.data(slice, Stream::out, piece);
        sent[slice] += piece.size();
        more = more || sent[slice] < texts[slice].size();
      }
    }
    std::array<std::string, 4> got;
    const std::string out = printed.read("out");
    for (const auto line : util::split(out, '\n')) {
      if (line.empty()) continue;  // after the last newline
      const auto slice = static_cast<std::size_t>(line.front() - '0');
      REQUIRE(slice < got.size());
      REQUIRE(line.substr(1, 2) == ": ");
      got[slice] += std::string(line.substr(3)) + "\n";
    }
    for (std::size_t slice = 0; slice < texts.size(); ++slice) CHECK((got[slice] == texts[slice]));
  }
}

TEST_CASE("line: a line of 256 MiB costs no memory") {
  Printed printed("line");
  const std::string piece(1U << 16U, 'x');
  const long before = max_rss_kib();
  for (int i = 0; i < 4096; ++i) printed.data(1, Stream::out, piece);
  printed.data(1, Stream::out, "end\n");
  printed.io.run();
  CHECK(max_rss_kib() - before < 16 * 1024);
  CHECK(std::filesystem::file_size(printed.dir.path() + "/out") == 4096 * piece.size() + 3 + 4);
}

TEST_CASE("output that cannot be kept is said once, and the log is named as the place where it is") {
  for (const char* name : {"group", "line"}) {
    Printed printed(name, "/nonexistent");
    const std::string piece(40'000, 'x');
    for (int i = 0; i < 5; ++i) printed.data(1, Stream::out, piece);
    printed.close(1);
    REQUIRE(printed.notices.size() == 1);
    CHECK(printed.notices[0].find("not printed in full: /nonexistent") != std::string::npos);
  }
}

TEST_CASE("an unknown way to print is an error that lists those there are") {
  const auto made = report::make_printer("tree", {});
  REQUIRE_FALSE(made.ok());
  CHECK(made.error().message == "cannot print 'tree'; there are: group, line");
}
