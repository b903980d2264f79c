// AttemptLog: an attempt's output for who reads it from outside, of a live, ended or crashed run. While the attempt
// runs its file is a draft (exec/slot_log.hpp), which moves to the log's name when the attempt has ended with something
// in it, and to another attempt when with nothing; the record hears of that later, after a crash never. So what was
// read from a draft counts only if, afterwards, the file still has a name of this attempt. Owned by a command; never
// writes.
#pragma once

#include <string>

#include "common.hpp"

namespace runner::app {

class AttemptLog {
 public:
  /// Opens what there is; is_open() is false where the attempt has written nothing, as far as anyone knows. An error:
  /// it did write, and that cannot be had.
  static util::Result<AttemptLog> open(const RecordedRun& run, const core::AttemptRecord& record);

  [[nodiscard]] bool is_open() const { return file_.is_open(); }
  /// What comes next, `most` bytes at most; "" at the end of what there is.
  std::string read(std::size_t most);

 private:
  [[nodiscard]] util::Result<util::Fd> open_named(const std::string& name, int flags) const;
  [[nodiscard]] util::Result<void> open_moving();
  [[nodiscard]] bool has_name(const std::string& name) const;

  util::Fd dir_;       ///< the state directory
  std::string below_;  ///< the run's directory in it, with a slash
  std::string log_;    ///< its name when it has ended
  std::string draft_;  ///< "": it is none
  util::Fd file_;
};

}  // namespace runner::app
