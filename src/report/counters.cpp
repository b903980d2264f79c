#include "report/counters.hpp"

#include "util/text.hpp"
#include "util/units.hpp"

namespace runner::report {

namespace {

constexpr std::size_t kMaxShown = 20;

std::string value_text(const core::CounterTotal& total) {
  if (total.overflowed) return "(more than 64 bits hold)";
  const auto magnitude = static_cast<std::uint64_t>(total.value);
  return total.value < 0 ? "-" + util::format_count(0 - magnitude) : util::format_count(magnitude);
}

}  // namespace

std::string counters_text(const core::CounterTotals& totals) {
  std::string text;
  std::size_t shown = 0;
  for (const auto& [name, total] : totals.by_name()) {
    if (shown++ == kMaxShown) {
      return text + " and " + util::format_count(totals.by_name().size() - kMaxShown) + " more";
    }
    if (!text.empty()) text += ", ";
    text += util::escape_for_display(name) + " " + value_text(total);
  }
  return text;
}

}  // namespace runner::report
