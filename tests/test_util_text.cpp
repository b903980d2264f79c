#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "util/text.hpp"

using namespace runner::util;
using namespace std::string_literals;

TEST_CASE("the edit distance counts insertions, deletions, substitutions and swaps of neighbours") {
  CHECK(edit_distance("", "") == 0);
  CHECK(edit_distance("", "abc") == 3);
  CHECK(edit_distance("abc", "") == 3);
  CHECK(edit_distance("slices", "slices") == 0);
  CHECK(edit_distance("slcies", "slices") == 1);
  CHECK(edit_distance("slice", "slices") == 1);
  CHECK(edit_distance("kitten", "sitting") == 3);
  CHECK(edit_distance("ca", "abc") == 3);  // optimal string alignment, where the unrestricted distance is 2
}

TEST_CASE("the edit distance is symmetric and keeps to its bounds") {
  std::mt19937 random(2);
  const auto word = [&] {
    std::string text(random() % 8, ' ');
    std::generate(text.begin(), text.end(), [&] { return static_cast<char>('a' + random() % 3); });
    return text;
  };
  for (int i = 0; i < 2000; ++i) {
    const std::string a = word();
    const std::string b = word();
    const auto distance = edit_distance(a, b);
    REQUIRE(distance == edit_distance(b, a));
    REQUIRE((distance == 0) == (a == b));
    REQUIRE(distance <= std::max(a.size(), b.size()));
    REQUIRE(distance >= std::max(a.size(), b.size()) - std::min(a.size(), b.size()));
    for (std::size_t limit = 0; limit < 8; ++limit) {
      const auto cut = edit_distance(a, b, limit);
      REQUIRE((distance <= limit ? cut == distance : cut > limit));
    }
  }
}

TEST_CASE("the closest word is suggested, the first of equals, and none that is as far as the word is long") {
  const std::vector<std::string> words = {"slices", "command", "timeout", "x"};
  CHECK(closest("slcies", words) == "slices");
  CHECK(closest("comand", words) == "command");
  CHECK_FALSE(closest("parallel", words));
  CHECK_FALSE(closest("", words));
  CHECK_FALSE(closest("y", words));    // one edit away, but that is all of it
  CHECK(closest("xy", words) == "x");  // one of two letters is right
  CHECK(closest("ab", {"ac", "ad"}) == "ac");
  CHECK(closest("abc", {"abd", "abc"}) == "abc");
  CHECK_FALSE(closest("abcdef", {"abxyef"}, 1));
  CHECK(closest("abcdef", {"abxyef"}, 2) == "abxyef");
}

TEST_CASE("UTF-8 is valid as RFC 3629 has it") {
  for (const auto& text : {""s, "plain"s, "\0"s, "é"s, "\xE2\x82\xAC"s, "\xF0\x9F\x98\x80"s, "\xED\x9F\xBF"s,
                           "\xEE\x80\x80"s, "\xF4\x8F\xBF\xBF"s, "\xC2\x80"s, "\xE0\xA0\x80"s, "\xF0\x90\x80\x80"s}) {
    CHECK(is_valid_utf8(text));
  }
  const std::vector<std::string> wrong = {
      "\x80"s,
      "\xBF"s,  // a continuation alone
      "\xC0\x80"s,
      "\xC1\xBF"s,  // overlong
      "\xE0\x9F\xBF"s,
      "\xF0\x8F\xBF\xBF"s,  // overlong
      "\xED\xA0\x80"s,
      "\xED\xBF\xBF"s,  // surrogates
      "\xF4\x90\x80\x80"s,
      "\xF5\x80\x80\x80"s,  // beyond U+10FFFF
      "\xC3"s,
      "\xE2\x82"s,
      "\xF0\x9F\x98"s,  // cut off
      "\xC3(",
      "\xE2(\xAC"s,
      "\xFF"s,
      "a\xFEz"s,  // never in UTF-8
  };
  for (const auto& text : wrong) CHECK_FALSE(is_valid_utf8(text));
}

TEST_CASE("identifiers are ASCII letters, digits and underscores that do not begin with a digit") {
  for (const char* text : {"a", "_", "A9", "file_1", "_9"}) CHECK(is_identifier(text));
  for (const char* text : {"", "9a", "a-b", "a.b", " a", "a ", "é", "a\n"}) CHECK_FALSE(is_identifier(text));
}

TEST_CASE("trim takes white space from both ends only") {
  CHECK(trim("  a b\t\n") == "a b");
  CHECK(trim("a") == "a");
  CHECK(trim(" \r\n\v\f ").empty());
  CHECK(trim("").empty());
}

TEST_CASE("split gives one part more than there are separators") {
  using Parts = std::vector<std::string_view>;
  CHECK(split("a,b", ',') == Parts{"a", "b"});
  CHECK(split("", ',') == Parts{""});
  CHECK(split(",a,,", ',') == Parts{"", "a", "", ""});
  CHECK(split("abc", ',') == Parts{"abc"});
}

