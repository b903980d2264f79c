// Fd: owns one file descriptor and closes it. Every descriptor in runner is CLOEXEC from birth, so that no
// slice inherits one by accident; the helpers here see to that.
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>
#include <utility>

#include "util/result.hpp"

namespace runner::util {

class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    if (this != &other) reset(std::exchange(other.fd_, -1));
    return *this;
  }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  ~Fd() { reset(); }

  [[nodiscard]] int get() const { return fd_; }
  [[nodiscard]] bool is_open() const { return fd_ >= 0; }
  explicit operator bool() const { return is_open(); }
  int release() { return std::exchange(fd_, -1); }
  void reset(int fd = -1);

 private:
  int fd_ = -1;
};

/// A new entry is safe only once its directory is on disk too. File systems that cannot do this (EINVAL) need not.
Result<void> sync_directory(const std::string& path);

/// open(2) with O_CLOEXEC added; the error names the path. Retries on EINTR.
Result<Fd> open_file(const std::string& path, int flags, mode_t mode = 0);

/// Both ends of a pipe, CLOEXEC.
struct Pipe {
  Fd read;
  Fd write;
};
Result<Pipe> make_pipe();

/// Writes all of it, retrying on EINTR and short writes, and waiting where EAGAIN says so. `what` names the target in
/// the error.
Result<void> write_all(int fd, std::string_view data, std::string_view what);

/// The whole file as a string; refuses more than `max_bytes`.
Result<std::string> read_file(const std::string& path, std::size_t max_bytes = 1U << 30U);

}  // namespace runner::util
