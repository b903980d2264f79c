// What is too much of something is refused at load, each with its own words. tests/cli/wrong_specs has the short cases.
#include <doctest/doctest.h>
#include <sys/stat.h>

#include "spec/limits.hpp"
#include "spec/loader.hpp"
#include "spec_fixture.hpp"

using namespace runner;

namespace {

const std::string kSpec = "slices: 0-9\ncommand: prog\n";

/// "  n0: 1\n  n1: 1\n" ...
std::string entries(std::size_t count, const std::string& prefix = "n") {
  std::string text;
  for (std::size_t i = 0; i < count; ++i) text += "  " + prefix + std::to_string(i) + ": 1\n";
  return text;
}

std::string letters(std::size_t count) {
  return std::string(count, 'x');
}

std::string wrong_with_file(const std::string& text, const std::string& name, const std::string& content) {
  const test::TemporaryDirectory dir;
  dir.write(name, content);
  std::string messages = test::messages(spec::load(dir.write("spec.yaml", text)));
  for (auto at = messages.find(dir.path() + "/"); at != std::string::npos; at = messages.find(dir.path() + "/")) {
    messages.erase(at, dir.path().size() + 1);
  }
  return messages;
}

}  // namespace

TEST_CASE("a thousand variables are fine, one more of any kind is not") {
  CHECK(test::load_wrong(kSpec + "vars:\n" + entries(1000)) == "");
  CHECK(test::load_wrong(kSpec + "vars:\n" + entries(1001)) ==
        "/tmp/spec.yaml:4:3: `vars` has 1,001 entries, 1,000 at most are possible");
  CHECK(test::load_wrong(kSpec + "env:\n" + entries(1000)) == "");
  CHECK(test::load_wrong(kSpec + "env:\n" + entries(1001)) ==
        "/tmp/spec.yaml:4:3: `env` has 1,001 entries, 1,000 at most are possible");
  std::string axes;
  for (int i = 0; i < 1001; ++i) axes += "    a" + std::to_string(i) + ": 0-1\n";
  CHECK(test::load_wrong("command: prog\nslices:\n  matrix:\n" + axes) ==
        "/tmp/spec.yaml:4:5: `matrix` has 1,001 entries, 1,000 at most are possible");
  std::string header = "c0";
  for (int i = 1; i < 1001; ++i) header += ",c" + std::to_string(i);
  CHECK(wrong_with_file("command: prog\nslices: {table: t.csv}\n", "t.csv", header + "\n") ==
        "t.csv:1:1: 1,001 columns, 1,000 at most are possible");
}

