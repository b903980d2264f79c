#include "exec/counter_files.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "shared/counter_file.hpp"
#include "util/private_file.hpp"

namespace runner::exec {
namespace {

util::Result<std::string> read_all(const util::Fd& file) {
  struct stat info {};
  if (::fstat(file.get(), &info) != 0) return util::errno_error("they cannot be read", errno);
  if (!S_ISREG(info.st_mode)) return util::Error{"they are no file"};
  std::string bytes(shared::max_counter_file() + 1, '\0');
  std::size_t size = 0;
  while (size < bytes.size()) {
    const ssize_t n = ::pread(file.get(), bytes.data() + size, bytes.size() - size, static_cast<off_t>(size));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return util::errno_error("they cannot be read", errno);
    if (n == 0) break;
    size += static_cast<std::size_t>(n);
  }
  bytes.resize(size);
  return bytes;
}

}  // namespace

CounterFiles::CounterFiles(const std::string& run_dir, const std::string& cookie_prefix)
    : run_dir_(run_dir), prefix_("counters/" + cookie_prefix.substr(cookie_prefix.find('=') + 1)) {}

CounterFiles::~CounterFiles() {
  if (dir_) ::unlinkat(dir_.get(), "counters", AT_REMOVEDIR);  // where it is empty
}

std::string CounterFiles::name(const core::AttemptId& id) const {
  return prefix_ + std::to_string(id.job) + "." + std::to_string(id.slice) + "." + std::to_string(id.number);
}

std::string CounterFiles::path(const core::AttemptId& id) const {
  return run_dir_ + "/" + name(id);
}

void CounterFiles::settle(const core::AttemptId& id, core::Ending& ending) {
  if (!dir_) {
    if (auto dir = util::open_directory(run_dir_)) dir_ = std::move(*dir);
  }
  if (ending.outcome != core::Outcome::succeeded) return drop(id);
  auto counted = take(id);
  if (counted) {
    ending.counters = std::move(*counted);
    return;
  }
  ending.outcome = core::Outcome::missing_output;
  ending.detail = counted.error().message;
}

util::Result<std::vector<core::Counted>> CounterFiles::take(const core::AttemptId& id) {
  struct stat info {};
  // Most attempts count nothing. This look needs no descriptor, of which there may be none left.
  const std::string named = name(id);
  const int found =
      dir_ ? ::fstatat(dir_.get(), named.c_str(), &info, AT_SYMLINK_NOFOLLOW) : ::lstat(path(id).c_str(), &info);
  if (found != 0 && errno == ENOENT) return std::vector<core::Counted>();
  const auto file = util::open_beneath(dir_, named, O_RDONLY | O_NONBLOCK);
  if (!file) return util::Error{"its counters cannot be read: " + file.error().message};
  const auto bytes = read_all(*file);
  drop(id);
  if (!bytes) return util::Error{"its counters cannot be used: " + bytes.error().message};
  const auto values = shared::read_counters(*bytes);
  if (!values) return util::Error{"its counters cannot be used: " + values.error().message};
  std::vector<core::Counted> counted;
  for (const auto& [counter, value] : *values) counted.push_back({.name = counter, .value = value});
  return counted;
}

void CounterFiles::drop(const core::AttemptId& id) {
  ::unlinkat(dir_.get(), name(id).c_str(), 0);
}

}  // namespace runner::exec
