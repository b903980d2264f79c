// JsonWriter: builds one JSON document as text, indented by two blanks. Bytes that are no valid UTF-8 become U+FFFD, so
// that every parser takes the result. Misuse (a value where a key is due) asserts.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace runner::report {

class JsonWriter {
 public:
  void begin_object() { begin('{'); }
  void end_object() { end('}'); }
  void begin_array() { begin('['); }
  void end_array() { end(']'); }
  void key(std::string_view name);

  void value(std::string_view text);
  void value(const char* text) { value(std::string_view(text)); }
  void value(bool truth);
  void value(std::int64_t number);
  void value(std::uint64_t number);
  void value(int number) { value(static_cast<std::int64_t>(number)); }
  void value(unsigned number) { value(static_cast<std::uint64_t>(number)); }
  /// With so many decimals; the number is finite.
  void value(double number, int decimals);
  void null();
  /// An array of two on one line: [first, last]
  void pair(std::uint64_t first, std::uint64_t last);

  template <class T>
  void member(std::string_view name, const T& v) {
    key(name);
    value(v);
  }

  /// The document, with a newline at its end.
  [[nodiscard]] const std::string& text() const { return out_; }

 private:
  void begin(char bracket);
  void end(char bracket);
  void before_value();
  void raw(std::string_view text);
  void new_line();
  void quoted(std::string_view text);

  std::string out_;
  std::vector<bool> filled_;  ///< for each open bracket: has it something in it?
  bool after_key_ = false;
};

}  // namespace runner::report