TEST_CASE("a command that no kernel takes in one piece is refused at load") {
  CHECK(test::load_wrong("slices: 0-9\ncommand: prog; echo " + letters(131'071 - 11)) == "");
  CHECK(
      test::load_wrong("slices: 0-9\ncommand: prog; echo " + letters(131'072 - 11)) ==
      "/tmp/spec.yaml:2:10: `command` is 131,072 bytes long, but the kernel takes at most 131,071 in one piece: put it "
      "into a file");
  CHECK(test::load_wrong("slices: 0-9\ncommand: [prog, " + letters(131'071) + "]") == "");
  CHECK(test::load_wrong("slices: 0-9\ncommand: [prog, " + letters(131'072) + "]").find("`command` is 131,072 bytes") !=
        std::string::npos);
  CHECK(test::load_wrong(kSpec + "env: {A: " + letters(131'072) + "}") ==
        "/tmp/spec.yaml:3:10: `env.A` is 131,072 bytes long, but the kernel takes at most 131,071 in one piece: put it "
        "into a file");
  CHECK(test::load_wrong(kSpec + "stdin: " + letters(131'072)).find("`stdin` is 131,072 bytes") != std::string::npos);
}

TEST_CASE("a text with very many variables in it, or very long, is refused before it is looked at closely") {
  std::string many;
  for (int i = 0; i < 10'000; ++i) many += "{slice}";
  CHECK(test::load_wrong("slices: 0-9\ncommand: prog " + many) == "");
  CHECK(test::load_wrong("slices: 0-9\ncommand: prog " + many + "{index}") ==
        "/tmp/spec.yaml:2:70015: more than 10,000 variables in one text");
  CHECK(test::load_wrong("slices: 0-9\ncommand: " + letters(1'048'577)) ==
        "/tmp/spec.yaml:2:10: a text with variables is 1,048,576 bytes long at most");
}

TEST_CASE("a line, a cell or an item that fits in no environment is refused at load") {
  const std::size_t line_fits = 131'071 - std::string("RUNNER_VAR_LINE=").size();
  const std::string lines = "command: prog\nslices: {lines: list.txt}\n";
  CHECK(wrong_with_file(lines, "list.txt", "a\n" + letters(line_fits) + "\n") == "");
  CHECK(wrong_with_file(lines, "list.txt", "a\n" + letters(line_fits + 1) + "\n") ==
        "list.txt:2:1: RUNNER_VAR_LINE is 131,072 bytes long, but the kernel takes at most 131,071 in one piece");
  CHECK(wrong_with_file("command: prog\nslices: {table: t.csv}\n", "t.csv", "a,b\n1," + letters(131'072) + "\n") ==
        "t.csv:2:3: RUNNER_VAR_B is 131,085 bytes long, but the kernel takes at most 131,071 in one piece");
  CHECK(
      test::load_wrong("command: prog\nslices: {list: [a, " + letters(131'072) + "]}") ==
      "/tmp/spec.yaml:2:20: `list[1]` is 131,088 bytes long, but the kernel takes at most 131,071 in one piece: put it "
      "into a file");
}

TEST_CASE("of very many mistakes a hundred are shown and the rest counted, in no time") {
  std::string text = "{slices: 0-9, command: prog";
  for (int i = 0; i < 300'000; ++i) text += ", k" + std::to_string(i) + ": 1";
  const auto loaded = spec::load_text(text + "}", "/tmp/spec.yaml");
  const auto* problems = std::get_if<std::vector<spec::Problem>>(&loaded);
  REQUIRE(problems != nullptr);
  REQUIRE(problems->size() == 101);
  CHECK(spec::to_string(problems->back()) == "/tmp/spec.yaml: and 299,900 more mistakes");
}

TEST_CASE("a key there is a million times is told in no time") {
  std::string text = "{slices: 0-9, command: prog";
  for (int i = 0; i < 300'000; ++i) text += ", a: 1";
  const std::string messages = test::load_wrong(text + "}");
  CHECK(messages.ends_with(" more mistakes"));
}

TEST_CASE("a key of a million letters is compared with nothing and shown in part") {
  const std::string message = test::load_wrong(kSpec + letters(1'000) + ": 1\n");
  CHECK(message == "/tmp/spec.yaml:3:1: unknown key `" + letters(60) + "...`");
}

TEST_CASE("more ranges than anybody writes, and ranges that all interleave, are refused") {
  std::string apart = "0";
  for (int i = 1; i <= 1'000'000; ++i) apart += "," + std::to_string(2 * i);
  CHECK(test::load_wrong("command: prog\nslices: " + apart) ==
        "/tmp/spec.yaml:2:9: `slices`: 1,000,001 ranges, 1,000,000 at most are possible: put the numbers into a file, "
        "one a "
        "line (lines: list.txt)");
  std::string interleaved = "0-9000000:10000";
  for (int i = 1; i < 9'000; ++i) interleaved += "," + std::to_string(i) + "-9000000:10000";
  CHECK(
      test::load_wrong("command: prog\nslices: " + interleaved) ==
      "/tmp/spec.yaml:2:9: `slices`: too many ranges that interleave: put the numbers into a file, one a line (lines: "
      "list.txt)");
}

TEST_CASE("a list that is no regular file is refused, not waited for") {
  const test::TemporaryDirectory dir;
  REQUIRE(::mkfifo((dir.path() + "/fifo").c_str(), 0600) == 0);
  const std::string path = dir.write("spec.yaml", "command: prog\nslices: {lines: fifo}\n");
  CHECK(test::messages(spec::load(path)) ==
        path + ":2:17: `lines`: " + dir.path() +
            "/fifo is not a regular file, and a resumed run needs the list again: write it to one first");
  CHECK(test::messages(spec::load(dir.write("b.yaml", "command: prog\nslices: {table: /dev/zero}\n")))
            .find("/dev/zero is not a regular file") != std::string::npos);
}
