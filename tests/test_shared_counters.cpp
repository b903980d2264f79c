// What the engine makes of a file of counters that anybody may have written.
#include <doctest/doctest.h>
#include <cstdint>
#include <cstring>
#include <limits>
#include <runner/counter.hpp>
#include <string>
#include <utility>
#include <vector>

#include "shared/counter_file.hpp"

namespace runner::shared {
namespace {

using Values = std::vector<std::pair<std::string, std::int64_t>>;

std::string header(std::uint32_t version = counter_file::kVersion) {
  counter_file::Header head{};
  std::memcpy(head.magic, counter_file::kMagic.data(), sizeof head.magic);
  head.version = version;
  head.cell_size = sizeof(counter_file::Cell);
  return {reinterpret_cast<const char*>(&head), sizeof head};
}

std::string cell(const std::string& name, std::int64_t value, std::uint64_t kind = counter_file::kShared) {
  counter_file::Cell one{};
  one.value = value;
  one.kind = kind;
  std::memcpy(one.name, name.data(), std::min(name.size(), sizeof one.name));
  return {reinterpret_cast<const char*>(&one), sizeof one};
}

constexpr auto kMax = std::numeric_limits<std::int64_t>::max();
constexpr auto kMin = std::numeric_limits<std::int64_t>::min();

}  // namespace

TEST_CASE("cells of one name are one counter") {
  const auto values =
      read_counters(header() + cell("rows", 5) + cell("bad", -1) + cell("rows", 7, 2) + cell("rows", kMax - 12));
  REQUIRE(values);
  CHECK(*values == Values{{"bad", -1}, {"rows", kMax}});
  CHECK(*read_counters("") == Values{});
  CHECK(*read_counters(header()) == Values{});
}

TEST_CASE("what is no file of counters, or was damaged, is refused with the reason") {
  const std::string good = header() + cell("rows", 5);
  const std::pair<std::string, const char*> wrong[] = {
      {good.substr(0, 63), "63 bytes long"},
      {good.substr(0, good.size() - 1), "127 bytes long"},
      {std::string(64, '\0'), "format that is not known"},
      {header(2) + cell("rows", 5), "format that is not known"},
      {header() + cell("", 5), "no counter"},
      {header() + cell("a\x1b[31m", 5), "no counter"},
      {header() + cell(std::string(48, 'x'), 5), "no counter"},
      {header() + cell("rows", 5, 3), "no counter"},
      {header() + cell("rows", kMax) + cell("rows", 1), "rows does not fit into 64 bits"},
      {header() + cell("rows", kMin) + cell("rows", -1), "rows does not fit into 64 bits"},
      {std::string(max_counter_file() + 64, 'x'), "bytes long"},
  };
  for (const auto& [bytes, reason] : wrong) {
    const auto values = read_counters(bytes);
    REQUIRE_FALSE(values);
    CHECK_MESSAGE(values.error().message.find(reason) != std::string::npos, values.error().message);
    CHECK(values.error().message.find('\x1b') == std::string::npos);
  }
}

TEST_CASE("an addition that does not fit adds nothing") {
  std::int64_t value = kMax - 1;
  CHECK(counter_file::add(&value, 1));
  CHECK_FALSE(counter_file::add(&value, 1));
  CHECK(value == kMax);
  CHECK(counter_file::add(&value, kMin));
  CHECK(value == -1);
  CHECK_FALSE(counter_file::add(&value, kMin));
}

}  // namespace runner::shared
