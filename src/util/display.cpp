#include "util/display.hpp"

#include <algorithm>
#include <array>
#include <limits>

#include "util/text.hpp"

namespace runner::util {
namespace {

void append_hex(std::string& out, std::uint32_t value, unsigned digits) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  for (unsigned i = digits; i-- > 0;) out += kDigits[(value >> (4 * i)) & 0xFU];
}

bool is_control(char32_t c) {
  return c < 0x20 || (c >= 0x7F && c <= 0x9F);
}

/// Printable ASCII, as nearly all text is: displayed as it is.
bool is_plain(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c >= 0x20 && c < 0x7F; });
}

/// How one character (valid, or a single stray byte) is displayed.
std::string escape_one(std::string_view bytes, CodePoint c) {
  if (c.value == '\n' && c.length == 1) return "\\n";
  if (c.value == '\t' && c.length == 1) return "\\t";
  if (c.value == '\r' && c.length == 1) return "\\r";
  std::string out;
  if (c.length == 0 || is_control(c.value)) {
    for (const char byte : bytes) {
      out += "\\x";
      append_hex(out, static_cast<unsigned char>(byte), 2);
    }
  } else if (is_deceptive(c.value)) {
    out = "\\u";
    append_hex(out, c.value, 4);
  } else {
    out = bytes;
  }
  return out;
}

/// The character, or stray byte, that `text` begins with.
std::string_view first_of(std::string_view text, CodePoint c) {
  return text.substr(0, std::max<std::size_t>(c.length, 1));
}

/// More bytes could make a character of it.
bool is_cut_short(std::string_view text) {
  const auto lead = static_cast<unsigned char>(text.front());
  const std::size_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC2 ? 2 : 1;
  if (text.size() >= length || lead > 0xF4) return false;
  return std::all_of(text.begin() + 1, text.end(),
                     [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) == 0x80U; });
}

/// Moves what can be decided from the front of `text` to the result: all of it where it is at its end.
std::string escape_stream(std::string_view& text, bool at_end) {
  std::string out;
  while (!text.empty()) {
    const CodePoint c = decode_utf8(text);
    if (!at_end && (text == "\r" || (c.length == 0 && is_cut_short(text)))) break;
    const std::string_view bytes = first_of(text, c);
    const bool stays = bytes == "\n" || bytes == "\t" || text.starts_with("\r\n");
    out += stays ? std::string(bytes) : escape_one(bytes, c);
    text.remove_prefix(bytes.size());
  }
  return out;
}

}  // namespace

CodePoint decode_utf8(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = byte(0);
  if (lead < 0x80) return {lead, 1};
  std::size_t length = 0;
  if (lead >= 0xC2 && lead <= 0xDF) length = 2;
  if (lead >= 0xE0 && lead <= 0xEF) length = 3;
  if (lead >= 0xF0 && lead <= 0xF4) length = 4;
  if (length == 0 || text.size() < length) return {};
  char32_t value = lead & (0xFFU >> (length + 1));
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0U) != 0x80) return {};
    value = (value << 6U) | (byte(i) & 0x3FU);
  }
  constexpr std::array<char32_t, 5> kSmallest = {0, 0, 0x80, 0x800, 0x10000};
  const bool is_surrogate = value >= 0xD800 && value <= 0xDFFF;
  if (value < kSmallest[length] || is_surrogate || value > 0x10FFFF) return {};
  return {value, length};
}

bool is_valid_utf8(std::string_view text) {
  while (!text.empty()) {
    const std::size_t length = decode_utf8(text).length;
    if (length == 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

bool is_deceptive(char32_t c) {
  return is_control(c) || c == 0x061C || c == 0x200E || c == 0x200F || (c >= 0x2028 && c <= 0x202E) ||
         (c >= 0x2066 && c <= 0x2069) || c == 0xFEFF;
}

std::string escape_for_display(std::string_view text, std::size_t max_bytes) {
  if (text.size() <= max_bytes && is_plain(text)) return std::string(text);
  std::string out;
  while (!text.empty()) {
    const CodePoint c = decode_utf8(text);
    const std::string_view bytes = first_of(text, c);
    const std::string shown = escape_one(bytes, c);
    if (out.size() + shown.size() > max_bytes) return out + "...";
    out += shown;
    text.remove_prefix(bytes.size());
  }
  return out;
}

std::string escape_lines(std::string_view text) {
  return escape_stream(text, true);
}

std::string shell_quote_for_display(std::string_view word) {
  constexpr auto kNoLimit = std::numeric_limits<std::size_t>::max() / 2;
  if (escape_for_display(word, kNoLimit) == word) return shell_quote(word);
  std::string out = "$'";
  while (!word.empty()) {
    const CodePoint c = decode_utf8(word);
    const std::string_view bytes = first_of(word, c);
    if (bytes == "'" || bytes == "\\") {
      out.append("\\").append(bytes);
    } else if (c.length > 0 && !is_deceptive(c.value)) {
      out += bytes;
    } else {
      for (const char byte : bytes) {
        const auto value = static_cast<unsigned char>(byte);
        out += '\\';
        for (const unsigned shift : {6U, 3U, 0U}) out += static_cast<char>('0' + ((value >> shift) & 7U));
      }
    }
    word.remove_prefix(bytes.size());
  }
  return out + "'";
}

std::string StreamEscaper::operator()(std::string_view piece) {
  held_ += piece;
  std::string_view rest = held_;
  std::string shown = escape_stream(rest, false);
  held_ = std::string(rest);
  return shown;
}

std::string StreamEscaper::finish() {
  std::string_view rest = held_;
  std::string shown = escape_stream(rest, true);
  held_.clear();
  return shown;
}

}  // namespace runner::util
