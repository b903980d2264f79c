// The rules are those of YAML 1.1's type repository (yaml.org/type: bool, int, float, null) as PyYAML and libyaml apply
// them, and of YAML 1.2's core schema.
#include "spec/yaml_surprise.hpp"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <initializer_list>

namespace runner::spec {
namespace {

bool is_one_of(std::string_view word, std::initializer_list<std::string_view> words) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

/// `word` in lower case, if it is written all lower, all upper, or with a capital: `no`, `NO`, `No`.
std::string lowered_if_cased(std::string_view word) {
  std::string lower(word);
  std::string upper(word);
  for (char& c : lower) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  for (char& c : upper) c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  std::string capital = lower;
  if (!capital.empty()) capital[0] = upper[0];
  return word == lower || word == upper || word == capital ? lower : std::string();
}

bool consists_of(std::string_view text, std::string_view characters) {
  return !text.empty() && text.find_first_not_of(characters) == std::string_view::npos;
}

std::optional<std::string> number(std::string_view digits, int base) {
  std::uint64_t value = 0;
  std::string plain(digits);
  std::erase(plain, '_');
  const auto [end, error] = std::from_chars(plain.data(), plain.data() + plain.size(), value, base);
  if (error != std::errc() || end != plain.data() + plain.size()) return "a number";
  return "the number " + std::to_string(value);
}

/// 12:30, 1:02:03.5: YAML 1.1 reads base 60.
bool is_sexagesimal(std::string_view word) {
  std::size_t colon = word.find(':');
  if (colon == std::string_view::npos || !consists_of(word.substr(0, colon), "0123456789_")) return false;
  while (colon != std::string_view::npos) {
    word.remove_prefix(colon + 1);
    colon = word.find(':');
    const std::string_view group = word.substr(0, std::min(colon, word.find('.')));
    if (group.size() > 2 || !consists_of(group, "0123456789") || (group.size() == 2 && group[0] > '5')) return false;
    const std::size_t dot = colon == std::string_view::npos ? word.find('.') : std::string_view::npos;
    if (dot != std::string_view::npos && dot + 1 < word.size() && !consists_of(word.substr(dot + 1), "0123456789_")) {
      return false;
    }
  }
  return true;
}

std::optional<std::string> surprising_number(std::string_view word) {
  constexpr std::string_view kDigits = "0123456789";
  if (word.starts_with('-') || word.starts_with('+')) word.remove_prefix(1);
  if (word.empty()) return std::nullopt;
  if (is_one_of(word, {".inf", ".Inf", ".INF"})) return "the number infinity";
  if (word.starts_with("0x") && consists_of(word.substr(2), "0123456789abcdefABCDEF_")) {
    return number(word.substr(2), 16);
  }
  if (word.starts_with("0o") && consists_of(word.substr(2), "01234567")) return number(word.substr(2), 8);
  if (word.starts_with("0b") && consists_of(word.substr(2), "01_")) return number(word.substr(2), 2);
  if (word.size() > 1 && word[0] == '0' && consists_of(word, "01234567_")) return number(word.substr(1), 8);
  if (word.size() > 1 && word[0] == '0' && consists_of(word, kDigits)) return number(word, 10);
  if (is_sexagesimal(word)) return "a number in base 60";
  if (word[0] >= '0' && word[0] <= '9' && word.find('_') != std::string_view::npos &&
      consists_of(word, "0123456789_.")) {
    return "a number";
  }
  return std::nullopt;
}

}  // namespace

std::optional<std::string> yaml_surprise(std::string_view word) {
  if (word.size() > 40) return std::nullopt;
  const std::string lower = lowered_if_cased(word);
  if (is_one_of(lower, {"yes", "no", "on", "off"})) return "a truth value";
  if (is_one_of(lower, {"null", "~"})) return "no value at all";
  if (is_one_of(word, {".nan", ".NaN", ".NAN"})) return "no number (NaN)";
  return surprising_number(word);
}

}  // namespace runner::spec
