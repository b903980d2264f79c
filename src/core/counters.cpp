#include "core/counters.hpp"

namespace runner::core {

void CounterTotals::add(std::string_view name, const CounterTotal& more) {
  auto it = by_name_.find(name);
  if (it == by_name_.end()) it = by_name_.emplace(name, CounterTotal{}).first;
  CounterTotal& total = it->second;
  total.overflowed =
      __builtin_add_overflow(total.value, more.value, &total.value) || total.overflowed || more.overflowed;
}

}  // namespace runner::core
