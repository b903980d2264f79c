// OutputPump: writes to a descriptor that others share (stdout, stderr) without ever blocking the loop and without
// setting O_NONBLOCK on it, which would be set for everybody who has it open. What cannot be written yet queues in
// order. Owned by apps/; lives as long as the loop and is flushed at the end. Used from the loop's thread only.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>

#include "report/context.hpp"
#include "util/fd.hpp"

namespace boost::asio {
class io_context;
}

namespace runner::report {

/// Called from the loop, never from inside of a function of the pump.
struct PumpEvents {
  std::function<void()> drained;          ///< ready() has become true again
  std::function<void(int error)> broken;  ///< errno; once. What is written from then on is dropped
};

class OutputPump final : public TextSink {
 public:
  /// `fd` is duplicated. SIGPIPE is to be ignored by the program.
  OutputPump(boost::asio::io_context& io, int fd, PumpEvents events = {});
  ~OutputPump();
  OutputPump(const OutputPump&) = delete;
  OutputPump& operator=(const OutputPump&) = delete;

  void write(std::string_view text) override;
  /// The first `size` bytes of a file, read as they can be written.
  void write_file(util::Fd file, std::uint64_t size);
  /// False while more than 1 MiB, or more than 64 files, are queued.
  [[nodiscard]] bool ready() const override;
  [[nodiscard]] bool broken() const;
  /// errno, when something that somebody would have read could not be written; 0 when it could, or the reader went away
  /// (a pipe or socket was closed, a terminal hung up). Final after flush().
  [[nodiscard]] int lost() const;

  /// Writes all that is queued, and blocks for it: at the end, after the loop. No callbacks.
  void flush();

 private:
  class Queue;
  std::shared_ptr<Queue> queue_;  // shared with the wait that may be under way in the loop
};

/// Whether both descriptors are open on the same file, pipe or terminal: one pump should then serve both, so that lines
/// of one do not get between the pieces of the other's.
bool same_target(int a, int b);

}  // namespace runner::report
