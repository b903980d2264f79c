// Proves the quoting of command templates with real shells: nasty values in every kind of place either arrive byte for
// byte or are refused; they never arrive as anything else. Random, with a fixed seed.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "core/template.hpp"

using namespace runner::core;  // NOLINT(google-build-using-namespace)
using namespace std::string_literals;

namespace {

class TemporaryDirectory {
 public:
  TemporaryDirectory() : path_("/tmp/runner-quoting-XXXXXX") { REQUIRE(::mkdtemp(path_.data()) != nullptr); }
  ~TemporaryDirectory() { ::rmdir(path_.c_str()); }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

struct ShellResult {
  std::string output;
  int status = -1;
};

const std::string& empty_directory() {
  static const TemporaryDirectory kEmpty;
  return kEmpty.path();
}

/// Runs argv in an empty directory, where no glob finds anything, and returns what it wrote on stdout.
ShellResult run(const std::string& program, std::vector<std::string> argv, const std::string& locale) {
  std::vector<std::string> environment = {"PATH=/usr/bin:/bin", "HOME=/home/nobody", "LC_ALL=" + locale, "A=q"};
  std::vector<char*> argv_pointers;
  for (std::string& word : argv) argv_pointers.push_back(word.data());
  argv_pointers.push_back(nullptr);
  std::vector<char*> environment_pointers;
  for (std::string& entry : environment) environment_pointers.push_back(entry.data());
  environment_pointers.push_back(nullptr);

  std::array<int, 2> pipe{};
  REQUIRE(::pipe2(pipe.data(), O_CLOEXEC) == 0);
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  ::posix_spawn_file_actions_adddup2(&actions, pipe[1], 1);
  ::posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
  ::posix_spawn_file_actions_addchdir_np(&actions, empty_directory().c_str());
  pid_t pid = 0;
  const int error =
      ::posix_spawn(&pid, program.c_str(), &actions, nullptr, argv_pointers.data(), environment_pointers.data());
  ::posix_spawn_file_actions_destroy(&actions);
  ::close(pipe[1]);
  REQUIRE(error == 0);

  ShellResult result;
  std::array<char, 65536> buffer{};
  for (ssize_t n = 0; (n = ::read(pipe[0], buffer.data(), buffer.size())) > 0;) {
    result.output.append(buffer.data(), static_cast<std::size_t>(n));
  }
  ::close(pipe[0]);
  REQUIRE(::waitpid(pid, &result.status, 0) == pid);
  return result;
}

struct Shell {
  std::string program;
  std::string name;  // argv[0]: bash called sh is what /bin/sh is on some systems
  std::string locale;
};
const std::vector<Shell>& shells() {
  static const std::vector<Shell> kShells = [] {
    std::vector<Shell> all = {{"/bin/sh", "sh", "C.UTF-8"}, {"/bin/sh", "sh", "C"}};
    for (const char* bash : {"/bin/bash", "/usr/bin/bash"}) {
      if (::access(bash, X_OK) != 0) continue;
      all.push_back({bash, "sh", "C.UTF-8"});
      all.push_back({bash, "bash", "C"});
      break;
    }
    return all;
  }();
  return kShells;
}

std::vector<std::string> nasty_values() {
  std::vector<std::string> values = {"17",
                                     "0",
                                     "a",
                                     "data/a.h5",
                                     "x.y,z",
                                     "1..3",
                                     "1,2",
                                     "--flag",
                                     "-n",
                                     "-",
                                     "a=b",
                                     "A=b",
                                     "=b",
                                     "--f=g",
                                     "a:b",
                                     "root",
                                     "/etc",
                                     "",
                                     " ",
                                     "  two  blanks ",
                                     "\t",
                                     "\n",
                                     "\nline",
                                     "line\n",
                                     "a\nb",
                                     "\n\n",
                                     "a\\\nb",
                                     "'",
                                     "''",
                                     "it's",
                                     "\"",
                                     "\"\"",
                                     "a\"b",
                                     "\\",
                                     "\\\\",
                                     "a\\",
                                     "\\n",
                                     "$",
                                     "$$",
                                     "$A",
                                     "${A}",
                                     "$(echo x)",
                                     "$((1+1))",
                                     "a$",
                                     "`echo x`",
                                     "`",
                                     "*",
                                     "?",
                                     "[a-z]",
                                     "a-z",
                                     "*.h5",
                                     "~",
                                     "~root",
                                     "~/x",
                                     "!",
                                     "!!",
                                     "!x",
                                     "#",
                                     "# x",
                                     "a#b",
                                     ";",
                                     "; echo x",
                                     "&",
                                     "&& echo x",
                                     "|",
                                     "||",
                                     "<",
                                     ">",
                                     ">x",
                                     "<<EOF",
                                     "(",
                                     ")",
                                     "()",
                                     "((1))",
                                     "{",
                                     "}",
                                     "{}",
                                     "{a,b}",
                                     "{1..3}",
                                     "{v}",
                                     "{{v}}",
                                     "if",
                                     "done",
                                     "case",
                                     "esac",
                                     "time",
                                     "%s",
                                     "%",
                                     "^",
                                     "@",
                                     "+",
                                     "\r\n",
                                     "\x1b[0m",
                                     "EOF",
                                     "EOF\n",
                                     "x\nEOF\ny",
                                     "')\"",
                                     "'\"'\"'",
                                     "a'b\"c`d$e\\f",
                                     "$'a'",
                                     "é",
                                     "日本語",
                                     "\xff",
                                     "\xc3",
                                     "\x81",
                                     "\x82\x83",
                                     "a\xffz",
                                     "\xe2\x80",
                                     "\u00a0",
                                     "\xa0",
                                     "My brother's 12\" *** record  (costs $$$).jpg",
                                     "'; touch /tmp/never; '",
                                     "\"; touch /tmp/never; \"",
                                     "$(touch /tmp/never)",
                                     "`touch /tmp/never`"};
  std::string all_bytes;
  for (int byte = 1; byte < 256; ++byte) all_bytes += static_cast<char>(byte);
  values.push_back(all_bytes);
  return values;
}

/// A part of a shell word with one placeholder {v} in it, and what the shell makes of it.
struct Fragment {
  std::string text;
  std::function<std::string(const std::string&)> arrives;
};
Fragment around(const std::string& text, const std::string& before = "", const std::string& after = "") {
  return {text, [=](const std::string& v) { return before + v + after; }};
}

const std::vector<Fragment>& certain_fragments() {
  static const std::vector<Fragment> kFragments = {
      around("{v}"),
      around("pre{v}post", "pre", "post"),
      around("mill2sort-{v}", "mill2sort-"),
      around("~{v}", "~"),
      around("x~{v}", "x~"),
      around("x=~{v}", "x=~"),
      around("[{v}]", "[", "]"),
      around("[!{v}]", "[!", "]"),
      around("x#{v}", "x#"),
      around("{v}#x", "", "#x"),
      around("--x={v}", "--x="),
      around("{v}=1", "", "=1"),
      around("\"{v}\""),
      around("\"a {v} b\"", "a ", " b"),
      around("\"it's {v}\"", "it's "),
      around("\"!{v}!\"", "!", "!"),
      around("\"~{v}#\"", "~", "#"),
      around("\"\\\"{v}\\\"\"", "\"", "\""),
      around("\"\\\\{v}\"", "\\"),
      around("\"$A{v}\"", "q"),
      around("\"$1{v}\"", ""),
      around("\"${A}{v}\"", "q"),
      around("\"{v}$A\"", "", "q"),
      around("\"{v}(x)\"", "", "(x)"),
      {"\"{v}{v}\"", [](const std::string& v) { return v + v; }},
      around("\"$(printf %s x){v}\"", "x"),
      around("\"$(printf %s ')' \"a b\" 'c'){v}\"", ")a bc"),
      around("\"`printf %s x`{v}\"", "x"),
      around("\"$((1+(2)*3)){v}\"", "7"),
      around("\"${U:-z}{v}\"", "z"),
      around("'{v}'"),
      around("'a \"{v}\" $A'", "a \"", "\" $A"),
      around("'\\{v}\\'", "\\", "\\"),
      around("'it'\\''s {v}'", "it's "),
      around("\\\\{v}", "\\"),
      around("\\'{v}\\\"", "'", "\""),
      around("\\$'{v}'", "$"),
      around("$A{v}", "q"),
      around("${A}{v}", "q"),
      around("$A\\\n{v}", "q"),
      around("{v}\\\nx", "", "x"),
      around("$((1+2)){v}", "3"),
      around("$(printf %s x){v}", "x"),
      around("`printf %s x`{v}", "x"),
      around("${U:-'}'}{v}", "}"),
      around("{{{v}}}", "{", "}"),
      around("{{v}}{v}", "{v}"),
      around("a{{{v}}}b", "a{", "}b"),
      around("''{v}\"\""),
  };
  return kFragments;
}

/// The same where quoting is uncertain: a value arrives or is refused.
const std::vector<Fragment>& uncertain_fragments() {
  static const std::vector<Fragment> kFragments = {
      around("\\{v}"),
      around("\"\\{v}\"", "\\"),
      around("\"$(printf %s {v})\""),
      around("\"$(printf %s \"{v}\")\""),
      around("\"$(printf %s '{v}')\""),
      around("$(printf %s \"{v}\")"),
      around("\"`printf %s {v}`\""),
      around("`printf %s \"{v}\"`"),
      around("\"$(printf %s $(printf %s {v}))\""),
      around("\"$(printf %s x~{v})\"", "x~"),
      around("\"$(printf %s $A{v})\"", "q"),
      around("${U:-{v}}"),
      around("\"${U:-{v}}\""),
      around("\"${U:-x{v}y}\"", "x", "y"),
      around("\"${U:-~{v}}\"", "~"),
      around("\"${U:-\"{v}\"}\""),
      around("${U:-\"{v}\"}"),
      around("\"$(case a in a) printf %s {v};; esac)\""),
      around("\"$(printf %s \\{v})\""),
  };
  return kFragments;
}

/// What may stand before the command, leaves nothing behind, and never refuses a value.
const std::vector<std::string>& certain_preludes() {
  static const std::vector<std::string> kPreludes = {
      "",
      ": a#b '#' \"#\" $# ; ",
      "case {v} in {v}) ;; *) exit 9;; esac; ",
      "case \"{v}\" in '{v}') ;; *) exit 9;; esac\n",
      "x={v}; [ \"$x\" = \"{v}\" ] || exit 9; ",
      "x=\"{v}\" y='{v}'\n",
      "for x in {v} '{v}'; do [ \"$x\" = {v} ] || exit 9; done; ",
      ": {v}>/dev/null; ",
      ": {v}{v}2>/dev/null; ",
      "(: {v}); { : {v}; }\n",
      "f() { : \"$1\" {v}; }; f {v} || : {v}; ",
      "! false && : \\\n {v}; ",
      ": <<'EOF'\n{{v}} it's\nEOF\n",
      ": <<EOF\n{{v}} it's\nEOF\n",
      ": `echo '\\`' \\`echo b\\` ` \"`echo \"x\"`\"; ",
      ": ${U:-'\"'} ${A#\\'} \"${A%\\}}\" $(( (1 + 2) * ${#A} )); ",
      ": \"$(echo \"$(echo \"a)b\")\" ')')\" '\"' \"'\"; ",
      ": $$ $? $! \"$*\" $- ; ",
  };
  return kPreludes;
}

/// The same with uncertain places in them or after them.
const std::vector<std::string>& uncertain_preludes() {
  static const std::vector<std::string> kPreludes = {
      "# don't {v}\n",
      "# it is \"{v}\n",
      ": <<EOF | : {v} '{v}'\n{{v}} it's\n EOF\n$A $(echo \"x\")\nEOF\n",
      ": <<- \"EOF\" # it's {v}\n\t{v}\n{v}{v}\n\tEOF\n",
      ": <<-EOF | \\\n :\n\"{v} $A\n${A} `echo x`\nEOF\n",
      ": $(cat <<EOF\n)'\nEOF\n); ",
      ": <<'E O'; : 'x\n';\n'\nE O\n",
      ": $(echo a # don't )\n); ",
      ": $(case a in a) echo \"; esac\";; esac); ",
  };
  return kPreludes;
}

struct Command {
  std::string text;
  std::vector<Fragment> words;  // what each argument is made of
  bool is_certain = true;       // no value may be refused
};

class Generator {
 public:
  int number(int first, int last) { return std::uniform_int_distribution<int>(first, last)(random_); }
  bool one_in(int n) { return number(1, n) == 1; }
  template <class T>
  const T& pick(const std::vector<T>& from) {
    return from[std::uniform_int_distribution<std::size_t>(0, from.size() - 1)(random_)];
  }