TEST_CASE("prefixes are compared without regard to the case of ASCII letters") {
  CHECK(starts_with_ignoring_case("SLURM_JOB", "slurm_"));
  CHECK(starts_with_ignoring_case("abc", ""));
  CHECK(starts_with_ignoring_case("abc", "ABC"));
  CHECK_FALSE(starts_with_ignoring_case("ab", "abc"));
  CHECK_FALSE(starts_with_ignoring_case("[", "{"));  // 32 apart, as letters and their capitals are
}

TEST_CASE("integers are read in their one canonical form") {
  CHECK(parse_int("0") == 0);
  CHECK(parse_int("12") == 12);
  CHECK(parse_int("-3") == -3);
  CHECK(parse_int("9223372036854775807") == INT64_MAX);
  CHECK(parse_int("-9223372036854775808") == INT64_MIN);
  for (const char* text : {"", "-", "+1", " 1", "1 ", "01", "-01", "00", "-0", "1.0", "0x1", "1e3", "--1", "1-",
                           "9223372036854775808", "-9223372036854775809", "99999999999999999999999"}) {
    CHECK_MESSAGE(!parse_int(text), text);
  }
}

TEST_CASE("numbers inside of names sort by value, whatever their length") {
  const std::vector<std::string> ordered = {"",
                                            "a",
                                            "a-1",
                                            "a1",
                                            "a2",
                                            "a2b1",
                                            "a2b10",
                                            "a10",
                                            "a99999999999999999999999999998",
                                            "a99999999999999999999999999999",
                                            "a100000000000000000000000000000",
                                            "b",
                                            "data/1.h5",
                                            "data/2.h5",
                                            "data/10.h5",
                                            "é"};
  for (std::size_t i = 0; i < ordered.size(); ++i) {
    for (std::size_t j = 0; j < ordered.size(); ++j) {
      CAPTURE(ordered[i]);
      CAPTURE(ordered[j]);
      CHECK(natural_less(ordered[i], ordered[j]) == (i < j));
    }
  }
}

TEST_CASE("natural order is total: leading zeros only break ties") {
  CHECK(natural_less("a01", "a1"));
  CHECK_FALSE(natural_less("a1", "a01"));
  CHECK(natural_less("a01b2", "a1b10"));
  CHECK(natural_less("a1b2", "a01b10"));
  std::mt19937 random(3);
  const auto word = [&] {
    std::string text(random() % 6, ' ');
    std::generate(text.begin(), text.end(), [&] { return "019a/"[random() % 5]; });
    return text;
  };
  for (int i = 0; i < 20'000; ++i) {
    const std::string a = word();
    const std::string b = word();
    const std::string c = word();
    CAPTURE(a + " | " + b + " | " + c);
    REQUIRE(natural_less(a, b) + natural_less(b, a) + (a == b) == 1);
    if (natural_less(a, b) && natural_less(b, c)) REQUIRE(natural_less(a, c));
  }
}

TEST_CASE("printable text is displayed as it is") {
  CHECK(escape_for_display("") == "");
  CHECK(escape_for_display("plain 'text' \"$5\" C:\\dir") == "plain 'text' \"$5\" C:\\dir");
  CHECK(escape_for_display("é€😀") == "é€😀");
}

TEST_CASE("nothing that is displayed can steer a terminal") {
  CHECK(escape_for_display("a\nb\tc\rd") == "a\\nb\\tc\\rd");
  CHECK(escape_for_display("\x1B[31mred\x07") == "\\x1b[31mred\\x07");
  CHECK(escape_for_display("\0"s) == "\\x00");
  CHECK(escape_for_display("\x7F") == "\\x7f");
  CHECK(escape_for_display("\xC2\x9B"
                           "31m") == "\\xc2\\x9b31m");  // CSI as one C1 character
  CHECK(escape_for_display("\x9B"
                           "31m") == "\\x9b31m");  // and as a byte
  CHECK(escape_for_display("\xFFz\xC3") == "\\xffz\\xc3");
  CHECK(escape_for_display("\xED\xA0\x80") == "\\xed\\xa0\\x80");
  CHECK(escape_for_display("\xC2\xA0") == "\xC2\xA0");  // the first one after C1
}

TEST_CASE("nothing that is displayed can reorder, break or hide what stands beside it") {
  CHECK(escape_for_display("a\u202Eb\u202C") == "a\\u202eb\\u202c");
  CHECK(escape_for_display("\u2066\u2069\u200E\u200F\u061C\uFEFF\u2028\u2029") ==
        "\\u2066\\u2069\\u200e\\u200f\\u061c\\ufeff\\u2028\\u2029");
  CHECK(escape_for_display("\u2027\u202F\u2065\u2070") == "\u2027\u202F\u2065\u2070");
}

TEST_CASE("any bytes are displayed as valid text without a control character") {
  std::mt19937 random(4);
  for (int i = 0; i < 5000; ++i) {
    std::string text(random() % 20, ' ');
    std::generate(text.begin(), text.end(), [&] { return static_cast<char>(random()); });
    const std::string shown = escape_for_display(text);
    REQUIRE(is_valid_utf8(shown));
    REQUIRE(std::none_of(shown.begin(), shown.end(),
                         [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; }));
    REQUIRE(escape_for_display(shown) == shown);
  }
}

