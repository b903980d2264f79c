#include <cstdint>

#include "store/state_dir.hpp"

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

void append_escaped(std::string& out, char c) {
  const auto byte = static_cast<unsigned char>(c);
  out += '%';
  out += kHexDigits[byte >> 4U];
  out += kHexDigits[byte & 0xFU];
}

/// 64-bit FNV-1a.
std::uint64_t hash_of(std::string_view text) {
  std::uint64_t hash = 14695981039346656037U;
  for (const char c : text) {
    hash ^= static_cast<unsigned char>(c);
    hash *= 1099511628211U;
  }
  return hash;
}

std::string hex(std::uint64_t value) {
  std::string digits(kHashDigits, '0');
  for (auto digit = digits.rbegin(); digit != digits.rend(); ++digit, value >>= 4U) *digit = kHexDigits[value & 0xFU];
  return digits;
}

}  // namespace

std::string encode_key(std::string_view key) {
  if (key.empty()) return "%";
  std::string name;
  std::size_t cut = 0;  // the most that may stay if the name turns out too long: never half of an escape
  for (std::size_t i = 0; i < key.size() && name.size() <= kLongestName; ++i) {
    if (is_plain_at(key[i], i)) {
      name += key[i];
    } else {
      append_escaped(name, key[i]);
    }
    if (name.size() <= kLongestName - 1 - kHashDigits) cut = name.size();
  }
  if (name.size() <= kLongestName) return name;
  return name.substr(0, cut) + "~" + hex(hash_of(key));
}

std::optional<std::string> decode_key(std::string_view name) {
  if (name == "%") return "";
  std::string key;
  for (std::size_t i = 0; i < name.size(); ++i) {
    if (name[i] != '%') {
      if (!is_plain_at(name[i], i)) return std::nullopt;
      key += name[i];
      continue;
    }
    if (i + 2 >= name.size()) return std::nullopt;
    const std::size_t high = kHexDigits.find(name[i + 1]);
    const std::size_t low = kHexDigits.find(name[i + 2]);
    if (high == std::string_view::npos || low == std::string_view::npos) return std::nullopt;
    key += static_cast<char>(high * 16 + low);
    i += 2;
  }
  if (name.empty()) return std::nullopt;
  return key;
}

std::string slice_log_path(std::uint64_t index, std::string_view key, std::uint32_t attempt) {
  std::string shard = std::to_string(index / 1000);
  if (shard.size() < 4) shard.insert(0, 4 - shard.size(), '0');
  return "slices/" + shard + "/" + encode_key(key) + "." + std::to_string(attempt) + ".log";
}

}  // namespace runner::store
