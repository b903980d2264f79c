#include "mock.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace paircount {
namespace {

constexpr double kDegrees = std::numbers::pi / 180;
constexpr double kClumpRadius = 6 * kDegrees;
constexpr int kLevels = 8;
constexpr int kChildren = 2;
const double kShrink = std::pow(kChildren, 1 / 1.2);  // w falls as theta^(D-2), D = ln children / ln shrink = 1.2

/// Radians; declination as it is, right ascension in any turn.
struct Direction {
  double ra, dec;
};

double asin_safely(double sine) {
  return std::asin(std::clamp(sine, -1.0, 1.0));
}

Position to_position(Direction direction) {
  double ra = std::fmod(direction.ra / kDegrees, 360);
  if (ra < 0) ra += 360;
  return rounded({ra, direction.dec / kDegrees});
}

Direction uniform_in(const Footprint& footprint, Random& random) {
  const double ra = random.uniform(footprint.ra_min, footprint.ra_max) * kDegrees;
  const double sine = random.uniform(std::sin(footprint.dec_min * kDegrees), std::sin(footprint.dec_max * kDegrees));
  return {ra, asin_safely(sine)};
}

/// A point of the disc around `centre`, uniform in area (of the tangent plane), by the great circle that leads to it.
Direction within_disc(Direction centre, double radius, Random& random) {
  const double distance = radius * std::sqrt(random.uniform());
  const double bearing = random.uniform(0, 2 * std::numbers::pi);
  const double sine =
      std::sin(centre.dec) * std::cos(distance) + std::cos(centre.dec) * std::sin(distance) * std::cos(bearing);
  const double east = std::sin(bearing) * std::sin(distance) * std::cos(centre.dec);
  const double north = std::cos(distance) - std::sin(centre.dec) * sine;
  return {centre.ra + std::atan2(east, north), asin_safely(sine)};
}

bool contains(const Footprint& footprint, Position position) {
  return position.ra_deg >= footprint.ra_min && position.ra_deg <= footprint.ra_max &&
         position.dec_deg >= footprint.dec_min && position.dec_deg <= footprint.dec_max;
}

void add_clump(Direction centre, double radius, int levels, const Footprint& footprint, Random& random,
               Catalogue& catalogue) {
  if (levels == 0) {
    const Position position = to_position(centre);
    if (contains(footprint, position)) catalogue.push_back(position);
    return;
  }
  for (int child = 0; child < kChildren; ++child) {
    add_clump(within_disc(centre, radius, random), radius / kShrink, levels - 1, footprint, random, catalogue);
  }
}

/// Clumps are seeded beyond the edges too, as far as they reach: the density does not fall towards the edge.
Footprint widened(const Footprint& footprint) {
  const double reach = kClumpRadius / kDegrees / (1 - 1 / kShrink);
  const double highest = std::max(std::abs(footprint.dec_min), std::abs(footprint.dec_max));
  const double ra_reach = highest + reach < 90 ? reach / std::cos((highest + reach) * kDegrees) : 360;
  if (footprint.ra_max - footprint.ra_min + 2 * ra_reach >= 360) {
    return {0, 360, std::max(footprint.dec_min - reach, -90.0), std::min(footprint.dec_max + reach, 90.0)};
  }
  return {footprint.ra_min - ra_reach, footprint.ra_max + ra_reach, std::max(footprint.dec_min - reach, -90.0),
          std::min(footprint.dec_max + reach, 90.0)};
}

}  // namespace

Random::Random(std::uint64_t seed) {
  for (std::uint64_t& word : state_) {
    seed += 0x9e3779b97f4a7c15U;
    std::uint64_t z = seed;
    z = (z ^ (z >> 30U)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27U)) * 0x94d049bb133111ebU;
    word = z ^ (z >> 31U);
  }
}

std::uint64_t Random::next() {
  const auto rotl = [](std::uint64_t x, unsigned k) { return (x << k) | (x >> (64U - k)); };
  const std::uint64_t result = rotl(state_[0] + state_[3], 23) + state_[0];
  const std::uint64_t t = state_[1] << 17U;
  state_[2] ^= state_[0];
  state_[3] ^= state_[1];
  state_[1] ^= state_[2];
  state_[0] ^= state_[3];
  state_[2] ^= t;
  state_[3] = rotl(state_[3], 45);
  return result;
}

Catalogue clustered_mock(std::size_t points, std::uint64_t seed, const Footprint& footprint) {
  Random random(seed);
  const Footprint centres = widened(footprint);
  Catalogue catalogue;
  while (catalogue.size() < points) {
    add_clump(uniform_in(centres, random), kClumpRadius, kLevels, footprint, random, catalogue);
  }
  catalogue.resize(points);
  return catalogue;
}

Catalogue uniform_randoms(std::size_t points, std::uint64_t seed, const Footprint& footprint) {
  Random random(seed);
  Catalogue catalogue(points);
  for (Position& position : catalogue) position = to_position(uniform_in(footprint, random));
  return catalogue;
}

Sky mock_sky(std::size_t galaxies, std::size_t randoms, std::uint64_t seed) {
  constexpr Footprint kFootprint = {120, 240, 0, 60};
  return {clustered_mock(galaxies, seed, kFootprint), uniform_randoms(randoms, ~seed, kFootprint)};
}

Catalogue randoms_like(const Catalogue& like, std::size_t points, std::uint64_t seed) {
  constexpr double kBands = 36;
  const auto [west, east] =
      std::minmax_element(like.begin(), like.end(), [](auto& a, auto& b) { return a.ra_deg < b.ra_deg; });
  Random random(seed);
  Catalogue catalogue(points);
  for (Position& position : catalogue) {
    const Position& model = like[random.next() % like.size()];
    const double band = std::min(std::floor((std::sin(model.dec_deg * kDegrees) + 1) / 2 * kBands), kBands - 1);
    const double sine = (band + random.uniform()) / kBands * 2 - 1;
    const double ra = random.uniform(west->ra_deg, east->ra_deg);
    position = to_position({ra * kDegrees, asin_safely(sine)});
  }
  return catalogue;
}

}  // namespace paircount
