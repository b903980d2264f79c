// What attempts counted, and the totals of it. Plain values; no I/O.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace runner::core {

/// One counter of one attempt.
struct Counted {
  std::string name;
  std::int64_t value = 0;
  bool operator==(const Counted&) const = default;
};

struct CounterTotal {
  std::int64_t value = 0;
  bool overflowed = false;  ///< 64 bits do not hold it; the value means nothing then
  bool operator==(const CounterTotal&) const = default;
};

/// By name, over succeeded attempts.
class CounterTotals {
 public:
  void add(std::string_view name, const CounterTotal& more);
  void add(const std::vector<Counted>& counted) {
    for (const auto& [name, value] : counted) add(name, {.value = value});
  }
  void add(const CounterTotals& others) {
    for (const auto& [name, total] : others.by_name_) add(name, total);
  }
  [[nodiscard]] const std::map<std::string, CounterTotal, std::less<>>& by_name() const { return by_name_; }

 private:
  std::map<std::string, CounterTotal, std::less<>> by_name_;
};

}  // namespace runner::core