TEST_CASE("a display that is too long ends in dots, never within a character or an escape") {
  CHECK(escape_for_display("abcdef", 6) == "abcdef");
  CHECK(escape_for_display("abcdef", 5) == "abcde...");
  CHECK(escape_for_display("ab€", 4) == "ab...");
  CHECK(escape_for_display("ab\x01", 5) == "ab...");
  CHECK(escape_for_display("a", 0) == "...");
  CHECK(escape_for_display("", 0) == "");
}

TEST_CASE("shell words are quoted only where they need it") {
  for (const char* text : {"a", "--file=x", "data/a.h5", "3,7-9", "user@host:dir", "50%", "a+b", "A_1", "@3"}) {
    CHECK(shell_quote(text) == text);
  }
  CHECK(shell_quote("") == "''");
  CHECK(shell_quote("a b") == "'a b'");
  CHECK(shell_quote("it's") == "'it'\\''s'");
  CHECK(shell_quote("'") == "''\\'''");
  CHECK(shell_quote("~") == "'~'");
  CHECK(shell_quote("=ls") == "'=ls'");
  CHECK(shell_quote("a\nb") == "'a\nb'");
  for (const char c : "$`\"\\*?[]{}()<>|&;#!^ \t"s) {
    CHECK(shell_quote(std::string(1, c)) == "'" + std::string(1, c) + "'");
  }
}

namespace {

std::string formatted(std::string_view value, std::string_view spec) {
  const auto result = format_value(value, spec);
  return result ? *result : "error: " + result.error().message;
}

}  // namespace

TEST_CASE("integers are formatted by fmt's integer types") {
  CHECK(formatted("17", "05d") == "00017");
  CHECK(formatted("-17", "05d") == "-0017");
  CHECK(formatted("007", "d") == "7");
  CHECK(formatted("255", "#x") == "0xff");
  CHECK(formatted("255", "X") == "FF");
  CHECK(formatted("5", "b") == "101");
  CHECK(formatted("8", "o") == "10");
  CHECK(formatted("3", "+d") == "+3");
  CHECK(formatted("18446744073709551615", "d") == "18446744073709551615");
}

TEST_CASE("numbers are formatted by fmt's floating-point types") {
  CHECK(formatted("3.14159", ".3f") == "3.142");
  CHECK(formatted("3", ".1f") == "3.0");
  CHECK(formatted("1e3", "g") == "1000");
  CHECK(formatted("0.5", ".2e") == "5.00e-01");
  CHECK(formatted("-2.5", "08.2f") == "-0002.50");
}

TEST_CASE("text is aligned and cut") {
  CHECK(formatted("abc", ">8") == "     abc");
  CHECK(formatted("abc", "*^9") == "***abc***");
  CHECK(formatted("abc", ".2s") == "ab");
  CHECK(formatted("abc", ".2") == "ab");
  CHECK(formatted("abc", "") == "abc");
  CHECK(formatted("17", ">5s") == "   17");
  CHECK(formatted("é", "_<3") == "é__");
  CHECK(formatted("abc", "d<5") == "abcdd");
}

TEST_CASE("without a type a number is formatted as one, but never rewritten for its width only") {
  CHECK(formatted("17", "5") == "   17");
  CHECK(formatted("17", "05") == "00017");
  CHECK(formatted("1.5", "05") == "001.5");
  CHECK(formatted("007", ">5") == "  007");
  CHECK(formatted("1.50", ">6") == "  1.50");
  CHECK(formatted("3.14159", ".3") == "3.14");
  CHECK(formatted("17", "") == "17");
}

TEST_CASE("a value that does not fit its format is an error that shows both") {
  CHECK(formatted("abc", "05d") == "error: \"abc\" is not an integer, which format \":05d\" needs");
  CHECK(formatted("1.5", "d") == "error: \"1.5\" is not an integer, which format \":d\" needs");
  CHECK(formatted("x", ".3f") == "error: \"x\" is not a number, which format \":.3f\" needs");
  CHECK(formatted("", "d").starts_with("error"));
  CHECK(formatted(" 1", "d").starts_with("error"));
  CHECK(formatted("18446744073709551616", "d").starts_with("error"));
  CHECK(formatted("abc", "05").starts_with("error: format \":05\""));
  CHECK(formatted("a\x1B", "d") == "error: \"a\\x1b\" is not an integer, which format \":d\" needs");
}

TEST_CASE("format specs that are wrong, or could take the machine down, are refused") {
  for (const char* spec : {"{}", "{0}", "d}", "}", "q", "5q", "c", "p", "L", "Ld", "99999999999999999999d", "1001d",
                           ".1001f", "999999999", ">", ".", ".d", "..3f", "d5"}) {
    const std::string result = formatted("17", spec);
    const bool is_refused = result.starts_with("error: format \":"s + spec + "\"");
    const bool is_harmless = result == "17";  // ">": fmt takes an alignment without a width
    CHECK_MESSAGE((is_refused || is_harmless), spec, " gives ", result);
  }
  CHECK(formatted("1", "1000d").size() == 1000);
}
