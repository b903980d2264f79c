#include "log/rotating_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <utility>

#include "util/private_file.hpp"

namespace runner::log {
namespace {

constexpr std::size_t kFlushAt = 64UL << 10U;
constexpr std::size_t kKeepAtMost = 1UL << 20U;  // of lines that a full disk refuses

bool ends_with_newline(int fd, off_t size) {
  char last = '\n';
  return size == 0 || ::pread(fd, &last, 1, size - 1) != 1 || last == '\n';
}

}  // namespace

util::Result<RotatingFile> RotatingFile::open(std::string path, Limits limits) {
  RotatingFile file(std::move(path), limits);
  if (auto opened = file.open_current(); !opened) return opened.error();
  return file;
}

util::Result<void> RotatingFile::open_current() {
  auto fd = util::open_private(path_, O_RDWR | O_APPEND);
  if (!fd) return fd.error();
  struct stat info {};
  if (::fstat(fd->get(), &info) != 0) return util::errno_error(path_, errno);
  if (!ends_with_newline(fd->get(), info.st_size)) pending_.insert(0, "\n");
  size_ = static_cast<std::uint64_t>(info.st_size);
  fd_ = std::move(*fd);
  return {};
}

void RotatingFile::append(std::string_view line) {
  if (limits_.max_size != 0 && size_ + pending_.size() + line.size() > limits_.max_size) {
    flush();
    if (failure_ == 0 && size_ > 0) rotate();
  }
  if (pending_.size() + line.size() > kKeepAtMost) {
    ++dropped_;
    ++dropped_unsaid_;
    return;
  }
  pending_ += line;
  if (failure_ == 0 && pending_.size() >= kFlushAt) flush();
}

void RotatingFile::flush() {
  std::size_t done = 0;
  failure_ = 0;
  while (done < pending_.size()) {
    const ssize_t n = ::write(fd_.get(), pending_.data() + done, pending_.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      failure_ = n < 0 ? errno : ENOSPC;
      break;
    }
    done += static_cast<std::size_t>(n);
  }
  size_ += done;
  pending_.erase(0, done);
  if (failure_ == 0 && dropped_unsaid_ != 0) {
    pending_ =
        "(" + std::to_string(std::exchange(dropped_unsaid_, 0)) + " lines are missing: they could not be written)\n";
    flush();
  }
}

void RotatingFile::flush_in_signal_handler() const {
  if (!pending_.empty()) [[maybe_unused]]
    const ssize_t ignored = ::write(fd_.get(), pending_.data(), pending_.size());
}

void RotatingFile::rotate() {
  if (limits_.max_files == 0) {
    ::unlink(path_.c_str());
  } else {
    for (std::uint32_t n = limits_.max_files - 1; n > 0; --n)
      (void)std::rename(numbered(n).c_str(), numbered(n + 1).c_str());  // gaps are normal
    // Growing beyond the limit is better than losing lines: without the rename the current file goes on.
    if (std::rename(path_.c_str(), numbered(1).c_str()) != 0) return;
  }
  // Likewise when no new file can be made: the descriptor still writes to the one just renamed.
  if (auto opened = open_current(); !opened) failure_ = opened.error().errno_value;
}

std::string RotatingFile::numbered(std::uint32_t n) const {
  const std::size_t slash = path_.rfind('/');
  const std::size_t dot = path_.rfind('.');
  const bool has_extension = dot != std::string::npos && dot > 0 && (slash == std::string::npos || dot > slash + 1);
  const std::size_t stem = has_extension ? dot : path_.size();
  return path_.substr(0, stem) + "." + std::to_string(n) + path_.substr(stem);
}

}  // namespace runner::log
