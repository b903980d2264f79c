// Capture: reads an attempt's output from pipes when it is to be shown as well as logged, and hands every piece to the
// slot's log and to the tap. While the tap is not ready it reads nothing. Owned by the attempt's entry in the local
// executor; memory does not grow with the output. Never waits for a writer that outlives the attempt.
#pragma once

#include <memory>
#include <string>

#include "core/output_tap.hpp"
#include "exec/slot_log.hpp"
#include "util/fd.hpp"

namespace boost::asio {
class io_context;
}

namespace runner::exec {

class Capture {
 public:
  struct Source {
    core::AttemptId id;
    std::string key;
  };
  /// The read ends; one that is closed is not read. `tap` and `log` outlive this.
  Capture(boost::asio::io_context& io, core::OutputTap& tap, SlotLog& log, Source source, util::Fd out, util::Fd err);
  ~Capture();
  Capture(const Capture&) = delete;
  Capture& operator=(const Capture&) = delete;

  /// Reads on after the tap has become ready.
  void resume();
  /// Takes what is in the pipes now and closes them: to be called once, when the attempt's processes are gone.
  void finish();

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace runner::exec
