// The quoting of command templates where there is more to it than one place in a word: here-documents, redirections,
// commands that need no shell, lines to paste. Proved with real shells.
#include "quoting_support.hpp"

using namespace runner::core;  // NOLINT(google-build-using-namespace)
using namespace runner::test;  // NOLINT(google-build-using-namespace)
using namespace std::string_literals;

TEST_CASE("a value in a here-document arrives or is refused, and never ends it") {
  for (const std::string& value : nasty_values()) {
    for (const std::string text :
         {"cat <<EOF\n{v}\nEOF\n", "cat <<'EOF'\n{v}{v}\nEOF\nexit 0", "cat <<-\"E\"\n\t{v}\n\tE\n",
          "cat <<EOF\na\nE{v}\nEOF\n: $A{v}", "cat <<EOF\n$A{v}\nEOF\n"}) {
      const auto expanded = parse(text).expand(with_value(value));
      if (!expanded) continue;
      CAPTURE(expanded->argv[2]);
      for (const Shell& shell : {shells().front(), shells().back()}) {
        const auto result = run(shell.program, {shell.name, "-c", expanded->argv[2]}, shell.locale);
        CHECK(result.status == 0);
        const std::string twice = text.find("{v}{v}") == std::string::npos ? value : value + value;
        const std::string before = text.find("E{v}") == std::string::npos ? "" : "a\nE";
        CHECK(result.output == before + twice + "\n");
      }
    }
  }
}

TEST_CASE("a number before a redirection is an argument and no file descriptor") {
  for (const std::string value : {"0", "1", "2", "17", "x"}) {
    for (const Shell& shell : shells()) {
      const auto expanded =
          parse("printf '%s\\0' a {v}>&1; printf '%s\\0' a {v}\\\n</dev/null").expand(with_value(value));
      REQUIRE(expanded);
      const auto result = run(shell.program, {shell.name, "-c", expanded->argv[2]}, shell.locale);
      const std::string once = "a\0"s + value + '\0';
      CHECK(result.output == once + once);
    }
  }
}

TEST_CASE("a command that is run directly gets the arguments a shell would give it") {
  const std::vector<std::string> texts = {
      "/usr/bin/printf '%s\\0' {v} pre{v}post '{v}' \"{v}\" --x={v} a{v}'b c'\"it's {v}\" '' x\"\"",
      "/usr/bin/printf\t'%s\\0'  {v}   x=1 a,b:c@d%e+f-g é'*'\"~\"  \n",
  };
  for (const std::string& text : texts) {
    for (const std::string& value : nasty_values()) {
      const auto direct = parse(text).expand(with_value(value));
      const auto through_shell = parse("exec " + text).expand(with_value(value));
      REQUIRE(direct);
      REQUIRE(through_shell);
      CAPTURE(value);
      REQUIRE_FALSE(direct->through_shell);
      REQUIRE(through_shell->through_shell);
      const auto expected = run("/bin/sh", through_shell->argv, "C").output;
      CHECK_FALSE(expected.empty());
      CHECK(run(direct->argv.front(), direct->argv, "C").output == expected);
    }
  }
}

TEST_CASE("a line to paste gives the arguments of the command") {
  const auto nasty = nasty_values();
  ExpandedCommand command;
  command.argv = {"printf", "%s\\0"};  // the builtin would be as good, but the program is what was run
  command.argv.insert(command.argv.end(), nasty.begin(), nasty.end());
  std::string expected;
  for (const std::string& value : nasty) expected += value + '\0';
  for (const Shell& shell : shells()) {
    CHECK(run(shell.program, {shell.name, "-c", to_shell_line(command)}, shell.locale).output == expected);
  }
}
