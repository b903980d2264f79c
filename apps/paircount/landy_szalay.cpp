#include "landy_szalay.hpp"

#include <cmath>
#include <cstdio>

namespace paircount {

std::optional<Estimate> landy_szalay(PairCounts pairs, std::uint64_t galaxies, std::uint64_t randoms) {
  if (pairs.rr == 0) return std::nullopt;
  const auto n_d = static_cast<double>(galaxies);
  const auto n_r = static_cast<double>(randoms);
  const double dd = static_cast<double>(pairs.dd) / (n_d * (n_d - 1) / 2);
  const double dr = static_cast<double>(pairs.dr) / (n_d * n_r);
  const double rr = static_cast<double>(pairs.rr) / (n_r * (n_r - 1) / 2);
  Estimate estimate;
  estimate.w = (dd - 2 * dr + rr) / rr;
  if (pairs.dd > 0) estimate.error = (1 + estimate.w) / std::sqrt(static_cast<double>(pairs.dd));
  return estimate;
}

std::string format_table(const SliceCounts& sum) {
  const auto count = [](std::uint64_t n) { return static_cast<unsigned long long>(n); };
  char line[160];
  std::snprintf(line, sizeof line, "# w(theta) after Landy & Szalay 1993: %llu galaxies, %llu randoms, %u slices\n",
                count(sum.galaxies.points), count(sum.randoms.points), sum.slice.total);
  std::string table = line;
  std::snprintf(line, sizeof line, "# %9s  %9s  %12s  %12s  %12s  %9s  %9s\n", "from_deg", "to_deg", "DD", "DR", "RR",
                "w", "error");
  table += line;
  for (std::size_t bin = 0; bin < sum.dd.size(); ++bin) {
    const auto estimate =
        landy_szalay({sum.dd[bin], sum.dr[bin], sum.rr[bin]}, sum.galaxies.points, sum.randoms.points);
    char w[32] = "-";
    char error[32] = "-";
    if (estimate) std::snprintf(w, sizeof w, "%.4f", estimate->w);
    if (estimate && estimate->error) std::snprintf(error, sizeof error, "%.4f", *estimate->error);
    std::snprintf(line, sizeof line, "  %9.4f  %9.4f  %12llu  %12llu  %12llu  %9s  %9s\n", sum.edges_deg[bin],
                  sum.edges_deg[bin + 1], count(sum.dd[bin]), count(sum.dr[bin]), count(sum.rr[bin]), w, error);
    table += line;
  }
  return table;
}

}  // namespace paircount
