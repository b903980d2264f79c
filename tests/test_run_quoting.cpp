// Proves the quoting of command templates with real shells: nasty values in every kind of place either arrive byte for
// byte or are refused; they never arrive as anything else. Random, with a fixed seed.
#include <functional>
#include <random>

#include "quoting_support.hpp"

using namespace runner::core;  // NOLINT(google-build-using-namespace)
using namespace runner::test;  // NOLINT(google-build-using-namespace)

namespace {

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
