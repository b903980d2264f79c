// FNV-1a (Fowler, Noll, Vo), 64 bits: for names and fingerprints that must not change; no protection against intent.
#pragma once

#include <cstdint>
#include <string_view>

namespace runner::util {

inline constexpr std::uint64_t kFnv1aBasis = 14695981039346656037U;

/// `before`: the hash of what stands before these bytes.
constexpr std::uint64_t fnv1a(std::string_view bytes, std::uint64_t before = kFnv1aBasis) {
  std::uint64_t hash = before;
  for (const char c : bytes) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211U;
  return hash;
}

}  // namespace runner::util
