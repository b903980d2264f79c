// Templates: braces, near misses, formats; where in a shell string a placeholder stands; when no shell is needed.
// That real shells agree is shown by test_run_quoting.cpp.
#include "core/template.hpp"

#include <doctest/doctest.h>

#include <ctime>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "core/shell_words.hpp"

using namespace runner::core;  // NOLINT(google-build-using-namespace)
using namespace std::string_literals;

namespace {

const std::vector<std::string> kNames = {"slice", "index", "run",    "file",    "file.name",
                                         "x",     "point", "file_2", "ra (deg)"};

Variables variables(std::vector<std::pair<std::string, std::string>> more = {}) {
  Variables result;
  for (const auto& [name, value] : std::vector<std::pair<std::string, std::string>>{{"slice", "17"},
                                                                                    {"index", "16"},
                                                                                    {"run", "r1"},
                                                                                    {"file", "a b.h5"},
                                                                                    {"file.name", "b"},
                                                                                    {"x", "it's"},
                                                                                    {"point", "p"},
                                                                                    {"file_2", "f2"},
                                                                                    {"ra (deg)", "1.5"}}) {
    result.set(name, value);
  }
  for (auto& [name, value] : more) result.set(name, std::move(value));
  return result;
}

TextTemplate text(std::string_view source) {
  auto parsed = TextTemplate::parse(source, kNames);
  if (const auto* error = std::get_if<TemplateError>(&parsed)) FAIL(source << ": " << error->message);
  return std::get<TextTemplate>(std::move(parsed));
}
std::string expanded(std::string_view source) {
  const auto result = text(source).expand(variables());
  REQUIRE(result);
  return *result;
}
TemplateError error_of(std::string_view source) {
  const auto parsed = TextTemplate::parse(source, kNames);
  CAPTURE(source);
  REQUIRE(std::holds_alternative<TemplateError>(parsed));
  return std::get<TemplateError>(parsed);
}

CommandTemplate shell(std::string_view source) {
  auto parsed = CommandTemplate::parse_shell(source, kNames);
  if (const auto* error = std::get_if<TemplateError>(&parsed)) FAIL(source << ": " << error->message);
  return std::get<CommandTemplate>(std::move(parsed));
}
/// The text a shell gets, or the error.
std::string shell_text(std::string_view source, std::vector<std::pair<std::string, std::string>> more = {}) {
  const auto result = shell(source).expand(variables(std::move(more)));
  if (!result) return "error: " + result.error().message;
  REQUIRE(result->through_shell);
  REQUIRE(result->argv.size() == 3);
  CHECK(result->argv[0] == "/bin/sh");
  CHECK(result->argv[1] == "-c");
  return result->argv[2];
}
std::vector<std::string> direct(std::string_view source, std::vector<std::pair<std::string, std::string>> more = {}) {
  const auto result = shell(source).expand(variables(std::move(more)));
  CAPTURE(source);
  REQUIRE(result);
  return result->through_shell ? std::vector<std::string>{} : result->argv;
}
bool refuses(std::string_view source, const std::string& value) {
  return shell_text(source, {{"x", value}}).starts_with("error: ");
}
using Words = std::vector<std::string>;

}  // namespace

TEST_CASE("only known names are replaced") {
  CHECK(expanded("") == "");
  CHECK(expanded("a{slice}b{index}") == "a17b16");
  CHECK(expanded("{file.name}/{ra (deg)}") == "b/1.5");
  CHECK(expanded("{} {a,b} {1..3} { slice } {slice {print $1} ${HOME} }{") ==
        "{} {a,b} {1..3} { slice } {slice {print $1} ${HOME} }{");
  CHECK(expanded("{other} {i} {j} {y} {ru}") == "{other} {i} {j} {y} {ru}");
  CHECK(expanded("{sum}") == "{sum}");  // two edits from {run}, of three letters
  CHECK(expanded("{\nslice}") == "{\nslice}");
  CHECK(expanded("{{other}} {{json .}} {{end}}") == "{{other}} {{json .}} {{end}}");
  CHECK(expanded("{{slcie}}") == "{{slcie}}");
  CHECK(expanded("{key: 1, slice: 2}") == "{key: 1, slice: 2}");
}

