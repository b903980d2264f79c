#include <doctest/doctest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "paircount/landy_szalay.hpp"
#include "paircount/mock.hpp"
#include "temporary_directory.hpp"

namespace {

using namespace paircount;
namespace fs = std::filesystem;
using runner::test::TemporaryDirectory;

const AngularBins kBins(0.5, 20, 6);

std::vector<SliceCounts> all_slices(const Sky& sky, std::uint32_t total, const AngularBins& bins = kBins) {
  std::vector<SliceCounts> slices;
  for (std::uint32_t i = 0; i < total; ++i) slices.push_back(count_slice(sky.galaxies, sky.randoms, {i, total}, bins));
  return slices;
}

TEST_CASE("the estimator is Landy and Szalay's, by hand") {
  // 4 galaxies: 6 pairs; 5 randoms: 10 pairs; 20 mixed pairs. DD = 3/6, DR = 4/20, RR = 1/10.
  const auto estimate = landy_szalay({.dd = 3, .dr = 4, .rr = 1}, 4, 5);
  REQUIRE(estimate);
  CHECK(estimate->w == doctest::Approx((0.5 - 2 * 0.2 + 0.1) / 0.1));  // 2
  REQUIRE(estimate->error);
  CHECK(*estimate->error == doctest::Approx(3 / std::sqrt(3.0)));
}

TEST_CASE("without random pairs there is no estimate, without galaxy pairs no error") {
  CHECK_FALSE(landy_szalay({.dd = 3, .dr = 4, .rr = 0}, 4, 5));
  const auto estimate = landy_szalay({.dd = 0, .dr = 2, .rr = 1}, 4, 5);
  REQUIRE(estimate);
  CHECK(estimate->w == doctest::Approx(-1));
  CHECK_FALSE(estimate->error);
}

TEST_CASE("a uniform sky is not correlated, a clustered one is, most on small scales") {
  const Footprint sky = {120, 240, 0, 60};
  const auto estimates = [](const Catalogue& galaxies, const Catalogue& randoms) {
    const SliceCounts sum = count_slice(galaxies, randoms, {}, kBins);
    std::vector<Estimate> result;
    for (std::size_t bin = 0; bin < kBins.size(); ++bin) {
      const PairCounts pairs = {sum.dd[bin], sum.dr[bin], sum.rr[bin]};
      result.push_back(landy_szalay(pairs, galaxies.size(), randoms.size()).value());
    }
    return result;
  };
  const Catalogue randoms = uniform_randoms(12000, 4, sky);
  for (const Estimate& estimate : estimates(uniform_randoms(3000, 3, sky), randoms)) {
    CHECK(std::abs(estimate.w) < 4 * estimate.error.value());
  }
  const auto clustered = estimates(clustered_mock(3000, 3, sky), randoms);
  CHECK(clustered[0].w > 1);
  CHECK(clustered[0].w > clustered[2].w);
  CHECK(clustered[2].w > clustered[4].w);
}

TEST_CASE("merging names the slices that are missing") {
  auto slices = all_slices(mock_sky(50, 60, 1), 12);
  slices.erase(slices.begin() + 7, slices.begin() + 10);
  slices.erase(slices.begin() + 3);
  CHECK_THROWS_WITH(merge(slices), "4 of 12 slices are missing: 3,7-9 (count them: runner SPEC --slices 3,7-9)");
  CHECK_THROWS_AS(merge({}), FileError);
}

TEST_CASE("merging refuses slices that do not belong together") {
  const Sky sky = mock_sky(50, 60, 1);
  const auto slices = all_slices(sky, 3);
  const auto with = [&slices](const SliceCounts& odd) { return std::vector<SliceCounts>{slices[0], odd, slices[2]}; };
  const Sky other = mock_sky(50, 60, 2);
  CHECK_THROWS_WITH(merge(with(count_slice(other.galaxies, sky.randoms, {1, 3}, kBins))),
                    doctest::Contains("slices 0 and 1 differ in the catalogue"));
  CHECK_THROWS_WITH(merge(with(count_slice(sky.galaxies, other.randoms, {1, 3}, kBins))),
                    doctest::Contains("differ in the randoms"));
  CHECK_THROWS_WITH(merge(with(count_slice(sky.galaxies, sky.randoms, {1, 3}, {0.5, 21, 6}))),
                    doctest::Contains("differ in the bins"));
  CHECK_THROWS_WITH(merge(with(count_slice(sky.galaxies, sky.randoms, {1, 4}, kBins))),
                    doctest::Contains("differ in the number of slices"));
  CHECK_THROWS_WITH(merge(with(slices[2])), doctest::Contains("slice 2 is there twice"));
}

TEST_CASE("a slice's file reads back as it was, and a file cut short is refused") {
  const TemporaryDirectory directory;
  const Sky sky = mock_sky(500, 600, 1);
  const SliceCounts counts = count_slice(sky.galaxies, sky.randoms, {2, 3}, kBins);
  write_slice(directory.path(), counts);
  const fs::path path = slice_path(directory.path(), 2);
  const SliceCounts read = read_slice(path);
  CHECK(read.slice.index == 2);
  CHECK(read.slice.total == 3);
  CHECK(read.galaxies == counts.galaxies);
  CHECK(read.randoms == counts.randoms);
  CHECK(read.edges_deg == counts.edges_deg);
  CHECK(read.dd == counts.dd);
  CHECK(read.dr == counts.dr);
  CHECK(read.rr == counts.rr);
  CHECK(std::distance(fs::directory_iterator(directory.path()), {}) == 1);  // no temporary is left

  const std::string text = read_text(path);
  for (const std::size_t length : {std::size_t{10}, text.size() / 2, text.size() - 1}) {
    write_text(path, text.substr(0, length));
    CHECK_THROWS_WITH_AS(read_slices(directory.path()), doctest::Contains("slice-002.csv"), FileError);
  }
}

TEST_CASE("a mock catalogue is the same in memory, from its file and on every machine") {
  const TemporaryDirectory directory;
  const Sky sky = mock_sky(2000, 3000, 1);
  write_catalogue(directory / "galaxies.csv", sky.galaxies);
  CHECK(read_catalogue(directory / "galaxies.csv") == sky.galaxies);
  CHECK(checksum(sky.galaxies) == 13170612346788022617U);
  CHECK(checksum(sky.randoms) == 2559046705168371288U);
}

TEST_CASE("catalogue columns are found by name, and a wrong value by its line") {
  const TemporaryDirectory directory;
  const fs::path path = directory / "c.csv";
  write_text(path, "id,dec_deg,mag,ra_deg\r\nPGC 2,-47.5,,0.007\r\nPGC 3,10,14.2,359\r\n");
  CHECK(read_catalogue(path) == Catalogue{{0.007, -47.5}, {359, 10}});
  write_text(path, "ra_deg,dec_deg\n1,2\n3,91\n");
  CHECK_THROWS_WITH(read_catalogue(path), doctest::Contains("c.csv:3: "));
  write_text(path, "ra_deg,dec_deg\n1\n");
  CHECK_THROWS_WITH(read_catalogue(path), doctest::Contains("c.csv:2: "));
  write_text(path, "ra,dec\n1,2\n");
  CHECK_THROWS_WITH(read_catalogue(path), doctest::Contains("no column 'ra_deg'"));
}

TEST_CASE("randoms like a catalogue have its shares of declination") {
  Catalogue north = uniform_randoms(3000, 1, {0, 360, 30, 60});
  const Catalogue randoms = randoms_like(north, 5000, 2);
  CHECK(randoms.size() == 5000);
  const auto far_south = std::count_if(randoms.begin(), randoms.end(), [](auto& p) { return p.dec_deg < 25; });
  CHECK(far_south == 0);
}

}  // namespace
