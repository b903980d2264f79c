// LocalExecutor: attempts as child processes of this one, each in a process group of its own, with /dev/null or a file
// as stdin and its slot's log (or a pipe, when output is shown as well) as stdout and stderr. Owned by the run loop and
// used on its thread; destroying it kills what still runs, without callbacks.
#pragma once

#include <memory>

#include "exec/executor.hpp"
#include "exec/factory.hpp"

namespace runner::exec {

class LocalExecutor final : public Executor {
 public:
  LocalExecutor(boost::asio::io_context& io, ExecutorEvents& events, const ExecutorOptions& options);
  ~LocalExecutor() override;
  LocalExecutor(const LocalExecutor&) = delete;
  LocalExecutor& operator=(const LocalExecutor&) = delete;

  [[nodiscard]] core::Resources capacity() const override;
  void launch(LaunchRequest request) override;
  /// An attempt that was signalled ends (finished()) only when nothing of its tree is alive.
  void signal(const core::AttemptId& id, How how) override;
  void resume_output() override;
  [[nodiscard]] bool takes_offers(std::uint32_t slots) const override;
  void offer(LaunchRequest request) override;
  void recall() override;

 private:
  class Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace runner::exec