TEST_CASE("double braces around a known name are literal braces") {
  CHECK(expanded("{{slice}}") == "{slice}");
  CHECK(expanded("{{slice:05d}}{slice}") == "{slice:05d}17");
  CHECK(expanded("{{slice: 1}}") == "{slice: 1}");
  CHECK(expanded("{{{slice}}}") == "{17}");
  CHECK(expanded("{{slice}") == "{17");
  CHECK(expanded("{slice}}") == "17}");
  CHECK(expanded("${{slice}}") == "${slice}");
  CHECK(expanded("{{item}} {{line}}") == "{item} {line}");  // variables of other slices than these
}

TEST_CASE("a near miss is an error that says what was meant and where") {
  for (const auto& [source, offset, suggestion] :
       std::vector<std::tuple<std::string, std::size_t, std::string>>{{"--n {slcie}", 4, "{slice}"},
                                                                      {"é{Slice}", 2, "{slice}"},
                                                                      {"{SLICE}", 0, "{slice}"},
                                                                      {"{slice}{indx:03d}", 7, "{index}"},
                                                                      {"{file.nam}", 0, "{file.name}"},
                                                                      {"{fil}", 0, "{file}"},
                                                                      {"{rnu}", 0, "{run}"},
                                                                      {"awk '{print}'", 5, "{point}"},
                                                                      {"{file.base}", 0, "{file.name}"},
                                                                      {"{file.extension}", 0, "{file}, {file.name}"}}) {
    const auto error = error_of(source);
    CHECK(error.offset == offset);
    CHECK(error.message.find(suggestion) != std::string::npos);
  }
  CHECK(error_of("{slcie}").message ==
        "unknown variable {slcie}; did you mean {slice}? (if no variable is meant: { slcie })");
}

TEST_CASE("a shell variable with a known name is an error unless the text sets it") {
  CHECK(error_of("out/${slice}.csv").offset == 4);
  CHECK(error_of("out/${slice}.csv").message ==
        "${slice} is a variable of the shell, and nothing sets it here: write {slice} for runner's, or ${{slice}} for "
        "the shell's");
  CHECK(error_of("cat ${file} file_2 --file /file {file}").offset == 4);
  CHECK(expanded("file=x; cat ${file}") == "file=x; cat ${file}");
  CHECK(expanded("for file in *; do cat ${file}; done") == "for file in *; do cat ${file}; done");
  CHECK(expanded("${HOME}${file%.h5}${slice:-1}$$") == "${HOME}${file%.h5}${slice:-1}$$");
  CHECK(expanded("$${slice}") == "$$17");
}

TEST_CASE("formats are checked when parsed and applied when expanded") {
  CHECK(expanded("{slice:05d} {slice:>4}{slice:x}") == "00017   1711");
  CHECK(expanded("{slice:}") == "17");
  CHECK(expanded("{ra (deg):.3f}") == "1.500");
  CHECK(error_of("a{slice:05q}").offset == 1);
  CHECK(error_of("{slice:d5}").message.find("{slice:d5}") == 0);
  CHECK(error_of("{\"slice\": {slice: 3}}").message.find("{{slice: 3}}") != std::string::npos);
  const auto unfit = text("{file:05d}").expand(variables());
  REQUIRE_FALSE(unfit);
  CHECK(unfit.error().message.find("{file:05d}: ") == 0);
  CHECK(unfit.error().message.find("a b.h5") != std::string::npos);
}

TEST_CASE("NUL is an error in a template and in a value") {
  CHECK(error_of("ab\0c"s).offset == 2);
  CHECK(error_of("{{slice:\0}}"s).offset == 8);
  const auto nul = variables({{"x", "a\0b"s}});
  CHECK(text("{x}").expand(nul).error().message.find("{x}: the value \"a\\x00b\" holds a NUL byte") == 0);
  CHECK_FALSE(shell("echo {x}").expand(nul));
  CHECK_FALSE(shell("prog {x}").expand(nul));
}

