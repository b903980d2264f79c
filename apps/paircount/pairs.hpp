// Pair counts: how many pairs of points lie at which angular distance. PointGrid holds one catalogue for neighbour
// search, made once and never changed; count_* are pure functions of it. Exact: whatever the slicing, the sums over
// all slices are the brute-force counts of the whole, to the last pair.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include "catalogue.hpp"

namespace paircount {

/// Logarithmic bins of the angle: edge k is min * (max/min)^(k/count), degrees; a bin holds its lower edge, not its
/// upper one. Distances are compared as squared chords, |u-v|^2 = 4 sin^2(theta/2), which grow with the angle, keep
/// their precision at small angles, and need no function of libm per pair; only the edges are converted, once.
class AngularBins {
 public:
  /// 0 < min_deg < max_deg <= 180, count > 0; else throws std::invalid_argument.
  AngularBins(double min_deg, double max_deg, std::uint32_t count);

  [[nodiscard]] std::size_t size() const { return edges_deg_.size() - 1; }
  [[nodiscard]] const std::vector<double>& edges_deg() const { return edges_deg_; }
  [[nodiscard]] const std::vector<double>& edges_chord2() const { return edges_chord2_; }

 private:
  std::vector<double> edges_deg_;
  std::vector<double> edges_chord2_;
};

using Counts = std::vector<std::uint64_t>;  ///< one number a bin

/// A point on the unit sphere, and its place in the catalogue.
struct Point {
  double x, y, z;
  std::uint32_t index;
};
Point to_point(Position position, std::uint32_t index);

inline double chord2(const Point& a, const Point& b) {
  const double dx = a.x - b.x;
  const double dy = a.y - b.y;
  const double dz = a.z - b.z;
  return dx * dx + dy * dy + dz * dz;
}

/// The points in cubic cells at least as wide as the largest distance asked for, so that all neighbours of a point
/// are in the 27 cells around it. No special cases at the poles or at 0h.
class PointGrid {
 public:
  PointGrid(const Catalogue& catalogue, const AngularBins& bins);

  [[nodiscard]] const std::vector<Point>& in_catalogue_order() const { return points_; }
  /// Calls visit(std::span<const Point>) for runs of points that together hold all neighbours of `point`, each once.
  template <class Visit>
  void near(const Point& point, const Visit& visit) const {
    const int cx = cell(point.x);
    const int cy = cell(point.y);
    const int cz = cell(point.z);
    for (int x = std::max(cx - 1, 0); x <= std::min(cx + 1, side_ - 1); ++x) {
      for (int y = std::max(cy - 1, 0); y <= std::min(cy + 1, side_ - 1); ++y) {
        // Cells along z follow one another, and so do their points.
        const auto first = starts_[cell_index(x, y, std::max(cz - 1, 0))];
        const auto last = starts_[cell_index(x, y, std::min(cz + 1, side_ - 1)) + 1];
        visit(std::span(by_cell_).subspan(first, last - first));
      }
    }
  }

 private:
  [[nodiscard]] int cell(double coordinate) const;
  [[nodiscard]] std::size_t cell_index(int x, int y, int z) const {
    const auto side = static_cast<std::size_t>(side_);
    return (static_cast<std::size_t>(x) * side + static_cast<std::size_t>(y)) * side + static_cast<std::size_t>(z);
  }

  int side_ = 1;
  std::vector<Point> points_;
  std::vector<Point> by_cell_;
  std::vector<std::uint32_t> starts_;  ///< cell -> its first point in by_cell_; one more at the end
};

/// Slice `index` of `total`: every total-th point, beginning with index. Interleaved slices all cost the same.
struct Slice {
  std::uint32_t index = 0;
  std::uint32_t total = 1;
};

/// Pairs within one catalogue. A pair belongs to the slice that holds its earlier point, so it is counted once.
Counts count_auto(const PointGrid& grid, Slice slice, const AngularBins& bins);
/// Pairs of a point in this slice of `points` with any point in `grid`.
Counts count_cross(const PointGrid& points, const PointGrid& grid, Slice slice, const AngularBins& bins);

}  // namespace paircount
