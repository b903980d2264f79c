#include <cstdint>

#include "store/state_dir.hpp"
#include "util/hash.hpp"

namespace runner::store {

namespace {

constexpr std::size_t kLongestName = 200;  // leaves room for ".<attempt>.log" within NAME_MAX (255)
constexpr std::size_t kHashDigits = 16;
constexpr std::string_view kHexDigits = "0123456789ABCDEF";

bool is_plain(char c) {
  const bool alphanumeric = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
  return alphanumeric || std::string_view("._,=+@-").find(c) != std::string_view::npos;
}

bool is_plain_at(char c, std::size_t position) {
  // ".x" would be hidden and "-x" taken for an option.
  return is_plain(c) && !(position == 0 && (c == '.' || c == '-'));
}

bool is_capital(char c) {
  return c >= 'A' && c <= 'Z';
}

/// Which letters are capitals, a bit for each, as hex digits without the zeros at the end; "" for none. Some file
/// systems take "Run" and "run" for one name.
std::string capitals_of(std::string_view key) {
  std::string digits;
  unsigned bits = 0;
  unsigned letters = 0;
  const auto add_bit = [&](unsigned bit) {
    bits = bits << 1U | bit;
    if (++letters % 4 == 0) digits += kHexDigits[bits & 0xFU];
  };
  for (const char c : key) {
    if (is_capital(c) || (c >= 'a' && c <= 'z')) add_bit(is_capital(c) ? 1 : 0);
  }
  while (letters % 4 != 0) add_bit(0);
  return digits.substr(0, digits.find_last_not_of('0') + 1);
}

void append_escaped(std::string& out, char c) {
  const auto byte = static_cast<unsigned char>(c);
  out += '%';
  out += kHexDigits[byte >> 4U];
  out += kHexDigits[byte & 0xFU];
}

std::string hex(std::uint64_t value) {
  std::string digits(kHashDigits, '0');
  for (auto digit = digits.rbegin(); digit != digits.rend(); ++digit, value >>= 4U) *digit = kHexDigits[value & 0xFU];
  return digits;
}

}  // namespace

std::string encode_key(std::string_view key, std::uint64_t index) {
  if (key.empty()) return "%";
  const std::string cut_end = "~" + hex(util::fnv1a(key)) + "~" + std::to_string(index);
  std::string name;
  std::size_t cut = 0;  // the most that may stay if the name turns out too long: never half of an escape
  for (std::size_t i = 0; i < key.size() && name.size() <= kLongestName; ++i) {
    if (is_plain_at(key[i], i)) {
      name += key[i];
    } else {
      append_escaped(name, key[i]);
    }
    if (name.size() <= kLongestName - cut_end.size()) cut = name.size();
  }
  if (name.size() <= kLongestName) {
    if (const std::string capitals = capitals_of(key); !capitals.empty()) name += "~" + capitals;
  }
  if (name.size() <= kLongestName) return name;
  return name.substr(0, cut) + cut_end;
}

std::optional<std::string> decode_key(std::string_view name) {
  if (name == "%") return "";
  const std::string_view text = name.substr(0, name.find('~'));
  std::string key;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      key += text[i];
      continue;
    }
    if (i + 2 >= text.size()) return std::nullopt;
    const std::size_t high = kHexDigits.find(text[i + 1]);
    const std::size_t low = kHexDigits.find(text[i + 2]);
    if (high == std::string_view::npos || low == std::string_view::npos) return std::nullopt;
    key += static_cast<char>(high * 16 + low);
    i += 2;
  }
  if (key.empty() || encode_key(key, 0) != name) return std::nullopt;
  return key;
}

std::string slice_log_path(std::string_view job, std::uint64_t index, std::string_view key, std::uint32_t attempt) {
  std::string shard = std::to_string(index / 1000);
  if (shard.size() < 4) shard.insert(0, 4 - shard.size(), '0');
  if (!job.empty()) shard = std::string(job) + "." + shard;
  return "slices/" + shard + "/" + encode_key(key, index) + "." + std::to_string(attempt) + ".log";
}

}  // namespace runner::store
