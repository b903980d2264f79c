#include "report/log_tail.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <string_view>

#include "util/private_file.hpp"

namespace runner::report {

namespace {

constexpr off_t kTail = 16L * 1024;

}  // namespace

std::string last_line(const std::string& directory, const std::string& name) {
  const auto dir = util::open_file(directory, O_PATH | O_DIRECTORY);
  if (!dir) return {};
  // Neither a link nor a FIFO that the slice may have put there is followed or waited for.
  const auto file = util::open_beneath(*dir, name, O_RDONLY | O_NONBLOCK);
  if (!file) return {};
  struct stat info {};
  if (::fstat(file->get(), &info) != 0 || !S_ISREG(info.st_mode)) return {};

  std::string tail(static_cast<std::size_t>(std::min<off_t>(info.st_size, kTail)), '\0');
  const off_t start = info.st_size - static_cast<off_t>(tail.size());
  const ssize_t n = ::pread(file->get(), tail.data(), tail.size(), start);
  if (n <= 0) return {};
  std::string_view text(tail.data(), static_cast<std::size_t>(n));

  const auto end = text.find_last_not_of(" \t\r\n");
  if (end == std::string_view::npos) return {};
  text = text.substr(0, end + 1);
  const auto begin = text.find_last_of("\r\n");
  if (begin != std::string_view::npos) text.remove_prefix(begin + 1);
  return std::string(text);
}

}  // namespace runner::report
