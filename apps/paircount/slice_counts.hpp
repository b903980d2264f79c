// SliceCounts: what one slice counted, and enough about its input to tell whether two slices belong together. Written
// as one small CSV file a slice ("# key: value" lines, then a row a bin), read back and added up by the merge.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "pairs.hpp"

namespace paircount {

/// A catalogue as a slice's file names it.
struct Input {
  std::uint64_t points = 0;
  std::uint64_t checksum = 0;
  bool operator==(const Input&) const = default;
};

struct SliceCounts {
  Slice slice;
  Input galaxies;
  Input randoms;
  std::vector<double> edges_deg;
  Counts dd, dr, rr;
};

/// Counts one slice.
SliceCounts count_slice(const Catalogue& galaxies, const Catalogue& randoms, Slice slice, const AngularBins& bins);

/// "<directory>/slice-017.csv"
std::filesystem::path slice_path(const std::filesystem::path& directory, std::uint32_t index);
void write_slice(const std::filesystem::path& directory, const SliceCounts& counts);
/// Throws FileError for a file that write_slice did not write.
SliceCounts read_slice(const std::filesystem::path& path);

/// The slices of a directory, as they are found there: sorted by index.
std::vector<SliceCounts> read_slices(const std::filesystem::path& directory);

/// Adds the slices up. Throws FileError unless every slice 0 ... total-1 is there once, and all are of the same
/// catalogues and bins; the message lists the missing ones as `runner --slices` takes them.
SliceCounts merge(const std::vector<SliceCounts>& slices);

}  // namespace paircount
