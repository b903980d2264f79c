// Commas and backslashes in the keys of slices: what separates the parts of a matrix key and the items of a selection,
// and what is meant as such. Shared by slices.cpp and selection.cpp; nobody else needs it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace runner::core {

/// With a backslash before every comma and backslash.
inline std::string escape_commas(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == ',' || c == '\\') out += '\\';
    out += c;
  }
  return out;
}

/// Without the backslashes that take the meaning from what follows them.
inline std::string unescape(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 1 < text.size()) ++i;
    out += text[i];
  }
  return out;
}

/// The parts between commas that have no backslash before them; still escaped.
inline std::vector<std::string_view> split_at_commas(std::string_view text) {
  std::vector<std::string_view> parts;
  std::size_t begin = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\') {
      ++i;
    } else if (text[i] == ',') {
      parts.push_back(text.substr(begin, i - begin));
      begin = i + 1;
    }
  }
  parts.push_back(text.substr(begin));
  return parts;
}

}  // namespace runner::core
