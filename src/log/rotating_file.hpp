// RotatingFile: the bytes of run.log. Collects whole lines and appends them with one write(2) each time, so that no
// other program ever reads half a line, and moves run.log to run.1.log, run.2.log ... as it grows. Owned and used by
// the logging thread alone. Never throws away a line that the disk can still take, never stops a run.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "util/fd.hpp"
#include "util/result.hpp"

namespace runner::log {

class RotatingFile {
 public:
  struct Limits {
    std::uint64_t max_size = 0;   ///< bytes per file; 0: no rotation
    std::uint32_t max_files = 0;  ///< older files kept beside the current one
  };

  /// Opens `path` for appending (0600). A torn last line, left by a crash in mid-write, is ended first.
  static util::Result<RotatingFile> open(std::string path, Limits limits);

  /// `line` ends with a newline. Kept in memory until flush(), or until there is a good deal of it.
  void append(std::string_view line);
  /// Hands all lines to the kernel. What the disk refuses stays in memory, up to a limit, and is tried again.
  void flush();
  /// flush() for a signal handler that runs on the logging thread: write(2) only, no rotation.
  void flush_in_signal_handler() const;

  /// Lines given up because the disk took none for too long.
  [[nodiscard]] std::uint64_t dropped() const { return dropped_; }
  /// errno of the last failure, 0 when the last write was fine.
  [[nodiscard]] int failure() const { return failure_; }

 private:
  RotatingFile(std::string path, Limits limits) : path_(std::move(path)), limits_(limits) {}
  [[nodiscard]] util::Result<void> open_current();
  void rotate();
  [[nodiscard]] std::string numbered(std::uint32_t n) const;

  std::string path_;
  Limits limits_;
  util::Fd fd_;
  std::uint64_t size_ = 0;  ///< of the current file
  std::string pending_;     ///< whole lines, after what a short write has already taken
  std::uint64_t dropped_ = 0;
  std::uint64_t dropped_unsaid_ = 0;  ///< of those, the ones the file does not mention yet
  int failure_ = 0;
};

}  // namespace runner::log
