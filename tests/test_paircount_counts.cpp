#include <doctest/doctest.h>

#include <cmath>
#include <numbers>

#include "paircount/mock.hpp"
#include "paircount/slice_counts.hpp"

namespace {

using namespace paircount;

/// The definition, without a grid, a slice or a trick.
SliceCounts brute_force(const Catalogue& galaxies, const Catalogue& randoms, const AngularBins& bins) {
  SliceCounts sum;
  const auto add = [&bins](Counts& counts, Position a, Position b) {
    const double distance = chord2(to_point(a, 0), to_point(b, 0));
    for (std::size_t bin = 0; bin < bins.size(); ++bin) {
      if (distance >= bins.edges_chord2()[bin] && distance < bins.edges_chord2()[bin + 1]) ++counts[bin];
    }
  };
  sum.dd.resize(bins.size());
  sum.dr.resize(bins.size());
  sum.rr.resize(bins.size());
  for (std::size_t i = 0; i < galaxies.size(); ++i) {
    for (std::size_t j = i + 1; j < galaxies.size(); ++j) add(sum.dd, galaxies[i], galaxies[j]);
    for (const Position& random : randoms) add(sum.dr, galaxies[i], random);
  }
  for (std::size_t i = 0; i < randoms.size(); ++i) {
    for (std::size_t j = i + 1; j < randoms.size(); ++j) add(sum.rr, randoms[i], randoms[j]);
  }
  return sum;
}

SliceCounts sum_of_slices(const Catalogue& galaxies, const Catalogue& randoms, const AngularBins& bins,
                          std::uint32_t total) {
  std::vector<SliceCounts> slices;
  for (std::uint32_t i = 0; i < total; ++i) slices.push_back(count_slice(galaxies, randoms, {i, total}, bins));
  return merge(slices);
}

void check_against_brute_force(const Catalogue& galaxies, const Catalogue& randoms, const AngularBins& bins) {
  const SliceCounts whole = brute_force(galaxies, randoms, bins);
  for (const std::uint32_t total : {1U, 3U, 100U}) {
    CAPTURE(total);
    const SliceCounts sum = sum_of_slices(galaxies, randoms, bins, total);
    CHECK(sum.dd == whole.dd);
    CHECK(sum.dr == whole.dr);
    CHECK(sum.rr == whole.rr);
  }
}

TEST_CASE("the counts of all slices add up to the brute-force counts of the whole") {
  const Sky sky = mock_sky(800, 1500, 5);
  check_against_brute_force(sky.galaxies, sky.randoms, {0.01, 10, 20});
  check_against_brute_force(sky.galaxies, sky.randoms, {0.2, 0.3, 1});
}

TEST_CASE("poles, the 0h meridian, twins and opposite points are counted like any other") {
  Catalogue galaxies = uniform_randoms(300, 1, {});
  for (const Position& position : uniform_randoms(100, 2, {0, 360, 88, 90})) galaxies.push_back(position);
  for (const Position& position : uniform_randoms(100, 3, {0, 360, -90, -89})) galaxies.push_back(position);
  for (const Position& position : uniform_randoms(50, 4, {0, 1, -1, 1})) galaxies.push_back(position);
  for (const Position& position : uniform_randoms(50, 5, {359, 360, -1, 1})) galaxies.push_back(position);
  for (const Position position :
       {Position{0, 90}, {180, 90}, {0, -90}, {0, 0}, {360, 0}, {180, 0}, {90, 0}, {270, 0}}) {
    galaxies.push_back(position);
  }
  check_against_brute_force(galaxies, uniform_randoms(700, 6, {}), {0.1, 180, 30});
  check_against_brute_force(galaxies, uniform_randoms(700, 6, {}), {0.1, 3, 9});
}

TEST_CASE("every pair further apart than the least angle is in a bin that reaches to 180 degrees") {
  const Catalogue galaxies = uniform_randoms(200, 9, {});
  const SliceCounts counts = count_slice(galaxies, galaxies, {}, {1e-9, 180, 1});
  CHECK(counts.dd[0] == 200 * 199 / 2);
  CHECK(counts.dr[0] == 200 * 199);  // all but each point with itself
}

TEST_CASE("pairs fall into the bin of their angle") {
  const AngularBins bins(0.1, 10, 2);  // edges 0.1, 1, 10
  const auto counts_at = [&bins](double degrees) {
    return count_slice({{10, 0}, {10 + degrees, 0}}, {{0, 0}, {0, 50}}, {}, bins).dd;
  };
  CHECK(bins.edges_deg()[1] == doctest::Approx(1.0));
  CHECK(counts_at(0.0999) == Counts{0, 0});
  CHECK(counts_at(0.1001) == Counts{1, 0});
  CHECK(counts_at(0.9999) == Counts{1, 0});
  CHECK(counts_at(1.0001) == Counts{0, 1});
  CHECK(counts_at(9.9999) == Counts{0, 1});
  CHECK(counts_at(10.0001) == Counts{0, 0});
}

TEST_CASE("a bin's edges are chords of its angles") {
  const AngularBins bins(1, 60, 3);
  const double sine = std::sin(30 * std::numbers::pi / 180);
  CHECK(bins.edges_chord2().back() == doctest::Approx(4 * sine * sine));
  CHECK_THROWS(AngularBins(0, 1, 3));
  CHECK_THROWS(AngularBins(1, 1, 3));
  CHECK_THROWS(AngularBins(1, 181, 3));
  CHECK_THROWS(AngularBins(1, 2, 0));
}

}  // namespace
