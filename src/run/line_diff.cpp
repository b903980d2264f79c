#include "run/line_diff.hpp"

#include <algorithm>
#include <vector>

#include "util/text.hpp"

namespace runner::run {

// The longest common subsequence by the textbook table: specs are short, and beyond kMaxLines only the fact is told.
std::string line_diff(std::string_view before, std::string_view after) {
  if (before == after) return {};
  constexpr std::size_t kMaxLines = 2000;
  const auto a = util::split(before, '\n');
  const auto b = util::split(after, '\n');
  if (a.size() > kMaxLines || b.size() > kMaxLines) return "(too long to be compared line by line)\n";
  std::vector<std::vector<std::size_t>> common(a.size() + 1, std::vector<std::size_t>(b.size() + 1, 0));
  for (std::size_t i = a.size(); i-- > 0;) {
    for (std::size_t j = b.size(); j-- > 0;) {
      common[i][j] = a[i] == b[j] ? common[i + 1][j + 1] + 1 : std::max(common[i + 1][j], common[i][j + 1]);
    }
  }
  std::string text;
  const auto line = [&text](std::string_view mark, std::string_view content) {
    text.append(mark).append(util::escape_for_display(content)).append("\n");
  };
  std::size_t i = 0;
  std::size_t j = 0;
  while (i < a.size() || j < b.size()) {
    if (i < a.size() && j < b.size() && a[i] == b[j]) {
      ++i;
      ++j;
    } else if (j == b.size() || (i < a.size() && common[i + 1][j] >= common[i][j + 1])) {
      line("  -" + std::to_string(i + 1) + ": ", a[i]);
      ++i;
    } else {
      line("  +" + std::to_string(j + 1) + ": ", b[j]);
      ++j;
    }
  }
  return text;
}

}  // namespace runner::run
