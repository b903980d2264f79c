// Harness: an executor, the loop under it and a record of what it told, for the tests of executors. Waits on
// conditions with a deadline; owns a temporary run directory.
#pragma once

#include <sys/stat.h>
#include <unistd.h>

#include <doctest/doctest.h>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstdlib>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "exec/factory.hpp"
#include "proc/process.hpp"
#include "temporary_directory.hpp"

namespace runner::test {

/// A zombie is, too: who inherits it need not reap it.
inline bool is_dead(pid_t pid) {
  const auto process = proc::read_process(pid);
  return !process || !process->alive;
}

/// Takes all output; can be made not ready.
struct Tap final : core::OutputTap {
  void data(const core::AttemptId&, const std::string& slice_key, core::Stream stream,
            std::string_view piece) override {
    key = slice_key;
    largest = std::max(largest, piece.size());
    total += piece.size();
    if (keep) (stream == core::Stream::out ? text : errors).append(piece);
  }
  void closed(const core::AttemptId& id) override {
    if (events != nullptr) events->push_back("closed " + std::to_string(id.slice));
  }
  [[nodiscard]] bool ready() const override { return is_ready; }

  bool is_ready = true;
  bool keep = true;
  std::string key, text, errors;
  std::size_t largest = 0;
  std::uint64_t total = 0;
  std::vector<std::string>* events = nullptr;
};

class Harness : public exec::ExecutorEvents {
 public:
  Harness() { job.success_codes = {0}; }
  Harness(const Harness&) = delete;
  Harness& operator=(const Harness&) = delete;

  std::string run_id;

  /// The run's id gets our pid: it is in the cookie by which processes are killed, and the same test may run beside us.
  void make_local(exec::ExecutorOptions options) {
    options.run_id += "-" + std::to_string(::getpid());
    run_id = options.run_id;
    auto made = exec::make_executor("local", io, *this, options);
    REQUIRE(made.ok());
    executor = std::move(*made);
  }

  void started(const core::AttemptId& id, int pid, util::WallTime, const std::string& file) override {
    log.push_back("started " + std::to_string(id.slice));
    pids[id.slice] = pid;
    running_logs[id.slice] = file;
  }
  void finished(const core::AttemptId& id, core::Ending ending) override {
    log.push_back("finished " + std::to_string(id.slice));
    CHECK_FALSE(endings.contains(id.slice));
    endings[id.slice] = std::move(ending);
    if (on_finished) on_finished(id);
  }
  void followed(const core::AttemptId& id, core::Ending ending, const core::AttemptId& next) override {
    is_followed = true;
    finished(id, std::move(ending));
    is_followed = false;
    log.push_back("followed " + std::to_string(next.slice));
  }
  void backpressure(const std::string& reason) override { shortages.push_back(reason); }
  void logs_failed(const std::string& reason) override { log_failures.push_back(reason); }
  void held(bool held) override { holds.push_back(held); }

  static core::AttemptId id(std::uint64_t slice) { return {0, slice, 1}; }

  exec::LaunchRequest request(std::uint64_t slice, std::vector<std::string> argv) {
    exec::LaunchRequest request;
    request.id = id(slice);
    request.slot = static_cast<std::uint32_t>(slice);
    request.attempt.command.argv = std::move(argv);
    request.attempt.workdir = run_dir.path();
    request.key = "key-" + std::to_string(slice);
    request.log = "slices/0000/" + std::to_string(slice) + ".1.log";
    request.job = &job;
    return request;
  }
  void command(std::uint64_t slice, std::vector<std::string> argv) {
    executor->launch(request(slice, std::move(argv)));
  }
  void shell(std::uint64_t slice, const std::string& text) { command(slice, {"/bin/sh", "-c", text}); }
  void shell(std::uint64_t slice, const std::string& text, std::uint32_t slot) {
    auto launch = request(slice, {"/bin/sh", "-c", text});
    launch.slot = slot;
    executor->launch(std::move(launch));
  }

  /// Runs the loop until `condition` holds; false, and a failed check, if that takes a minute.
  bool run_until(const std::function<bool()>& condition) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::minutes(1);
    while (!condition()) {
      if (std::chrono::steady_clock::now() > deadline) {
        FAIL_CHECK("waited for a minute");
        return false;
      }
      io.restart();
      io.run_one_for(std::chrono::milliseconds(2));
    }
    return true;
  }
  bool run_until_finished(std::size_t count) {
    return run_until([&] { return endings.size() >= count; });
  }

  [[nodiscard]] bool exists(const std::string& file) const { return ::access(path(file).c_str(), F_OK) == 0; }
  [[nodiscard]] std::string path(const std::string& file) const { return run_dir.path() + "/" + file; }
  [[nodiscard]] std::string output(std::uint64_t slice) const { return contents(path(endings.at(slice).log)); }

  TemporaryDirectory run_dir;
  boost::asio::io_context io;
  core::JobSpec job;
  std::vector<std::string> log;
  std::map<std::uint64_t, int> pids;
  std::map<std::uint64_t, std::string> running_logs;
  std::map<std::uint64_t, core::Ending> endings;
  std::vector<std::string> shortages;
  std::vector<std::string> log_failures;
  std::vector<bool> holds;
  std::function<void(const core::AttemptId&)> on_finished;
  bool is_followed = false;                  ///< the attempt that on_finished() is told of
  std::unique_ptr<exec::Executor> executor;  // last: it goes first
};

}  // namespace runner::test