  Command command() {
    Command result;
    result.is_certain = !one_in(3);
    result.text = (result.is_certain || one_in(2) ? pick(certain_preludes()) : pick(uncertain_preludes()));
    result.text += "printf '%s\\0'";
    const int words = result.is_certain ? number(1, 8) : number(1, 3);
    for (int i = 0; i < words; ++i) {
      const bool is_certain = result.is_certain || one_in(2);
      Fragment word = pick(is_certain ? certain_fragments() : uncertain_fragments());
      if (one_in(4)) {
        const Fragment second = pick(certain_fragments());
        word = {word.text + second.text,
                [word, second](const std::string& v) { return word.arrives(v) + second.arrives(v); }};
      }
      result.text += pick(std::vector<std::string>{" ", "  ", " \\\n", "\t"}) + (one_in(2) ? "x" : "\"x\"") + word.text;
      result.words.push_back(word);
    }
    return result;
  }

  std::string value(const std::vector<std::string>& nasty) {
    return one_in(3) ? pick(nasty) + pick(nasty) : pick(nasty);
  }

 private:
  std::mt19937 random_{20261121};
};

CommandTemplate parse(const std::string& text) {
  auto parsed = CommandTemplate::parse_shell(text, {"v"});
  if (const auto* error = std::get_if<TemplateError>(&parsed)) FAIL(text << ": " << error->message);
  return std::get<CommandTemplate>(std::move(parsed));
}

Variables with_value(const std::string& value) {
  Variables variables;
  variables.set("v", value);
  return variables;
}

}  // namespace

TEST_CASE("a value arrives byte for byte in every place or is refused") {
  const auto nasty = nasty_values();
  Generator generate;
  std::size_t arrived = 0;
  std::size_t refused = 0;
  for (std::size_t round = 0; round < 3000; ++round) {
    const Command command = generate.command();
    const std::string value = generate.value(nasty);
    CAPTURE(command.text);
    CAPTURE(value);
    const auto expanded = parse(command.text).expand(with_value(value));
    if (!expanded) {
      ++refused;
      CHECK_FALSE(command.is_certain);
      continue;
    }
    ++arrived;
    REQUIRE(expanded->through_shell);
    std::string expected;
    for (const Fragment& word : command.words) expected += "x" + word.arrives(value) + '\0';
    const Shell& shell = shells()[round % shells().size()];
    const auto result = run(shell.program, {shell.name, "-c", expanded->argv[2]}, shell.locale);
    CAPTURE(shell.program);
    CAPTURE(expanded->argv[2]);
    CHECK(result.output == expected);
    CHECK(result.status == 0);
  }
  MESSAGE(arrived << " arrived, " << refused << " refused");
  CHECK(arrived > 2000);
  CHECK(refused > 200);
}

TEST_CASE("no value is ever run, however odd the command is") {
  const std::vector<std::string> tokens = {
      "'",       "\"",  "`",   "$(",  ")",    "$((", "))",    "${A:-", "}",     "\\",    "#",
      " ",       "\n",  "\n",  ";",   "|",    "&",   "(",     "((",    "{ ",    " }",    "$A",
      "$'",      "$\"", "$[",  "]",   "$",    "<<E", "<<",    "\nE\n", "<<'E'", "<<-E ", "case a in a) ",
      ";; esac", "{v}", "{v}", "{v}", "{v}",  "x",   "echo ", ": ",    "\\\n",  "~",     "if ",
      "then ",   "fi ", "!",   "=",   "${A#", "A=",  "&&",    "%"};
  const std::vector<std::string> values = {"\n>ran\n",
                                           ";>ran;",
                                           "';>ran;'",
                                           "\";>ran;\"",
                                           "$(>ran)",
                                           "`>ran`",
                                           ")>ran;(",
                                           "}>ran;",
                                           "\\';>ran;",
                                           "&>ran|",
                                           "\n;>ran;';>ran;'\";>ran;\"$(>ran)`>ran`)>ran;(\n>ran\n",
                                           "E\n>ran\nE",
                                           "'\n>ran\n'",
                                           "\\\";>ran;$(>ran)"};
  const std::string ran = empty_directory() + "/ran";
  Generator generate;
  int tried = 0;
  for (int round = 0; round < 3000; ++round) {
    std::string text = ":";
    for (int i = generate.number(4, 16); i > 0; --i) text += generate.pick(tokens);
    if (text.find("{v}") == std::string::npos) continue;
    auto parsed = CommandTemplate::parse_shell(text, {"v"});
    if (!std::holds_alternative<CommandTemplate>(parsed)) continue;  // ${v}
    const auto expanded = std::get<CommandTemplate>(parsed).expand(with_value(generate.pick(values)));
    if (!expanded || !expanded->through_shell) continue;
    ++tried;
    CAPTURE(text);
    CAPTURE(expanded->argv[2]);
    const Shell& shell = generate.pick(shells());
    CAPTURE(shell.program);
    run(shell.program, {shell.name, "-c", expanded->argv[2]}, shell.locale);
    CHECK(::unlink(ran.c_str()) != 0);
  }
  CHECK(tried > 500);
}

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