TEST_CASE("a value is quoted for the place it stands in, and only where it needs to be") {
  const auto quoted = [](std::string_view source, const std::string& value) {
    return shell_text("echo "s + std::string(source), {{"x", value}}).substr(5);
  };
  const std::string nasty = "My brother's 12\" *** record  (costs $$$).jpg";
  CHECK(quoted("{x}", "a/b-c_1.5,x:y@z%+") == "a/b-c_1.5,x:y@z%+");
  CHECK(quoted("{x}", "") == "''");
  CHECK(quoted("{x}", "--a=b") == "--a=b");
  CHECK(quoted("{x}", "A=b") == "'A=b'");
  CHECK(quoted("{x}", "done") == "'done'");
  CHECK(quoted("{x}", nasty) == "'My brother'\\''s 12\" *** record  (costs $$$).jpg'");
  CHECK(quoted("'{x}'", nasty) == "'My brother'\\''s 12\" *** record  (costs $$$).jpg'");
  CHECK(quoted("\"{x}\"", nasty) == "\"My brother's 12\\\" *** record  (costs \\$\\$\\$).jpg\"");
  CHECK(quoted("\"{x}\"", "`\\!\n") == "\"\\`\\\\!\n\"");
  CHECK(quoted("a-{x}.h5", "b c") == "a-'b c'.h5");
  CHECK(quoted("'it'\\''s {x}'", "1 2") == "'it'\\''s 1 2'");
  CHECK(quoted("awk '{print $1}' {x}", "1 2") == "awk '{print $1}' '1 2'");
}

TEST_CASE("text beside a placeholder that would change a harmless value makes it quoted or refused") {
  const auto quoted = [](std::string_view source, const std::string& value) {
    return shell_text("echo "s + std::string(source), {{"x", value}}).substr(5);
  };
  CHECK(quoted("~{x}", "root") == "~'root'");
  CHECK(quoted("$A{x}", "1") == "$A'1'");
  CHECK(quoted("$1{x}", "1") == "$1'1'");
  CHECK(quoted("${A}{x}", "1") == "${A}1");
  CHECK(quoted("$A\\\n{x}", "1") == "$A\\\n'1'");
  CHECK(quoted("\"$A{x}\"", "1") == "\"$A\"\"1\"");
  CHECK(quoted("\"${A}{x}\"", "1") == "\"${A}1\"");
  CHECK(quoted("{x}>f", "2") == "'2'>f");
  CHECK(quoted("{x}1<f", "2") == "'2'1<f");
  CHECK(quoted("{x} >f", "2") == "2 >f");
  CHECK(quoted("a{{{x}}}", "1,2") == "a{'1,2'}");
  CHECK(quoted("a{b,{x}}", "c") == "a{b,'c'}");
  CHECK(quoted("[{x}]", "a-z") == "['a-z']");
  CHECK(refuses("$(echo ~{x})", "root"));
  CHECK(refuses("$(echo $A{x})", "1"));
  CHECK(refuses("$(echo {x}>f)", "1"));
  CHECK(refuses("$(echo a{b,{x}})", "c"));
  CHECK_FALSE(refuses("$(echo {x})", "root"));
}

