// Foreign bytes on a terminal: whole texts, lines, streams in pieces, shell words.
#include <doctest/doctest.h>

#include <string>

#include "util/display.hpp"
#include "util/text.hpp"

using namespace runner::util;
using namespace std::string_literals;

namespace {

std::string streamed(std::string_view text, std::size_t piece) {
  StreamEscaper escape;
  std::string out;
  for (std::size_t i = 0; i < text.size(); i += piece) out += escape(text.substr(i, piece));
  return out + escape.finish();
}

}  // namespace

TEST_CASE("lines and columns stay, all else that is no text is escaped") {
  CHECK(escape_lines("a\tb\nc\r\nd") == "a\tb\nc\r\nd");
  CHECK(escape_lines("over\rwritten\r") == "over\\rwritten\\r");
  CHECK(escape_lines("\x1b[2J\x7f\xc2\x9b\xe2\x80\xae\xff\0"s) == "\\x1b[2J\\x7f\\xc2\\x9b\\u202e\\xff\\x00");
  CHECK(escape_lines("é€😀 \\x1b") == "é€😀 \\x1b");
  CHECK_MESSAGE(escape_lines(std::string(100'000, 'x')).size() == 100'000, "there is no limit");
}

TEST_CASE("what is escaped already is not escaped again") {
  const std::string once = escape_lines("\x1b\r\xff\n");
  CHECK(escape_lines(once) == once);
}

TEST_CASE("a stream is escaped as its whole would be, wherever its pieces end") {
  const std::string text =
      "é€😀\r\n\r\r\n\x1b[0m\xff\xc3\xe2\x82\xf0\x9f\x98 \xe2\x80\xae\xed\xa0\x80\xc0\x80\xf5\x80 end\xe2\x82"s;
  for (std::size_t piece = 1; piece <= text.size(); ++piece) {
    CAPTURE(piece);
    CHECK(streamed(text, piece) == escape_lines(text));
  }
  CHECK(streamed("x\r", 1) == "x\\r");
}

TEST_CASE("a stream holds back no more than the beginning of one character") {
  StreamEscaper escape;
  CHECK(escape("a\xf0\x9f") == "a");
  CHECK(escape("\x98") == "");
  CHECK(escape("\x80z") == "😀z");
  CHECK(escape("\xf0\x9f\x98\xf0") == "\\xf0\\x9f\\x98");
  CHECK(escape.finish() == "\\xf0");
  CHECK(escape.finish() == "");
}

TEST_CASE("a shell word that is shown is quoted as ever, or in octal where it would do things to the terminal") {
  CHECK(shell_quote_for_display("plain") == "plain");
  CHECK(shell_quote_for_display("it's") == shell_quote("it's"));
  CHECK(shell_quote_for_display("é €") == "'é €'");
  CHECK(shell_quote_for_display("\x1b[1m'\\\n\xc2\x9b\xff") == "$'\\033[1m\\'\\\\\\012\\302\\233\\377'");
}
