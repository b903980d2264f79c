// The executors by name: the one place that knows which there are. Plain functions; no state.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "exec/executor.hpp"
#include "util/clock.hpp"
#include "util/result.hpp"

namespace boost::asio {
class io_context;
}

namespace runner::exec {

struct ExecutorOptions {
  std::string run_dir;            ///< absolute; exists
  std::string run_id;             ///< in the cookie by which an attempt's processes are known
  OutputTap* tap = nullptr;       ///< set: output goes through pipes, to the log and to the tap; outlives the executor
  bool force_sigchld = false;     ///< wait as on a kernel without pidfds; for tests
  std::string oom_counter{};      ///< file to read instead of our cgroup's counter; for tests
  std::optional<mode_t> umask{};  ///< of the slices, where it is not ours
  std::string cgroup{};           ///< of the run (proc/cgroup.hpp); "": there is none
  util::Duration longest_in_lane = std::chrono::milliseconds(10);  ///< what runs for longer is the loop's; for tests
};

/// `io` and `events` outlive the executor. The error lists the names there are.
util::Result<std::unique_ptr<Executor>> make_executor(std::string_view name, boost::asio::io_context& io,
                                                      ExecutorEvents& events, const ExecutorOptions& options);

std::vector<std::string_view> executor_names();

}  // namespace runner::exec