TEST_CASE("where no quoting is certain a harmless value is inserted and any other is refused") {
  for (const std::string source : {"echo $(cat {x})",
                                   "echo \"$(cat \"{x}\")\"",
                                   "echo `cat {x}`",
                                   "echo \"`cat '{x}'`\"",
                                   "echo ${A:-{x}}",
                                   "echo \"${A:-{x}}\"",
                                   "echo $(({x} + 1))",
                                   "echo \\{x}",
                                   "echo \"\\{x}\"",
                                   "echo $'{x}'",
                                   "echo $\"{x}\"",
                                   "true # don't {x}",
                                   "cat <<EOF\n{x}\nEOF",
                                   "cat <<'EOF'\n'{x}'\nEOF",
                                   "echo $(case a in a) echo;; esac; {x})",
                                   "echo $(true # )\n) {x}",
                                   "echo $[1 + {x}]",
                                   "(( {x} > 1 ))",
                                   "echo $'\\'' {x}",
                                   "echo $(a $(b) {x})",
                                   "echo $((1 + (2)) {x})",
                                   "echo \"${A:-'}\" {x} '}\"",
                                   "echo $( (a) {x} )",
                                   "echo $(a ')' {x})"}) {
    CAPTURE(source);
    CHECK(refuses(source, "a b"));
    CHECK(refuses(source, "a'b"));
    CHECK(refuses(source, ""));
    CHECK(refuses(source, "A=b"));
    CHECK_FALSE(refuses(source, "17"));
    CHECK_FALSE(refuses(source, "data/a-1.h5"));
  }
  CHECK(
      shell_text("echo $(cat {x})", {{"x", "a b\n"}}) ==
      "error: {x} stands inside $(...), where no quoting is safe for its value \"a b\\n\": use \"$RUNNER_VAR_X\" there "
      "instead, or write the command as a list");
}

TEST_CASE("what is proposed instead of a value works at its place in a here-document") {
  const auto proposed = [](std::string_view source) {
    const std::string error = shell_text(source, {{"x", "a b"}});
    return error.substr(std::min(error.size(), error.find("\": ") + 3));
  };
  CHECK(proposed("cat <<EOF\n{x}\nEOF") ==
        "use $RUNNER_VAR_X there instead, without quotes, which would stay in the text");
  CHECK(proposed("cat <<'EOF'\n{x}\nEOF") ==
        "write <<EOF without quotes, and use $RUNNER_VAR_X there instead (a backslash before any $, ` or \\ "
        "that is to stay)");
  CHECK(proposed("cat <<\\EOF\n{x}\nEOF") ==
        "use $RUNNER_VAR_X there instead, in double quotes only if that is outside of the here-document");
}

TEST_CASE("a value in the text of a second shell is refused unless it is harmless") {
  const auto ran = [](std::string_view source, const std::string& value) {
    const auto result = shell(source).expand(variables({{"x", value}}));
    return result ? result->argv.back() : "error: " + result.error().message;
  };
  CHECK(ran("bash -c 'echo {x}'", "17") == "echo 17");
  CHECK(
      ran("bash -c 'echo {x}'", "$(id)") ==
      "error: {x} stands in the text that a second shell runs, where no quoting is safe for its value \"$(id)\": write "
      "\"$1\" there, and behind that text the words _ {x}: sh -c '... \"$1\"' _ {x}");
  for (const std::string source :
       {"/bin/sh -e -c \"echo '{x}'\"", "env A=b dash -ec 'echo {x}'", "timeout 9 zsh -lc {x}",
        "bash -euo pipefail -c 'echo {x}'", "bash -o pipefail -c {x}", "sh -ce {x}", "bash +x -c {x}",
        "bash --rcfile f -c {x}", "env -u sh bash -c {x}", "ksh -c -e 'echo \"{x}\"'", "env sh -c 'echo $A{x}' a"}) {
    CAPTURE(source);
    CHECK(ran(source, "a;b").starts_with("error: "));
  }
  for (const std::string source : {"bash -c 'echo \"$1\"' _ {x}", "bash script {x}", "bash -x script -c {x}",
                                   "prog -c {x}", "grep sh -c {x}", "prog --shell bash -c {x}"}) {
    CAPTURE(source);
    CHECK(ran(source, "a;b").ends_with("a;b"));
  }
  const auto list = std::get<CommandTemplate>(CommandTemplate::parse_list({"bash", "-c", "echo {x}"}, {"x"}));
  CHECK_FALSE(list.expand(variables({{"x", "a b"}})));
  CHECK(list.expand(variables({{"x", "a"}})));
}

