// Notes: what an executor has to tell, kept until the loop comes round, so that no callback runs inside a call to the
// executor. Owned by an executor; a post that outlives it does nothing.
#pragma once

#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "exec/executor.hpp"

namespace boost::asio {
class io_context;
}

namespace runner::exec {

struct StartedNote {
  core::AttemptId id;
  int pid = 0;
  util::WallTime at{};
  std::string log;
};
struct FinishedNote {
  core::AttemptId id;
  core::Ending ending;
};
struct FollowedNote {
  core::AttemptId id;
  core::Ending ending;
  core::AttemptId next;
};
struct BackpressureNote {
  std::string reason;
};
struct LogsFailedNote {
  std::string reason;
};
struct HeldNote {
  bool held = false;
};
struct ReportedNote {
  core::AttemptId id;
  core::Report report;
};
using Note =
    std::variant<StartedNote, FinishedNote, FollowedNote, BackpressureNote, LogsFailedNote, HeldNote, ReportedNote>;

class Notes {
 public:
  /// `io` and `events` outlive this.
  Notes(boost::asio::io_context& io, ExecutorEvents& events);
  /// Delivered in order, from the loop.
  void add(Note note);
  /// Delivers what there is now, in order also where a callback does it again; only from the loop, never from inside a
  /// call to the executor.
  void deliver();

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace runner::exec
