// Every wrong spec of tests/cli/wrong_specs/table.txt gives exactly the messages that stand there.
#include <doctest/doctest.h>

#include <set>

#include "spec/loader.hpp"
#include "spec_fixture.hpp"
#include "wrong_spec_table.hpp"

using namespace runner;

namespace {

std::string replace_all(std::string text, const std::string& what, const std::string& with) {
  for (auto at = text.find(what); at != std::string::npos; at = text.find(what, at + with.size())) {
    text.replace(at, what.size(), with);
  }
  return text;
}

std::string joined(const std::vector<std::string>& lines) {
  std::string out;
  for (const auto& line : lines) out += (out.empty() ? "" : "\n") + line;
  return out;
}

/// What is printed, with the temporary directory taken off the files' names and called DIR within messages.
std::string messages_of(const test::WrongSpec& wrong) {
  const test::TemporaryDirectory dir;
  for (const auto& [name, text] : wrong.files) dir.write(name, text);
  std::string out = test::messages(spec::load(dir.write("spec.yaml", wrong.text)));
  for (const std::string file : {"spec.yaml:", "params.csv:"}) out = replace_all(out, dir.path() + "/" + file, file);
  return replace_all(out, dir.path(), "DIR");
}

const std::string kTable = test::tests_dir() + "/cli/wrong_specs/table.txt";

}  // namespace

TEST_CASE("every wrong spec of the table gives exactly its messages") {
  for (const auto& wrong : test::read_wrong_specs(kTable)) {
    INFO("=== ", wrong.name);
    CHECK(messages_of(wrong) == joined(wrong.expected));
  }
}

TEST_CASE("the table of wrong specs has at least 60 cases, each with its own name") {
  const auto specs = test::read_wrong_specs(kTable);
  std::set<std::string> names;
  for (const auto& wrong : specs) {
    CHECK_MESSAGE(names.insert(wrong.name).second, wrong.name);
    CHECK_MESSAGE(!wrong.expected.empty(), wrong.name);
  }
  CHECK(specs.size() >= 60);
}