TEST_CASE("what only looks uncertain is not") {
  for (const std::string source : {"echo $(a) {x}",
                                   "echo \"$(a \")\" ')')\" {x}",
                                   "echo `a ')' \\`` {x}",
                                   "echo ${A:-'}'} {x}",
                                   "echo $((1+(2))) {x}",
                                   "echo '$(' {x}",
                                   "echo \\$\\( {x}",
                                   "echo \"\\`\" {x}",
                                   "echo a#b $# {x}",
                                   "true # don't\n {x}",
                                   "echo \\\" {x}",
                                   "case {x} in {x}) ;; esac",
                                   "(cd /; a {x})",
                                   "f() { a {x}; }",
                                   "cat <<EOF\n'$A\"\nEOF2\n EOF\nEOF\necho {x}",
                                   "cat <<-'E' | a {x}\n$(\n\tE\na {x}",
                                   "echo $'a\\n' {x}",
                                   "echo $\"a\" {x}",
                                   "echo \"$\" {x}",
                                   "echo $ {x}",
                                   "echo $$(x) {x}",
                                   "echo \\\n{x}",
                                   "{x} | cat",
                                   "A={x} prog"}) {
    CAPTURE(source);
    CHECK_FALSE(refuses(source, "a 'b"));
  }
}

TEST_CASE("a value cannot end the here-document it stands in") {
  CHECK(refuses("cat <<EOF\n{x}\nEOF", "EOF"));
  CHECK(refuses("cat <<EOF\nE{x}\nEOF", "OF"));
  CHECK_FALSE(refuses("cat <<EOF\n{x}\nEOF", "EOFs"));
  CHECK(refuses("cat <<\\EOF\n{x}\nEOF", "1"));  // a delimiter not understood
  CHECK(refuses("cat <<EOF\n$A{x}\nEOF", "1"));
}

TEST_CASE("a command without shell syntax is run directly") {
  CHECK(direct("python -u a.py --f mill2sort-{slice} -l 400\n") ==
        Words{"python", "-u", "a.py", "--f", "mill2sort-17", "-l", "400"});
  CHECK(direct("prog {x} '{x}' \"{x}\" a{file}", {{"x", "* $A '"}}) ==
        Words{"prog", "* $A '", "* $A '", "* $A '", "aa b.h5"});
  CHECK(direct("prog {x}", {{"x", ""}}) == Words{"prog", ""});
  CHECK(direct("  prog\t''  \"a  b\" 'c'd x=1 'é' é '*' \"~\" '$A'") ==
        Words{"prog", "", "a  b", "cd", "x=1", "é", "é", "*", "~", "$A"});
  CHECK(direct("./prog-{x} a", {{"x", "A=1 2"}}) == Words{"./prog-A=1 2", "a"});
  CHECK(direct("\"my prog\" a") == Words{"my prog", "a"});
}

TEST_CASE("whatever might mean something to a shell goes through the shell") {
  for (const std::string source :
       {"prog $A", "prog ~",   "prog ~/a", "prog *",    "prog a?",     "prog [a]",      "prog {a,b}",
        "prog }",  "prog !",   "prog a#b", "prog a; b", "prog a&",     "prog a|b",      "prog <a",
        "prog >a", "(prog)",   "prog \\a", "prog `a`",  "prog \"$A\"", "prog \"a\\b\"", "prog a\nb",
        "prog 'a", "A=b prog", "A=b",      "echo a",    "cd a",        "'echo' a",      "true",
        "[ a ]",   ". a",      ": a",      "exec prog", "if a",        "time prog",     "! prog",
        "{x} a",   "{x}",      "pre{x} a", "'' a",      "prog \ra",    "prog a^b"}) {
    CAPTURE(source);
    CHECK(direct(source).empty());
  }
}

