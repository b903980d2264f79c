#include "shared/counter_file.hpp"

#include <cstring>
#include <map>
#include <runner/counter.hpp>

#include "util/text.hpp"

namespace runner::shared {

namespace format = counter_file;
using util::Error;

std::size_t max_counter_file() {
  return sizeof(format::Header) + format::kMaxCells * sizeof(format::Cell);
}

util::Result<std::vector<std::pair<std::string, std::int64_t>>> read_counters(std::string_view bytes) {
  if (bytes.empty()) return std::vector<std::pair<std::string, std::int64_t>>();  // made, and no more
  format::Header header{};
  if (bytes.size() < sizeof header || bytes.size() % sizeof(format::Cell) != 0 || bytes.size() > max_counter_file()) {
    return Error{"they are " + std::to_string(bytes.size()) + " bytes long"};
  }
  std::memcpy(&header, bytes.data(), sizeof header);
  if (std::string_view(header.magic, sizeof header.magic) != format::kMagic || header.version != format::kVersion ||
      header.cell_size != sizeof(format::Cell)) {
    return Error{"they are in a format that is not known"};
  }
  std::map<std::string, std::int64_t> values;
  for (std::size_t at = sizeof header; at < bytes.size(); at += sizeof(format::Cell)) {
    format::Cell cell{};
    std::memcpy(&cell, bytes.data() + at, sizeof cell);
    const std::string name(format::name_of(cell));
    if (!format::is_name(name) || (cell.kind != format::kShared && cell.kind != format::kOwned)) {
      return Error{"\"" + util::escape_for_display(name, 60) + "\" is no counter"};
    }
    std::int64_t& value = values[name];
    if (__builtin_add_overflow(value, cell.value, &value)) return Error{name + " does not fit into 64 bits"};
  }
  return std::vector<std::pair<std::string, std::int64_t>>(values.begin(), values.end());
}

}  // namespace runner::shared
