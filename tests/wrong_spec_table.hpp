// Reads tests/cli/wrong_specs/table.txt: specs that are wrong and what must be said of each.
#pragma once

#include <fstream>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

namespace runner::test {

struct WrongSpec {
  std::string name;
  std::string text;
  std::map<std::string, std::string> files;
  std::vector<std::string> expected;
};

/// \xNN, \t, \r and \\ decoded.
inline std::string decode_escapes(const std::string& text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\' || i + 1 >= text.size()) {
      out += text[i];
    } else if (text[i + 1] == 'x') {
      out += static_cast<char>(std::stoi(text.substr(i + 2, 2), nullptr, 16));
      i += 3;
    } else {
      ++i;
      out += text[i] == 't' ? '\t' : text[i] == 'r' ? '\r' : text[i];
    }
  }
  return out;
}

inline std::vector<WrongSpec> read_wrong_specs(const std::string& path) {
  std::ifstream in(path);
  if (!in) throw std::runtime_error("cannot open " + path);
  std::vector<WrongSpec> specs;
  std::string* part = nullptr;  // what lines are added to; null: expected messages
  bool escapes = false;
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with("=== ")) {
      specs.push_back({line.substr(4, line.find(" [") - 4), "", {}, {}});
      escapes = line.find("[escapes]") != std::string::npos;
      part = &specs.back().text;
    } else if (specs.empty()) {
      continue;  // the head of the table
    } else if (line.starts_with("+++ ")) {
      part = &specs.back().files[line.substr(4)];
    } else if (line == ">>>") {
      part = nullptr;
    } else if (part != nullptr) {
      *part += (escapes ? decode_escapes(line) : line) + "\n";
    } else if (!line.empty()) {
      specs.back().expected.push_back(line);
    }
  }
  return specs;
}

}  // namespace runner::test
