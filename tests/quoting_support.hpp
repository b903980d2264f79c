// What the tests of quoting share: real shells, values that are hard to quote, and a template filled in with one.
// Made for test_run_quoting*.cpp; nothing here outlives a test but one empty directory, removed at exit.
#pragma once

#include <doctest/doctest.h>
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <string>
#include <vector>

#include "core/template.hpp"
#include "temporary_directory.hpp"

namespace runner::test {

struct ShellResult {
  std::string output;
  int status = -1;
};

inline const std::string& empty_directory() {
  static const TemporaryDirectory kEmpty;
  return kEmpty.path();
}

/// Runs argv in an empty directory, where no glob finds anything, and returns what it wrote on stdout.
inline ShellResult run(const std::string& program, std::vector<std::string> argv, const std::string& locale) {
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
inline const std::vector<Shell>& shells() {
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

inline std::vector<std::string> nasty_values() {
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

inline core::CommandTemplate parse(const std::string& text) {
  auto parsed = core::CommandTemplate::parse_shell(text, {"v"});
  if (const auto* error = std::get_if<core::TemplateError>(&parsed)) FAIL(text << ": " << error->message);
  return std::get<core::CommandTemplate>(std::move(parsed));
}

inline core::Variables with_value(const std::string& value) {
  core::Variables variables;
  variables.set("v", value);
  return variables;
}

}  // namespace runner::test
