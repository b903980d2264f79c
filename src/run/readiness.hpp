// Readiness: asks a service that was started, again and again, whether it is ready: by a command that exits with 0, a
// TCP port of this machine that takes a connection, or a file that is there and was not before. Owned by the loop, on
// its thread; waits by timers and never blocks.
#pragma once

#include <boost/asio/io_context.hpp>
#include <functional>
#include <memory>

#include "core/spec.hpp"
#include "exec/executor.hpp"

namespace runner::run {

class Readiness {
 public:
  struct Setup {
    const core::Spec* spec = nullptr;
    std::string run_id;
    std::function<void(std::uint32_t job)> ready;
    std::function<void(const std::string&)> notice;  ///< a command that cannot be asked
  };
  Readiness(boost::asio::io_context& io, exec::Executor& executor, Setup setup);
  ~Readiness();
  Readiness(const Readiness&) = delete;
  Readiness& operator=(const Readiness&) = delete;

  /// Service `job` is about to be started: what is there already is not it. "", or why it is not to be started.
  [[nodiscard]] std::string prepare(std::uint32_t job);
  /// Service `job` runs: ready() will be called once it is, never from inside.
  void begin(std::uint32_t job);
  /// It runs no more.
  void stop(std::uint32_t job);
  void stop_all();

  /// Whether an attempt that the executor tells of is one of those that ask; `finished` takes its end then.
  [[nodiscard]] static bool is_probe(const core::AttemptId& id);
  void finished(const core::AttemptId& id, const core::Ending& ending);

 private:
  class Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace runner::run
