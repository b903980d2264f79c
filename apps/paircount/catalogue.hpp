// Catalogue: positions on the sky, read from and written to CSV files with a header line. A plain vector that its
// reader owns; columns other than ra_deg and dec_deg are skipped. Failures are FileError: main prints them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <vector>

namespace paircount {

/// Anything wrong with a file, as a sentence that names it.
class FileError : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Right ascension 0 to 360 and declination -90 to 90, degrees.
struct Position {
  double ra_deg = 0;
  double dec_deg = 0;
  bool operator==(const Position&) const = default;
};
using Catalogue = std::vector<Position>;

/// Throws FileError, naming file and line, for a file without the two columns or a value out of range.
Catalogue read_catalogue(const std::filesystem::path& path);
void write_catalogue(const std::filesystem::path& path, const Catalogue& catalogue);

/// To a millionth of a degree (4 milliarcseconds), as the CSV files hold it: a catalogue in memory and its file are
/// the same, bit for bit.
Position rounded(Position position);

/// FNV-1a over all positions in order: the same number, the same catalogue.
std::uint64_t checksum(const Catalogue& catalogue);

std::string read_text(const std::filesystem::path& path);
/// All or nothing: under a temporary name, then renamed. Makes the directory.
void write_text(const std::filesystem::path& path, const std::string& text);

}  // namespace paircount
