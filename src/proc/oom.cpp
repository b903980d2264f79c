#include "proc/oom.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <string_view>
#include <utility>

#include "util/cgroups.hpp"
#include "util/fd.hpp"
#include "util/text.hpp"

namespace runner::proc {
namespace {

constexpr std::size_t kMaxFile = std::size_t{1} << 20U;
constexpr const char* kMachine = "/proc/vmstat";
constexpr auto kMaxAge = std::chrono::milliseconds(20);

bool readable(const std::string& file) {
  return ::access(file.c_str(), R_OK) == 0;
}

/// The counter's file of our cgroup, or of the nearest one above it that has the controller: that one counts for us.
std::string find_file() {
  const auto mountinfo = util::read_file("/proc/self/mountinfo", kMaxFile);
  const auto groups = util::read_file("/proc/self/cgroup", kMaxFile);
  if (!mountinfo || !groups) return kMachine;
  for (const auto& [controller, name] : {std::pair{"memory", "/memory.oom_control"}, {"", "/memory.events"}}) {
    for (const auto& directory : util::cgroup_directories(*mountinfo, *groups, controller)) {
      if (readable(directory + name)) return directory + name;
    }
  }
  return kMachine;
}

}  // namespace

OomCounter::OomCounter() : OomCounter(find_file()) {}

OomCounter::OomCounter(const std::string& file) : slow_(file == kMachine) {
  if (auto opened = util::open_file(file, O_RDONLY)) file_ = std::move(*opened);
}

std::uint64_t OomCounter::kills() {
  if (!slow_) return read();
  const auto now = util::steady_now();
  if (now - last_at_ < kMaxAge) return last_;
  last_at_ = now;
  return last_ = read();
}

bool OomCounter::explains_a_death(std::uint64_t before) {
  const std::uint64_t accounted = std::max(before, explained_);
  if (read() <= accounted) return false;
  explained_ = accounted + 1;
  return true;
}

std::uint64_t OomCounter::read() const {
  constexpr std::string_view kName = "oom_kill ";
  std::array<char, std::size_t{32} << 10U> text;  // NOLINT(cppcoreguidelines-pro-type-member-init): filled by pread
  const ssize_t size = ::pread(file_.get(), text.data(), text.size(), 0);
  if (size <= 0) return 0;
  for (const auto line : util::split({text.data(), static_cast<std::size_t>(size)}, '\n')) {
    if (line.substr(0, kName.size()) != kName) continue;
    std::uint64_t value = 0;
    const auto digits = line.substr(kName.size());
    std::from_chars(digits.data(), digits.data() + digits.size(), value);
    return value;
  }
  return 0;
}

}  // namespace runner::proc