TEST_CASE("in a list every element stays one argument") {
  std::size_t failed = 99;
  const auto parsed = CommandTemplate::parse_list({"prog", "{x}", "$A {file} 'b'", ""}, kNames, &failed);
  REQUIRE(std::holds_alternative<CommandTemplate>(parsed));
  const auto& command = std::get<CommandTemplate>(parsed);
  const auto result = command.expand(variables());
  REQUIRE(result);
  CHECK_FALSE(result->through_shell);
  CHECK(result->argv == Words{"prog", "it's", "$A a b.h5 'b'", ""});
  CHECK(command.text() == "prog '{x}' '$A {file} '\\''b'\\''' ''");

  const auto wrong = CommandTemplate::parse_list({"prog", "a {slcie}"}, kNames, &failed);
  REQUIRE(std::holds_alternative<TemplateError>(wrong));
  CHECK(failed == 1);
  CHECK(std::get<TemplateError>(wrong).offset == 2);
}

TEST_CASE("an empty command is an error") {
  for (const std::string source : {"", " ", "\n", " \t\n "}) {
    CHECK(std::holds_alternative<TemplateError>(CommandTemplate::parse_shell(source, kNames)));
  }
  CHECK(std::holds_alternative<TemplateError>(CommandTemplate::parse_list({}, kNames)));
  CHECK(std::holds_alternative<TemplateError>(CommandTemplate::parse_list({"", "a"}, kNames)));
  const auto named = std::get<CommandTemplate>(CommandTemplate::parse_list({"{x}", "a"}, kNames));
  CHECK_FALSE(named.expand(variables({{"x", ""}})));
}

TEST_CASE("blanks at the end of a command are dropped unless they are escaped") {
  CHECK(shell("echo a \t\n\n").text() == "echo a");
  CHECK(shell("echo a\\ \n").text() == "echo a\\ ");
  CHECK(shell("echo a\\\n").text() == "echo a\\\n");
}

TEST_CASE("a line to paste names the same program with the same arguments") {
  CHECK(to_shell_line({{"prog", "a b", "", "it's", "x=1", "--y=2", "-"}, false}) ==
        "prog 'a b' '' 'it'\\''s' 'x=1' --y=2 -");
  CHECK(to_shell_line({{"/bin/sh", "-c", "echo $A | cat"}, true}) == "/bin/sh -c 'echo $A | cat'");
  CHECK(to_shell_line({{"A=b", "if"}, false}) == "'A=b' 'if'");
  CHECK(to_shell_line({{"if"}, false}) == "'if'");
  CHECK(to_shell_line({{"echo", "echo"}, false}) == "env echo echo");  // not the builtin
}

TEST_CASE("variables are found in the environment under names of their own") {
  CHECK(environment_name("slice") == "RUNNER_SLICE");
  CHECK(environment_name("run") == "RUNNER_RUN_ID");
  CHECK(environment_name("file.name") == "RUNNER_VAR_FILE_NAME");
  CHECK(environment_name("m_factor2") == "RUNNER_VAR_M_FACTOR2");
  CHECK(environment_name("ra (deg)") == "RUNNER_VAR_RA__DEG_");
}

TEST_CASE("an argument may be as long as the kernel takes it, and no longer") {
  const std::string fits(kMaxArgument, 'x');
  CHECK(direct("prog {x}", {{"x", fits}}).size() == 2);
  const auto list = shell("prog a {x}").expand(variables({{"x", fits + "x"}}));
  REQUIRE_FALSE(list);
  CHECK(list.error().message ==
        "the command's word 3 is 131,072 bytes long, but the kernel takes at most 131,071 in one piece: hand the long "
        "value over in a file (`stdin`)");
  CHECK(shell_text("prog; y {x}", {{"x", std::string(kMaxArgument - 8, 'x')}}).size() == kMaxArgument);
  CHECK(shell_text("prog; y {x}", {{"x", std::string(kMaxArgument - 7, 'x')}})
            .starts_with("error: the command is 131,072"));
}

TEST_CASE("a shell variable that a long text names very often is looked for once") {
  std::string source;
  for (int i = 0; i < 20'000; ++i) source += "${x} ";
  const std::clock_t before = std::clock();  // of this process, whatever else the machine does
  CHECK(expanded(source + "x;") == source + "x;");
  CHECK(std::clock() - before < 2 * CLOCKS_PER_SEC);
}
