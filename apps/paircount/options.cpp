#include "options.hpp"

#include <algorithm>
#include <charconv>

namespace paircount {
namespace {

template <class Number>
Number parse(const std::string& name, const std::string& text) {
  Number number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) {
    throw UsageError("--" + name + " takes a number, not '" + text + "'");
  }
  return number;
}

}  // namespace

Options::Options(const std::vector<std::string>& words, const std::vector<std::string>& flags) {
  for (auto word = words.begin(); word != words.end(); ++word) {
    if (!word->starts_with("--")) {
      arguments_.push_back(*word);
      continue;
    }
    const std::size_t equals = word->find('=');
    const std::string name = word->substr(2, equals == std::string::npos ? equals : equals - 2);
    std::string value;
    if (equals != std::string::npos) {
      value = word->substr(equals + 1);
    } else if (std::find(flags.begin(), flags.end(), name) == flags.end()) {
      if (word + 1 == words.end()) throw UsageError("--" + name + " needs a value");
      value = *++word;
    }
    if (!values_.emplace(name, value).second) throw UsageError("--" + name + " is given twice");
  }
}

std::optional<std::string> Options::text(const std::string& name) {
  const auto found = values_.find(name);
  if (found == values_.end()) return std::nullopt;
  std::string value = std::move(found->second);
  values_.erase(found);
  return value;
}

bool Options::flag(const std::string& name) {
  return text(name).has_value();
}

std::string Options::required_text(const std::string& name) {
  auto value = text(name);
  if (!value) throw UsageError("--" + name + " is missing");
  return *value;
}

double Options::number(const std::string& name, double fallback) {
  const auto value = text(name);
  return value ? parse<double>(name, *value) : fallback;
}

std::uint64_t Options::count(const std::string& name, std::optional<std::uint64_t> fallback) {
  if (const auto value = text(name)) return parse<std::uint64_t>(name, *value);
  if (!fallback) throw UsageError("--" + name + " is missing");
  return *fallback;
}

std::string Options::required_argument(const std::string& what) {
  if (arguments_.empty()) throw UsageError(what + " is missing");
  std::string argument = std::move(arguments_.front());
  arguments_.erase(arguments_.begin());
  return argument;
}

void Options::finish() const {
  if (!values_.empty()) throw UsageError("unknown option --" + values_.begin()->first);
  if (!arguments_.empty()) throw UsageError("unexpected argument '" + arguments_.front() + "'");
}

}  // namespace paircount
