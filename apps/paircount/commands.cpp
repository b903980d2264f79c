#include "commands.hpp"

#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <iostream>
#include <limits>

#include "landy_szalay.hpp"
#include "mock.hpp"
#include "options.hpp"
#include "slice_counts.hpp"

namespace paircount {

const char* const kUsage =
    R"(paircount: the two-point angular correlation function of a catalogue, slice by slice

  paircount count --galaxies CSV --randoms CSV --slice I --slices N --out DIR
      counts DD, DR and RR of slice I (0 to N-1) against the whole, into DIR/slice-I.csv
        --min 0.05 --max 10 --bins 12   logarithmic bins of the angle, degrees
        --mock SEED --points 20000 --random-points 100000
                                        instead of the two files: the catalogues `paircount mock` would write
        --finish                        whichever slice completes the set also merges it: the table goes to
                                        DIR/w_theta.txt and to stdout. Give every run a DIR of its own
  paircount merge DIR                   adds the slices up and prints the table of w(theta), Landy & Szalay 1993
  paircount mock --seed 1 --points 20000 --random-points 100000 --galaxies CSV --randoms CSV
                                        writes a clustered mock catalogue and randoms for it
  paircount randoms --like CSV --points N --seed 1 --out CSV
                                        writes randoms with a catalogue's distribution in declination

Catalogues are CSV files with the columns ra_deg and dec_deg; other columns are ignored.
)";

namespace {

constexpr std::uint64_t kMostPoints = std::numeric_limits<std::uint32_t>::max();
constexpr std::uint64_t kDefaultPoints = 20'000;
constexpr std::uint64_t kDefaultRandomPoints = 100'000;

std::uint64_t take_points(Options& options, const std::string& name, std::uint64_t fallback) {
  const std::uint64_t points = options.count(name, fallback);
  if (points < 2 || points > kMostPoints) throw UsageError("--" + name + " must be from 2 to 4294967295");
  return points;
}

Sky take_mock(Options& options, std::uint64_t seed) {
  const auto galaxies = take_points(options, "points", kDefaultPoints);
  return mock_sky(galaxies, take_points(options, "random-points", kDefaultRandomPoints), seed);
}

Sky take_catalogues(Options& options) {
  if (options.has("mock")) return take_mock(options, options.count("mock"));
  const std::string galaxies = options.required_text("galaxies");
  const std::string randoms = options.required_text("randoms");
  Sky sky = {read_catalogue(galaxies), read_catalogue(randoms)};
  if (sky.galaxies.size() < 2) throw FileError(galaxies + " has fewer than two points");
  if (sky.randoms.size() < 2) throw FileError(randoms + " has fewer than two points");
  return sky;
}

Slice take_slice(Options& options) {
  const std::uint64_t index = options.count("slice");
  const std::uint64_t total = options.count("slices");
  if (total > kMostPoints || index >= total) throw UsageError("--slice must be from 0 to --slices minus 1");
  return {static_cast<std::uint32_t>(index), static_cast<std::uint32_t>(total)};
}

AngularBins take_bins(Options& options) {
  const double min = options.number("min", 0.05);
  const double max = options.number("max", 10);
  const std::uint64_t count = options.count("bins", 12);
  if (!(min > 0 && max > min && max <= 180) || count < 1 || count > 1000) {
    throw UsageError("bins need 0 < --min < --max <= 180 degrees and --bins from 1 to 1000");
  }
  return {min, max, static_cast<std::uint32_t>(count)};
}

/// Writes and prints the table if every slice is there and no other process has done so. Every slice comes here after
/// its own file is in place, so the last one finds all of them; the hard link lets one of several latecomers win.
void finish_if_complete(const std::filesystem::path& directory, std::uint32_t total) {
  for (std::uint32_t i = 0; i < total; ++i) {
    if (!std::filesystem::exists(slice_path(directory, i))) return;
  }
  const std::string table = format_table(merge(read_slices(directory)));
  const std::filesystem::path mine = directory / ("w_theta." + std::to_string(getpid()) + ".tmp");
  write_text(mine, table);
  std::error_code exists;
  std::filesystem::create_hard_link(mine, directory / "w_theta.txt", exists);
  std::filesystem::remove(mine);
  if (exists == std::errc::file_exists) return;
  if (exists) throw FileError("cannot write " + (directory / "w_theta.txt").string() + ": " + exists.message());
  std::cout << table;
}

void count(Options options) {
  const Slice slice = take_slice(options);
  const AngularBins bins = take_bins(options);
  const std::filesystem::path directory = options.required_text("out");
  const bool finish = options.flag("finish");
  const Sky sky = take_catalogues(options);
  options.finish();
  write_slice(directory, count_slice(sky.galaxies, sky.randoms, slice, bins));
  if (finish) finish_if_complete(directory, slice.total);
}

void merge_slices(Options options) {
  const std::string directory = options.required_argument("the directory with the slices");
  options.finish();
  std::cout << format_table(merge(read_slices(directory)));
}

void mock(Options options) {
  const std::string galaxies = options.required_text("galaxies");
  const std::string randoms = options.required_text("randoms");
  const Sky sky = take_mock(options, options.count("seed", 1));
  options.finish();
  write_catalogue(galaxies, sky.galaxies);
  write_catalogue(randoms, sky.randoms);
}

void randoms(Options options) {
  const std::string like = options.required_text("like");
  const std::string out = options.required_text("out");
  const std::uint64_t points = take_points(options, "points", kDefaultRandomPoints);
  const std::uint64_t seed = options.count("seed", 1);
  options.finish();
  const Catalogue catalogue = read_catalogue(like);
  if (catalogue.empty()) throw FileError(like + " has no points");
  write_catalogue(out, randoms_like(catalogue, points, seed));
}

}  // namespace

void run_command(const std::vector<std::string>& words) {
  if (words.empty()) throw UsageError("a command is missing: count, merge, mock or randoms");
  Options options({words.begin() + 1, words.end()}, {"finish"});
  if (words.front() == "count") return count(std::move(options));
  if (words.front() == "merge") return merge_slices(std::move(options));
  if (words.front() == "mock") return mock(std::move(options));
  if (words.front() == "randoms") return randoms(std::move(options));
  throw UsageError("unknown command '" + words.front() + "': count, merge, mock or randoms");
}

}  // namespace paircount
