// Processes a second by the local executor, with more memory in the parent: a launcher that copied page tables would
// show it.
//   launch_rate RUN_DIRECTORY N P BALLAST_MIB
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "exec/factory.hpp"

using namespace runner;

namespace {

class Launches final : public exec::ExecutorEvents {
 public:
  explicit Launches(std::uint64_t count) : left_(count) {}

  void start(exec::Executor& executor, std::uint32_t at_once) {
    executor_ = &executor;
    free_slots_.clear();
    for (std::uint32_t slot = 0; slot < at_once; ++slot) free_slots_.push_back(slot);
    slots_.assign(left_, 0);
    while (left_ > 0 && !free_slots_.empty()) launch_one();
  }
  [[nodiscard]] std::uint64_t failed() const { return failed_; }
  [[nodiscard]] bool done() const { return left_ == 0 && running_ == 0; }

  void started(const core::AttemptId&, int, util::WallTime, const std::string&) override {}
  void finished(const core::AttemptId& id, core::Ending ending) override {
    --running_;
    if (ending.outcome != core::Outcome::succeeded) ++failed_;
    free_slots_.push_back(slots_[id.slice]);
    if (left_ > 0) launch_one();
  }
  void followed(const core::AttemptId&, core::Ending, const core::AttemptId&) override {}  // nothing is offered
  void backpressure(const std::string& reason) override { std::fprintf(stderr, "launch_rate: %s\n", reason.c_str()); }
  void logs_failed(const std::string& reason) override { std::fprintf(stderr, "launch_rate: %s\n", reason.c_str()); }
  void held(bool) override {}

 private:
  void launch_one() {
    exec::LaunchRequest request;
    request.id.slice = --left_;
    request.slot = slots_[request.id.slice] = free_slots_.back();
    free_slots_.pop_back();
    request.key = std::to_string(request.id.slice);
    request.attempt.command.argv = {"/bin/true"};
    request.attempt.workdir = "/";
    request.log = "slices/0000/" + request.key + ".1.log";
    request.job = &job_;
    ++running_;
    executor_->launch(std::move(request));
  }

  core::JobSpec job_;
  exec::Executor* executor_ = nullptr;
  std::uint64_t left_;
  std::uint64_t running_ = 0;
  std::uint64_t failed_ = 0;
  std::vector<std::uint32_t> free_slots_;
  std::vector<std::uint32_t> slots_;  ///< of each slice
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5) {
    std::fprintf(stderr, "usage: launch_rate RUN_DIRECTORY N P BALLAST_MIB\n");
    return 2;
  }
  std::filesystem::create_directories(argv[1]);
  const std::uint64_t count = std::strtoull(argv[2], nullptr, 10);
  const std::size_t ballast = std::strtoull(argv[4], nullptr, 10) << 20U;
  const std::unique_ptr<char[]> memory(new char[ballast]);  // NOLINT: a vector would be filled twice
  std::memset(memory.get(), 1, ballast);                    // every page is really there
  // A process that has just been busy is scheduled otherwise for seconds (without ballast: 0.7 of the rate after half a
  // second of mere counting). What is measured is the memory, so let that pass.
  std::this_thread::sleep_for(std::chrono::seconds(1));

  boost::asio::io_context io;
  Launches launches(count);
  exec::ExecutorOptions options;
  options.run_dir = argv[1];
  options.run_id = "bench";
  auto executor = exec::make_executor("local", io, launches, options);
  if (!executor) {
    std::fprintf(stderr, "launch_rate: %s\n", executor.error().message.c_str());
    return 1;
  }
  const auto began = util::steady_now();
  launches.start(**executor, static_cast<std::uint32_t>(std::strtoul(argv[3], nullptr, 10)));
  while (!launches.done() && io.run_one() > 0) {}
  const double seconds = util::seconds(util::steady_now() - began);
  std::printf("per_s %.0f failed %llu ballast_check %d\n", static_cast<double>(count) / seconds,
              static_cast<unsigned long long>(launches.failed()), memory[ballast / 2]);
  return launches.done() && launches.failed() == 0 ? 0 : 1;
}
