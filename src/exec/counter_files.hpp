// CounterFiles: the files that attempts count in, <run directory>/counters/<name>, one for each attempt, which is made
// by the first of its processes that counts. Owned by a starter. Costs one system call an attempt where nobody
// counts.
#pragma once

#include <string>
#include <vector>

#include "core/attempt.hpp"
#include "core/counters.hpp"
#include "util/fd.hpp"

namespace runner::exec {

class CounterFiles {
 public:
  /// `cookie_prefix`: it differs from that of every other engine.
  CounterFiles(const std::string& run_dir, const std::string& cookie_prefix);
  ~CounterFiles();
  CounterFiles(const CounterFiles&) = delete;
  CounterFiles& operator=(const CounterFiles&) = delete;

  /// Where the attempt is to count; no other attempt was ever told the same.
  [[nodiscard]] std::string path(const core::AttemptId& id) const;
  /// Of an attempt that has ended: adds what it counted, if it has succeeded; the file is gone then, and what its
  /// processes count from here on is lost. A success of which nobody can tell the counts would make the totals wrong:
  /// it becomes missing_output.
  void settle(const core::AttemptId& id, core::Ending& ending);

 private:
  [[nodiscard]] std::string name(const core::AttemptId& id) const;
  [[nodiscard]] util::Result<std::vector<core::Counted>> take(const core::AttemptId& id);
  void drop(const core::AttemptId& id);

  std::string run_dir_;
  std::string prefix_;
  util::Fd dir_;  ///< the run directory, once it is needed: it is made after the executor
};

}  // namespace runner::exec
