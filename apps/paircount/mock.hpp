// Mock catalogues: a clustered sky and unclustered randoms, the same on every machine for the same seed. Pure
// functions; positions come rounded as a CSV file holds them. Not a model of any survey.
#pragma once

#include <cstdint>

#include "catalogue.hpp"

namespace paircount {

/// A piece of sky between two meridians and two parallels, degrees. Does not cross ra 0.
struct Footprint {
  double ra_min = 0, ra_max = 360, dec_min = -90, dec_max = 90;
};

/// xoshiro256++ seeded by splitmix64 (Blackman & Vigna 2021, ACM TOMS 47, 36). The standard library's generators are
/// portable, its distributions are not; so both are here.
class Random {
 public:
  explicit Random(std::uint64_t seed);
  std::uint64_t next();
  double uniform() { return static_cast<double>(next() >> 11U) * 0x1.0p-53; }  ///< [0, 1)
  double uniform(double least, double most) { return least + (most - least) * uniform(); }

 private:
  std::uint64_t state_[4] = {};
};

/// Hierarchical clumps after Soneira & Peebles (1978, AJ 83, 845), here discs on the sphere: 2 discs in a disc, each
/// 1.78 times smaller, 8 levels from a radius of 6 degrees down. Below that radius w(theta) falls about as
/// theta^-0.8, as that of galaxies does.
Catalogue clustered_mock(std::size_t points, std::uint64_t seed, const Footprint& footprint);

/// Uniform on the sphere within the footprint.
Catalogue uniform_randoms(std::size_t points, std::uint64_t seed, const Footprint& footprint);

/// A clustered catalogue and randoms for it, on a seventh of the sky.
struct Sky {
  Catalogue galaxies;
  Catalogue randoms;
};
Sky mock_sky(std::size_t galaxies, std::size_t randoms, std::uint64_t seed);

/// Randoms for a real catalogue whose footprint is not known: uniform in right ascension between its extremes; the
/// share of each of 36 bands of equal area in declination is the catalogue's, uniform within. `like` is not empty.
Catalogue randoms_like(const Catalogue& like, std::size_t points, std::uint64_t seed);

}  // namespace paircount
