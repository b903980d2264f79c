#include "proc/oom.hpp"

#include <unistd.h>

#include <charconv>
#include <string_view>
#include <utility>

#include "util/fd.hpp"
#include "util/text.hpp"

namespace runner::proc {
namespace {

constexpr std::size_t kMaxFile = std::size_t{1} << 20U;

bool readable(const std::string& file) {
  return ::access(file.c_str(), R_OK) == 0;
}

/// The counter's file by /proc/self/cgroup. In a container the path may be one of the host's that we do not see; the
/// mount's root is our own group then.
std::string find_file() {
  const auto groups = util::read_file("/proc/self/cgroup", kMaxFile);
  if (groups) {
    for (const auto line : util::split(*groups, '\n')) {
      const auto fields = util::split(line, ':');
      if (fields.size() < 3) continue;
      const std::string path(line.substr(fields[0].size() + fields[1].size() + 2));
      if (fields[0] == "0") {
        for (const std::string& base : {"/sys/fs/cgroup" + path, std::string("/sys/fs/cgroup")}) {
          if (readable(base + "/memory.events")) return base + "/memory.events";
        }
      } else if (("," + std::string(fields[1]) + ",").find(",memory,") != std::string::npos) {
        for (const std::string& base : {"/sys/fs/cgroup/memory" + path, std::string("/sys/fs/cgroup/memory")}) {
          if (readable(base + "/memory.oom_control")) return base + "/memory.oom_control";
        }
      }
    }
  }
  return "/proc/vmstat";
}

}  // namespace

OomCounter::OomCounter() : OomCounter(find_file()) {}

OomCounter::OomCounter(std::string file) : file_(std::move(file)), explained_(read()) {}

bool OomCounter::explains_a_death() {
  if (read() <= explained_) return false;
  ++explained_;
  return true;
}

std::uint64_t OomCounter::read() const {
  constexpr std::string_view kName = "oom_kill ";
  const auto text = util::read_file(file_, kMaxFile);
  if (!text) return 0;
  for (const auto line : util::split(*text, '\n')) {
    if (line.substr(0, kName.size()) != kName) continue;
    std::uint64_t value = 0;
    const auto digits = line.substr(kName.size());
    std::from_chars(digits.data(), digits.data() + digits.size(), value);
    return value;
  }
  return 0;
}

}  // namespace runner::proc
