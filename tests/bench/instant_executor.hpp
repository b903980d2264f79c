// InstantExecutor: every attempt ends at once, without a process. For benchmarks of what is left of a run then.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <cstdint>
#include <string>
#include <utility>

#include "exec/executor.hpp"

namespace runner::bench {

class InstantExecutor final : public exec::Executor {
 public:
  /// Slices from `first_failing` on fail with exit code 1.
  InstantExecutor(boost::asio::io_context& io, exec::ExecutorEvents& events, std::uint64_t first_failing)
      : io_(io), events_(events), first_failing_(first_failing) {}

  [[nodiscard]] core::Resources capacity() const override { return {.slots = 0, .cpus_milli = 0, .memory = 0}; }
  void launch(exec::LaunchRequest request) override {
    boost::asio::post(io_, [this, id = request.id] {
      core::Ending ending;
      ending.started_at = ending.ended_at = util::wall_now();
      ending.runtime = std::chrono::milliseconds(1);
      if (id.slice >= first_failing_) {
        ending.outcome = core::Outcome::failed;
        ending.exit_code = 1;
      }
      events_.started(id, 4242, ending.started_at, "slices/slot-0.log");
      events_.finished(id, std::move(ending));
    });
  }
  void signal(const core::AttemptId& /*id*/, exec::How /*how*/) override {}
  void resume_output() override {}

 private:
  boost::asio::io_context& io_;
  exec::ExecutorEvents& events_;
  std::uint64_t first_failing_;
};

}  // namespace runner::bench
