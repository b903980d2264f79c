// Spool: output that has to wait - a slice's until it has ended, a line's until its newline has come. Kept in memory
// while it is short, then in an unlinked temporary file, so that memory stays flat. Used once: append, then hand over.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "util/fd.hpp"
#include "util/result.hpp"

namespace runner::report {

class Spool {
 public:
  /// What is longer than `memory` bytes goes to a file in `directory`.
  Spool(std::string directory, std::size_t memory) : directory_(std::move(directory)), memory_(memory) {}

  /// After an error (disk full) what is there stays, and further pieces are dropped.
  util::Result<void> append(std::string_view piece);
  [[nodiscard]] bool empty() const { return size_ == 0; }

  /// The file and its length, not open while everything is in text(). The file is read from its beginning (pread).
  struct File {
    util::Fd fd;
    std::uint64_t size = 0;
  };
  [[nodiscard]] bool in_memory() const { return !file_.is_open(); }
  [[nodiscard]] const std::string& text() const { return text_; }
  File take_file();

 private:
  util::Result<void> move_to_file();

  std::string directory_;
  std::size_t memory_;
  std::string text_;
  util::Fd file_;
  std::uint64_t size_ = 0;
  bool broken_ = false;
};

}  // namespace runner::report
