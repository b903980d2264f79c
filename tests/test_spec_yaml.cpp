// The YAML layer on its own: places of bytes within scalars, words that surprise, suggestions, hostile input.
#include <doctest/doctest.h>

#include <random>

#include "spec/folded_command.hpp"
#include "spec/hints.hpp"
#include "spec/yaml_surprise.hpp"
#include "spec/yaml_tree.hpp"
#include "spec_fixture.hpp"

using namespace runner;

namespace {

/// "line:column" of the `#` in the value of `key`, and of the one in the source, which must be the same.
void check_place(const std::string& text) {
  const spec::Source source("x", text);
  spec::Problems problems(source);
  const auto root = spec::parse_yaml(source, problems);
  REQUIRE(root);
  const spec::Node* node = root->find("a");
  REQUIRE(node != nullptr);
  const std::size_t offset = node->value.find('#');
  REQUIRE(offset != std::string::npos);
  INFO(text);
  CHECK(spec::source_offset(source.text(), *node, offset) == source.text().find('#'));
}

}  // namespace

TEST_CASE("a place in a scalar leads to the same place in the source, however it was written") {
  check_place("a: x#y\n");
  check_place("a: plain\n   over lines\n\n   x#y\nb: 1\n");
  check_place("a: 'it''s ''x'' #'\n");
  check_place("a: 'it''s\n\n  over lines #'\n");
  check_place("a: \"tab\\t quote\\\" \\\\ \\x41 \\x20 \\u00e4 \\U0001F600 \\n\\e\\L #\"\n");
  check_place("a: \"joined \\\n   lines \\\n   #\"\n");
  check_place("a: >\n  folded\n  text\n\n    more #\n");
  check_place("a: >-  \n\n\n  #\n");
  check_place("a: |\n  literal\n  \ttab\n   x #\n");
  check_place("a: |2\n    indented by two more\n  #\n");
  check_place("b: \xC3\xA4\na: \xC3\xA4 x#\xC3\xA4\n");
  check_place("a: \"\xE2\x82\xAC #\"\r\n");
}

TEST_CASE("words that YAML versions read differently are known, others are left alone") {
  for (const char* word :
       {"yes", "No",    "ON",    "off",   "~",         "null", "NULL",  "010",  "-07", "0x1F", "0b11",
        "0o7", "1_000", "1_0.5", "12:30", "1:02:03.5", ".inf", "-.Inf", ".nan", "089", "+012"}) {
    INFO(word);
    CHECK(spec::yaml_surprise(word));
  }
  for (const char* word :
       {"",           "y",   "n",   "true", "False", "0",     "-1",    "1.10", "0.5", "1e3", "1E-5",
        "2026-11-21", "yEs", "nO",  "0x",   "0xZZ",  "1.2.3", "12:99", "a:30", "_1",  "x_1", "localhost:80",
        "0-9:5",      "inf", "nan", "-",    "+",     "1_000x"}) {
    INFO(word);
    CHECK(!spec::yaml_surprise(word));
  }
}

TEST_CASE("suggestions know other tools' words, other spellings and slips") {
  const std::vector<std::string> known = {"n_procs", "slices", "command", "retry_delay", "env"};
  CHECK(spec::suggestion("max-workers", known) == "; here it is called `n_procs`");
  CHECK(spec::suggestion("RetryDelay", known) == "; did you mean `retry_delay`?");
  CHECK(spec::suggestion("COMMAND", known) == "; did you mean `command`?");
  CHECK(spec::suggestion("comand", known) == "; did you mean `command`?");
  CHECK(spec::suggestion("walltime", known).empty());  // `timeout` is not among the known
  CHECK(spec::suggestion("zzz", known).empty());
}

TEST_CASE("lines and columns count from one, and columns in characters") {
  const spec::Source source("x",
                            "ab\n\xC3\xA4"
                            "c\n\n");
  CHECK(source.position(0).column == 1);
  CHECK(source.position(5).line == 2);
  CHECK(source.position(5).column == 2);
  CHECK(source.position(7).line == 3);
  CHECK(source.position(999).line == 4);
}

TEST_CASE("a file name with a line break in it cannot forge a second message") {
  CHECK(spec::to_string({"a\nb", 1, 2, "x"}) == "a\\nb:1:2: x");
}

TEST_CASE("a spec cut off or damaged anywhere gives problems and never a crash") {
  const std::string good =
      "name: x\nslices: {matrix: {seed: 0-9, model: [a, b]}}\ncommand: >-\n  echo {seed} \"{model}\"\n"
      "vars: {a: 'it''s', b: \"x\\ty\"}\nenv:\n  A: 1\nretry_on: [75]\nlog: {level: debug}\n";
  for (std::size_t i = 0; i <= good.size(); ++i) (void)spec::load_text(good.substr(0, i), "/tmp/x.yaml");
  std::mt19937 random(7);
  const std::string signs = "{}[]:,'\"|>&*!%@`#-? \n\t\\a0";
  for (int round = 0; round < 3000; ++round) {
    std::string text = good;
    for (int edits = 0; edits < 3; ++edits) text[random() % text.size()] = signs[random() % signs.size()];
    const auto loaded = spec::load_text(text, "/tmp/x.yaml");
    if (const auto* problems = std::get_if<std::vector<spec::Problem>>(&loaded)) {
      REQUIRE(!problems->empty());
      for (const auto& problem : *problems) CHECK((problem.line >= 0 && !problem.message.empty()));
    }
  }
}

TEST_CASE("a hundred thousand brackets are refused at once") {
  CHECK(test::load_wrong("a: " + std::string(100'000, '[')).find("nested more than 32 levels deep") !=
        std::string::npos);
}

TEST_CASE("a line of a folded command is split off by its indentation only where the shell would end a command") {
  const auto split = [](const std::string& lines) {
    const spec::Source source("spec.yaml", "a: >\n" + lines);
    spec::Problems problems(source);
    const auto root = spec::parse_yaml(source, problems);
    const auto at = spec::line_split_off(*root->find("a"));
    return at ? root->find("a")->value.substr(*at) : std::string();
  };
  CHECK(split("  prog\n    --b\n  --c\n") == "--b\n--c\n");
  CHECK(split("  a\n\n  for x in y; do\n    prog\n      --b\n  done\n") == "--b\ndone\n");
  CHECK(split("  prog 'it'\n  \t--b\n") == "--b\n");
  CHECK(split("  prog\n  --b\n") == "");
  CHECK(split("  prog\n\n    --b\n") == "");
  CHECK(split("  prog \\\n    --b\n") == "");
  CHECK(split("  prog |\n    sort &&\n      true\n") == "");
  CHECK(split("  if true; then\n    echo yes\n  fi\n") == "");
  CHECK(split("  awk '\n    { print }' x\n") == "");
  CHECK(split("  for i in 1 2\n    do echo $i; done\n") == "");
  CHECK(split("  if [ -e x ]\n    then echo yes; fi\n") == "");
  CHECK(split("  while\n    prog; do true; done\n") == "");
  CHECK(split("  prog\n    # what it does\n") == "");
  CHECK(split("  x=$(prog\n    --b)\n") == "");
  CHECK(split("  cat <<EOF\n    text\n  EOF\n") == "");
}
