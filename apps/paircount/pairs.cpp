#include "pairs.hpp"

#include <cmath>
#include <numbers>
#include <numeric>
#include <stdexcept>

namespace paircount {
namespace {

constexpr double kRadiansPerDegree = std::numbers::pi / 180;
constexpr int kMaxSide = 64;  ///< 64^3 cells, 1 MiB of starts: finer grids cost more to walk than they save

/// Counts the pairs of every point of the slice with the neighbours for which `counts_pair(point, other)`.
template <class Predicate>
Counts count(const PointGrid& primaries, const PointGrid& others, Slice slice, const AngularBins& bins,
             const Predicate& counts_pair) {
  const auto& edges = bins.edges_chord2();
  const double least = edges.front();
  const double most = edges.back();
  Counts counts(bins.size());
  const auto& points = primaries.in_catalogue_order();
  for (std::size_t i = slice.index; i < points.size(); i += slice.total) {
    const Point point = points[i];
    others.near(point, [&](std::span<const Point> run) {
      for (const Point& other : run) {
        const double distance = chord2(point, other);
        if (!(distance >= least && distance < most) || !counts_pair(point, other)) continue;
        std::size_t bin = counts.size() - 1;  // the widest bins hold most pairs: search from there
        while (distance < edges[bin]) --bin;
        ++counts[bin];
      }
    });
  }
  return counts;
}

}  // namespace

AngularBins::AngularBins(double min_deg, double max_deg, std::uint32_t count) {
  if (!(min_deg > 0 && max_deg > min_deg && max_deg <= 180 && count > 0)) {
    throw std::invalid_argument("bins need 0 < min < max <= 180 degrees and at least one bin");
  }
  for (std::uint32_t k = 0; k <= count; ++k) {
    const double angle = k == count ? max_deg : min_deg * std::pow(max_deg / min_deg, double(k) / count);
    const double half_chord = std::sin(angle * kRadiansPerDegree / 2);
    edges_deg_.push_back(angle);
    edges_chord2_.push_back(4 * half_chord * half_chord);
  }
}

Point to_point(Position position, std::uint32_t index) {
  const double ra = position.ra_deg * kRadiansPerDegree;
  const double dec = position.dec_deg * kRadiansPerDegree;
  return {std::cos(dec) * std::cos(ra), std::cos(dec) * std::sin(ra), std::sin(dec), index};
}

PointGrid::PointGrid(const Catalogue& catalogue, const AngularBins& bins) {
  // Slightly wider than the largest chord, so that rounding in cell() cannot put a neighbour two cells away.
  const double width = std::sqrt(bins.edges_chord2().back()) * (1 + 1e-9);
  side_ = std::clamp(static_cast<int>(2 / width), 1, kMaxSide);
  for (const Position& position : catalogue) {
    points_.push_back(to_point(position, static_cast<std::uint32_t>(points_.size())));
  }
  const auto cell_of = [this](const Point& point) { return cell_index(cell(point.x), cell(point.y), cell(point.z)); };
  starts_.resize(cell_index(side_ - 1, side_ - 1, side_ - 1) + 2);
  for (const Point& point : points_) ++starts_[cell_of(point) + 1];
  std::partial_sum(starts_.begin(), starts_.end(), starts_.begin());
  by_cell_.resize(points_.size());
  auto next = starts_;
  for (const Point& point : points_) by_cell_[next[cell_of(point)]++] = point;
}

int PointGrid::cell(double coordinate) const {
  return std::clamp(static_cast<int>((coordinate + 1) / 2 * side_), 0, side_ - 1);
}

Counts count_auto(const PointGrid& grid, Slice slice, const AngularBins& bins) {
  return count(grid, grid, slice, bins, [](const Point& a, const Point& b) { return a.index < b.index; });
}

Counts count_cross(const PointGrid& points, const PointGrid& grid, Slice slice, const AngularBins& bins) {
  return count(points, grid, slice, bins, [](const Point&, const Point&) { return true; });
}

}  // namespace paircount
