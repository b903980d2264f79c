// The two-point angular correlation function w(theta) from pair counts, and its table. Pure functions.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "slice_counts.hpp"

namespace paircount {

/// w = (DD - 2 DR + RR) / RR, every count divided by the number of such pairs there are: n_d(n_d-1)/2, n_d n_r and
/// n_r(n_r-1)/2 (Landy & Szalay 1993, ApJ 412, 64; pair counting itself: Peebles & Hauser 1974, ApJS 28, 19).
/// `error` is Poisson's, (1 + w) / sqrt(DD): too small where pairs are correlated, as on large scales.
struct Estimate {
  double w = 0;
  std::optional<double> error;  ///< unset without a DD pair
};
struct PairCounts {
  std::uint64_t dd = 0, dr = 0, rr = 0;
};
/// nullopt without an RR pair: w is not defined there.
std::optional<Estimate> landy_szalay(PairCounts pairs, std::uint64_t galaxies, std::uint64_t randoms);

/// A line a bin, angles in degrees; "-" where there is no number.
std::string format_table(const SliceCounts& sum);

}  // namespace paircount
