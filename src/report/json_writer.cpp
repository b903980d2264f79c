#include "report/json_writer.hpp"

#include <fmt/format.h>

#include <cassert>

#include "util/text.hpp"

namespace runner::report {

namespace {

void append_escaped(std::string& out, char c) {
  switch (c) {
    case '"':
      out += "\\\"";
      return;
    case '\\':
      out += "\\\\";
      return;
    case '\n':
      out += "\\n";
      return;
    case '\t':
      out += "\\t";
      return;
    case '\r':
      out += "\\r";
      return;
    default:  // char: the rest is either control or itself
      break;
  }
  if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
    out += fmt::format("\\u{:04x}", static_cast<unsigned>(static_cast<unsigned char>(c)));
  } else {
    out += c;
  }
}

}  // namespace

void JsonWriter::key(std::string_view name) {
  assert(!filled_.empty() && !after_key_);
  before_value();
  quoted(name);
  out_ += ": ";
  after_key_ = true;
}

void JsonWriter::value(std::string_view text) {
  before_value();
  quoted(text);
}

void JsonWriter::value(bool truth) {
  raw(truth ? "true" : "false");
}

void JsonWriter::value(std::int64_t number) {
  raw(std::to_string(number));
}

void JsonWriter::value(std::uint64_t number) {
  raw(std::to_string(number));
}

void JsonWriter::value(double number, int decimals) {
  raw(fmt::format("{:.{}f}", number, decimals));
}

void JsonWriter::null() {
  raw("null");
}

void JsonWriter::pair(std::uint64_t first, std::uint64_t last) {
  raw(fmt::format("[{}, {}]", first, last));
}

void JsonWriter::begin(char bracket) {
  before_value();
  out_ += bracket;
  filled_.push_back(false);
}

void JsonWriter::end(char bracket) {
  assert(!filled_.empty() && !after_key_);
  const bool filled = filled_.back();
  filled_.pop_back();
  if (filled) new_line();
  out_ += bracket;
  if (filled_.empty()) out_ += '\n';
}

void JsonWriter::before_value() {
  if (after_key_) {
    after_key_ = false;
    return;
  }
  if (filled_.empty()) return;
  if (filled_.back()) out_ += ',';
  filled_.back() = true;
  new_line();
}

void JsonWriter::raw(std::string_view text) {
  before_value();
  out_ += text;
}

void JsonWriter::new_line() {
  out_ += '\n';
  out_.append(2 * filled_.size(), ' ');
}

void JsonWriter::quoted(std::string_view text) {
  out_ += '"';
  while (!text.empty()) {
    const util::CodePoint c = util::decode_utf8(text);
    const std::size_t n = c.length;
    if (n == 0) {
      out_ += "\\ufffd";
    } else if (n == 1) {
      append_escaped(out_, text.front());
    } else if (util::is_deceptive(c.value)) {  // all below U+10000
      out_ += fmt::format("\\u{:04x}", static_cast<unsigned>(c.value));
    } else {
      out_ += text.substr(0, n);
    }
    text.remove_prefix(n == 0 ? 1 : n);
  }
  out_ += '"';
}

}  // namespace runner::report
