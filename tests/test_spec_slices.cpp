// Every form of `slices`, with files where the form reads files.
#include <doctest/doctest.h>

#include <filesystem>

#include "spec/data_files.hpp"
#include "spec_fixture.hpp"

using namespace runner;

namespace {

core::SliceList slices(const test::TemporaryDirectory& dir, const std::string& form, const std::string& more = "") {
  return test::good(spec::load(dir.write("s.yaml", "slices: " + form + "\ncommand: echo\n" + more))).jobs.at(0).slices;
}

std::vector<std::string> keys(const core::SliceList& list) {
  std::vector<std::string> keys;
  for (std::uint64_t i = 0; i < list.size(); ++i) keys.push_back(list.key(i));
  return keys;
}

std::string value(const core::SliceList& list, std::uint64_t index, std::string_view name) {
  core::Variables variables;
  list.set_variables(index, variables);
  const std::string* found = variables.find(name);
  return found != nullptr ? *found : "(none)";
}

using Keys = std::vector<std::string>;

}  // namespace

TEST_CASE("ranges and start, end, step are the same numbers") {
  const test::TemporaryDirectory dir;
  CHECK(keys(slices(dir, "0-9:3")) == Keys{"0", "3", "6", "9"});
  CHECK(keys(slices(dir, "{start: 0, end: 9, step: 3}")) == Keys{"0", "3", "6", "9"});
  CHECK(keys(slices(dir, "1,4,7-9")) == Keys{"1", "4", "7", "8", "9"});
  CHECK(keys(slices(dir, "{start: 5, end: 5}")) == Keys{"5"});
  CHECK(slices(dir, "0-9999999").size() == 10'000'000);
}

TEST_CASE("blocks of rows cover every row once, the last block short") {
  const test::TemporaryDirectory dir;
  const auto list = slices(dir, "{rows: 25, block: 10}");
  REQUIRE(list.size() == 3);
  CHECK(value(list, 1, "first") == "10");
  CHECK(value(list, 2, "last") == "24");
}

TEST_CASE("files match in natural order, each once, relative to the spec") {
  const test::TemporaryDirectory dir;
  for (const char* name : {"data/a10.h5", "data/a2.h5", "data/b.txt", "odd [x]/c.h5"}) dir.write(name, "");
  CHECK(keys(slices(dir, "{files: \"data/*.h5\"}")) == Keys{"data/a2.h5", "data/a10.h5"});
  CHECK(keys(slices(dir, "{files: [data/b.txt, \"data/*\"]}")) == Keys{"data/b.txt", "data/a2.h5", "data/a10.h5"});
  CHECK(value(slices(dir, "{files: \"data/*2.h5\"}"), 0, "file.stem") == "a2");
}

TEST_CASE("files are absolute where the command runs in another directory") {
  const test::TemporaryDirectory dir;
  dir.write("data/a.h5", "");
  CHECK(keys(slices(dir, "{files: \"data/*.h5\"}", "workdir: data\n")) == Keys{dir.path() + "/data/a.h5"});
}

TEST_CASE("a spec directory with the signs of patterns in its name matches only its own files") {
  const test::TemporaryDirectory dir;
  dir.write("run [1]*/x.h5", "");
  const std::string spec = dir.write("run [1]*/s.yaml", "slices: {files: \"*.h5\"}\ncommand: echo {file}\n");
  CHECK(keys(test::good(spec::load(spec)).jobs.at(0).slices) == Keys{"x.h5"});
}

TEST_CASE("lines are taken as they stand, with LF or CRLF, and nothing behind the last line end is no line") {
  const test::TemporaryDirectory dir;
  dir.write("list.txt",
            "\xEF\xBB\xBF"
            "a b\r\n\nlast");
  const auto list = slices(dir, "{lines: list.txt}");
  REQUIRE(list.size() == 3);
  CHECK(value(list, 0, "line") == "a b");
  CHECK(value(list, 1, "line").empty());
  CHECK(value(list, 2, "line") == "last");
  dir.write("list.txt", "a\nb\n");
  CHECK(slices(dir, "{lines: list.txt}").size() == 2);
}

