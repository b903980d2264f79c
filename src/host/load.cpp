#include "host/load.hpp"

#include <charconv>
#include <string_view>

#include "util/fd.hpp"

namespace runner::host {

Load load(const std::string& root) {
  constexpr std::size_t kMax = std::size_t{1} << 20U;
  Load load;
  if (const auto text = util::read_file(root + "/proc/loadavg", kMax)) {
    double average = 0;
    if (std::from_chars(text->data(), text->data() + text->size(), average).ec == std::errc()) load.average = average;
  }
  if (const auto text = util::read_file(root + "/proc/meminfo", kMax)) {
    constexpr std::string_view kName = "MemAvailable:";
    if (auto at = text->find(kName); at != std::string::npos) {
      at = text->find_first_not_of(' ', at + kName.size());
      std::uint64_t kib = 0;
      if (at != std::string::npos &&
          std::from_chars(text->data() + at, text->data() + text->size(), kib).ec == std::errc())
        load.available = kib * 1024;
    }
  }
  return load;
}

}  // namespace runner::host
