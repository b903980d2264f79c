#include "catalogue.hpp"

#include <unistd.h>

#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <optional>
#include <sstream>
#include <string_view>

namespace paircount {
namespace {

std::vector<std::string_view> split(std::string_view line) {
  if (line.ends_with('\r')) line.remove_suffix(1);
  std::vector<std::string_view> fields;
  for (;;) {
    const std::size_t comma = line.find(',');
    fields.push_back(line.substr(0, comma));
    if (comma == std::string_view::npos) return fields;
    line.remove_prefix(comma + 1);
  }
}

std::optional<double> number_between(std::string_view text, double least, double most) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  if (!(value >= least && value <= most)) return std::nullopt;  // written so that NaN fails
  return value;
}

std::size_t column(const std::vector<std::string_view>& header, std::string_view name, const std::string& path) {
  const auto found = std::find(header.begin(), header.end(), name);
  if (found == header.end()) {
    throw FileError(path + ":1: no column '" + std::string(name) + "'; ra_deg and dec_deg are needed");
  }
  return static_cast<std::size_t>(found - header.begin());
}

}  // namespace

Catalogue read_catalogue(const std::filesystem::path& path) {
  const std::string text = read_text(path);
  std::string_view rest = text;
  const auto next_line = [&rest] {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(rest.size(), line.size() + 1));
    return line;
  };
  const auto header = split(next_line());
  const std::size_t ra = column(header, "ra_deg", path.string());
  const std::size_t dec = column(header, "dec_deg", path.string());

  Catalogue catalogue;
  for (std::size_t line_number = 2; !rest.empty(); ++line_number) {
    const auto fields = split(next_line());
    const auto field = [&fields](std::size_t i) { return i < fields.size() ? fields[i] : std::string_view(); };
    const auto ra_deg = number_between(field(ra), 0, 360);
    const auto dec_deg = number_between(field(dec), -90, 90);
    if (!ra_deg || !dec_deg) {
      throw FileError(path.string() + ":" + std::to_string(line_number) +
                      ": ra_deg must be a number from 0 to 360 and dec_deg from -90 to 90");
    }
    catalogue.push_back({*ra_deg, *dec_deg});
  }
  return catalogue;
}

void write_catalogue(const std::filesystem::path& path, const Catalogue& catalogue) {
  std::string text = "ra_deg,dec_deg\n";
  char line[64];
  for (const Position& position : catalogue) {
    std::snprintf(line, sizeof line, "%.6f,%.6f\n", position.ra_deg, position.dec_deg);
    text += line;
  }
  write_text(path, text);
}

Position rounded(Position position) {
  const auto to_micro = [](double degrees) { return std::round(degrees * 1e6) / 1e6; };
  return {to_micro(position.ra_deg), to_micro(position.dec_deg)};
}

std::uint64_t checksum(const Catalogue& catalogue) {
  std::uint64_t hash = 0xcbf29ce484222325U;
  const auto add = [&hash](double value) {
    auto bits = std::bit_cast<std::uint64_t>(value);
    for (int byte = 0; byte < 8; ++byte, bits >>= 8U) hash = (hash ^ (bits & 0xffU)) * 0x100000001b3U;
  };
  for (const Position& position : catalogue) {
    add(position.ra_deg);
    add(position.dec_deg);
  }
  return hash;
}

std::string read_text(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  if (!file || !(text << file.rdbuf())) throw FileError("cannot read " + path.string() + " (or it is empty)");
  return std::move(text).str();
}

void write_text(const std::filesystem::path& path, const std::string& text) {
  if (path.has_parent_path()) std::filesystem::create_directories(path.parent_path());
  std::filesystem::path temporary = path;
  temporary += "." + std::to_string(getpid()) + ".tmp";
  std::ofstream file(temporary, std::ios::binary);
  file << text;
  file.close();
  if (!file) {
    std::filesystem::remove(temporary);
    throw FileError("cannot write " + temporary.string());
  }
  std::filesystem::rename(temporary, path);
}

}  // namespace paircount