TEST_CASE("a table gives a variable per column, through quotes and line breaks") {
  const test::TemporaryDirectory dir;
  dir.write("p.csv", "seed,note\r\n1,\"a, \"\"b\"\"\"\r\n2,\"two\r\nlines\"\r\n3,\r\n");
  const auto list = slices(dir, "{table: p.csv}");
  REQUIRE(list.size() == 3);
  CHECK(value(list, 0, "seed") == "1");
  CHECK(value(list, 0, "note") == "a, \"b\"");
  CHECK(value(list, 1, "note") == "two\r\nlines");
  CHECK(value(list, 2, "note").empty());
  dir.write("p.tsv", "seed\tnote\n1\ta,b\n");
  CHECK(value(slices(dir, "{table: p.tsv}"), 0, "note") == "a,b");
}

TEST_CASE("a list keeps its items as they are written") {
  const test::TemporaryDirectory dir;
  CHECK(keys(slices(dir, "{list: [a, 1.10, \"no\", 'x y']}")) == Keys{"a", "1.10", "no", "x y"});
}

TEST_CASE("a matrix is the product of its axes, the last one fastest") {
  const test::TemporaryDirectory dir;
  const auto list = slices(dir, "{matrix: {seed: 0-2, model: [a, b], z: {start: 0, end: 4, step: 4}}}");
  REQUIRE(list.size() == 12);
  CHECK(value(list, 1, "z") == "4");
  CHECK(value(list, 2, "model") == "b");
  CHECK(value(list, 11, "seed") == "2");
}

TEST_CASE("no slices at all are fine with allow_empty") {
  const test::TemporaryDirectory dir;
  CHECK(slices(dir, "{files: \"*.none\"}", "allow_empty: true\n").size() == 0);
  CHECK(slices(dir, "{files: \"none/*\"}", "allow_empty: true\n").size() == 0);
  CHECK(slices(dir, "{list: []}", "allow_empty: true\n").size() == 0);
}

TEST_CASE("variables of slices are checked in templates even where the slices are wrong") {
  CHECK(test::load_wrong("slices: {lines: /none/here}\ncommand: echo {line} {lien}\n") ==
        "/tmp/spec.yaml:1:17: `lines`: cannot read /none/here: No such file or directory\n"
        "/tmp/spec.yaml:2:22: unknown variable {lien}; did you mean {line}? (if no variable is meant: { lien })");
}

TEST_CASE("a table that cannot be read says nothing of the variables it would define") {
  CHECK(test::load_wrong("slices: {table: /none/here}\ncommand: echo {slcie}\n") ==
        "/tmp/spec.yaml:1:17: `table`: cannot read /none/here: No such file or directory");
}

TEST_CASE("problems in a data file carry its name as the user would type it") {
  const test::TemporaryDirectory dir;
  dir.write("conf/p.csv", "a,b\n1\n");
  dir.write("conf/s.yaml", "slices: {table: p.csv}\ncommand: echo {a}\n");
  const auto before = std::filesystem::current_path();
  std::filesystem::current_path(dir.path());
  const std::string said = test::messages(spec::load("conf/s.yaml"));
  std::filesystem::current_path(before);
  CHECK(said == "conf/p.csv:2:1: 1 cell, but the header has 2 cells");
}

TEST_CASE("a table with a mistake in every row reports ten of them") {
  std::string text = "a,b\n";
  for (int i = 0; i < 1000; ++i) text += "1\n";
  const auto parsed = spec::parse_table(text, ',');
  CHECK(std::get<std::vector<spec::DataProblem>>(parsed).size() == 10);
}

TEST_CASE("a line with a NUL byte is no line a program could be given") {
  const auto parsed = spec::parse_lines(std::string_view("a\nb\0c\n", 6));
  const auto& problems = std::get<std::vector<spec::DataProblem>>(parsed);
  REQUIRE(problems.size() == 1);
  CHECK(problems[0].line == 2);
  CHECK(problems[0].column == 2);
}
