#include "slice_counts.hpp"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <sstream>
#include <string_view>

namespace paircount {
namespace {

Input describe(const Catalogue& catalogue) {
  return {catalogue.size(), checksum(catalogue)};
}

std::string to_line(const char* name, const Input& input) {
  char line[96];
  std::snprintf(line, sizeof line, "# %s: %llu points, checksum %016llx\n", name,
                static_cast<unsigned long long>(input.points), static_cast<unsigned long long>(input.checksum));
  return line;
}

/// The shortest text that reads back as the same double.
std::string exact(double value) {
  char text[32];
  const auto end = std::to_chars(text, text + sizeof text, value).ptr;
  return {text, end};
}

/// Takes a file's text apart from the front; every take_*() throws when the text is not as write_slice wrote it.
class Reader {
 public:
  Reader(std::string_view text, std::string path) : rest_(text), path_(std::move(path)) {}

  void take(std::string_view expected) {
    if (!rest_.starts_with(expected)) fail();
    rest_.remove_prefix(expected.size());
  }
  template <class Number, class... Base>
  Number take_number(Base... base) {
    Number number{};
    const auto [end, error] = std::from_chars(rest_.data(), rest_.data() + rest_.size(), number, base...);
    if (error != std::errc()) fail();
    rest_.remove_prefix(static_cast<std::size_t>(end - rest_.data()));
    return number;
  }
  [[nodiscard]] bool at_end() const { return rest_.empty(); }
  [[noreturn]] void fail() const {
    throw FileError(path_ + ": not a slice that `paircount count` wrote, or cut short; count that slice again");
  }

 private:
  std::string_view rest_;
  std::string path_;
};

Input take_input(Reader& reader, const char* name) {
  Input input;
  reader.take(std::string("# ") + name + ": ");
  input.points = reader.take_number<std::uint64_t>();
  reader.take(" points, checksum ");
  input.checksum = reader.take_number<std::uint64_t>(16);
  reader.take("\n");
  return input;
}

constexpr std::string_view kColumns = "theta_min_deg,theta_max_deg,dd,dr,rr\n";

void add(Counts& sum, const Counts& counts) {
  std::transform(sum.begin(), sum.end(), counts.begin(), sum.begin(), std::plus<>());
}

/// "3,7-9" of what is false in `present`.
std::string list_missing(const std::vector<bool>& present) {
  std::string list;
  for (std::size_t i = 0; i < present.size(); ++i) {
    if (present[i]) continue;
    std::size_t last = i;
    while (last + 1 < present.size() && !present[last + 1]) ++last;
    list += (list.empty() ? "" : ",") + std::to_string(i) + (last > i ? "-" + std::to_string(last) : "");
    i = last;
  }
  return list;
}

void require_same_input(const SliceCounts& first, const SliceCounts& other) {
  const auto refuse = [&](const char* what) {
    throw FileError("slices " + std::to_string(first.slice.index) + " and " + std::to_string(other.slice.index) +
                    " differ in " + what + ": they are of different runs; count into an empty directory");
  };
  if (first.slice.total != other.slice.total) refuse("the number of slices");
  if (first.galaxies != other.galaxies) refuse("the catalogue");
  if (first.randoms != other.randoms) refuse("the randoms");
  if (first.edges_deg != other.edges_deg) refuse("the bins");
}

}  // namespace

SliceCounts count_slice(const Catalogue& galaxies, const Catalogue& randoms, Slice slice, const AngularBins& bins) {
  const PointGrid galaxy_grid(galaxies, bins);
  const PointGrid random_grid(randoms, bins);
  return {slice,
          describe(galaxies),
          describe(randoms),
          bins.edges_deg(),
          count_auto(galaxy_grid, slice, bins),
          count_cross(galaxy_grid, random_grid, slice, bins),
          count_auto(random_grid, slice, bins)};
}

std::filesystem::path slice_path(const std::filesystem::path& directory, std::uint32_t index) {
  char name[32];
  std::snprintf(name, sizeof name, "slice-%03u.csv", index);
  return directory / name;
}

void write_slice(const std::filesystem::path& directory, const SliceCounts& counts) {
  std::ostringstream text;
  text << "# slice: " << counts.slice.index << " of " << counts.slice.total << '\n'
       << to_line("galaxies", counts.galaxies) << to_line("randoms", counts.randoms) << kColumns;
  for (std::size_t bin = 0; bin < counts.dd.size(); ++bin) {
    text << exact(counts.edges_deg[bin]) << ',' << exact(counts.edges_deg[bin + 1]) << ',' << counts.dd[bin] << ','
         << counts.dr[bin] << ',' << counts.rr[bin] << '\n';
  }
  write_text(slice_path(directory, counts.slice.index), text.str());
}

SliceCounts read_slice(const std::filesystem::path& path) {
  const std::string text = read_text(path);
  Reader reader(text, path.string());
  SliceCounts counts;
  reader.take("# slice: ");
  counts.slice.index = reader.take_number<std::uint32_t>();
  reader.take(" of ");
  counts.slice.total = reader.take_number<std::uint32_t>();
  reader.take("\n");
  if (counts.slice.index >= counts.slice.total) reader.fail();
  counts.galaxies = take_input(reader, "galaxies");
  counts.randoms = take_input(reader, "randoms");
  reader.take(kColumns);
  do {
    const auto lower = reader.take_number<double>();
    reader.take(",");
    const auto upper = reader.take_number<double>();
    if (counts.edges_deg.empty()) counts.edges_deg.push_back(lower);
    if (counts.edges_deg.back() != lower) reader.fail();
    counts.edges_deg.push_back(upper);
    for (Counts* column : {&counts.dd, &counts.dr, &counts.rr}) {
      reader.take(",");
      column->push_back(reader.take_number<std::uint64_t>());
    }
    reader.take("\n");
  } while (!reader.at_end());
  return counts;
}

std::vector<SliceCounts> read_slices(const std::filesystem::path& directory) {
  std::vector<SliceCounts> slices;
  if (!std::filesystem::is_directory(directory)) throw FileError(directory.string() + " is not a directory");
  for (const auto& entry : std::filesystem::directory_iterator(directory)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with("slice-") && name.ends_with(".csv")) slices.push_back(read_slice(entry.path()));
  }
  std::sort(slices.begin(), slices.end(), [](auto& a, auto& b) { return a.slice.index < b.slice.index; });
  return slices;
}

SliceCounts merge(const std::vector<SliceCounts>& slices) {
  if (slices.empty()) throw FileError("no slices there; `paircount count` writes them");
  SliceCounts sum = slices.front();
  std::vector<bool> present(sum.slice.total);
  present[sum.slice.index] = true;
  for (auto slice = slices.begin() + 1; slice != slices.end(); ++slice) {
    require_same_input(slices.front(), *slice);
    if (present[slice->slice.index]) {
      throw FileError("slice " + std::to_string(slice->slice.index) + " is there twice; keep one of its files");
    }
    present[slice->slice.index] = true;
    add(sum.dd, slice->dd);
    add(sum.dr, slice->dr);
    add(sum.rr, slice->rr);
  }
  if (slices.size() < present.size()) {
    throw FileError(std::to_string(present.size() - slices.size()) + " of " + std::to_string(present.size()) +
                    " slices are missing: " + list_missing(present) + " (count them: runner SPEC --slices " +
                    list_missing(present) + ")");
  }
  return sum;
}

}  // namespace paircount
