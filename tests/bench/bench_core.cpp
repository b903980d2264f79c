// Scheduler and store alone: N slices whose attempts end at once, claims and ends recorded durably by the real writer.
// Prints one line of figures.
//   bench_core DIRECTORY N
#include <sys/resource.h>

#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <filesystem>
#include <mutex>
#include <string>

#include "core/scheduler.hpp"
#include "store/state_dir.hpp"
#include "store/store.hpp"

using namespace runner;

namespace {

/// The writer's acknowledgements, from its thread to this one.
class Acknowledged final : public store::WriterEvents {
 public:
  void committed(store::Sequence through) override {
    const std::lock_guard lock(mutex_);
    through_ = through;
    changed_.notify_one();
  }
  void trouble(const std::string& message, bool /*waiting*/) override {
    std::fprintf(stderr, "bench_core: %s\n", message.c_str());
    std::_Exit(1);
  }
  void recovered() override {}

  store::Sequence wait_beyond(store::Sequence known) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return through_ > known; });
    return through_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  store::Sequence through_ = 0;
};

core::JobPlan plan_of(std::uint64_t slices) {
  core::JobPlan plan;
  plan.todo = core::IntervalSet::first_n(slices);
  return plan;
}

/// What the run loop does, less everything that is neither scheduler nor store.
class Drive {
 public:
  Drive(std::uint64_t slices, store::Writer& writer, Acknowledged& acknowledged)
      : scheduler_({plan_of(slices)}, {.slots = 64, .cpus_milli = 64'000, .memory = 1ULL << 40U}),
        writer_(writer),
        acknowledged_(acknowledged) {}

  void run() {
    feed(core::Start{});
    while (!done_) {
      while (!launched_.empty()) end_one();
      if (!done_) take_acknowledgement();
    }
  }
  [[nodiscard]] std::uint64_t succeeded() const { return succeeded_; }

 private:
  void feed(const core::Input& input) {
    core::Actions actions;
    scheduler_.step(input, util::steady_now(), actions);
    for (const auto& action : actions) {
      if (const auto* claim = std::get_if<core::Claim>(&action)) {
        claims_.push_back(writer_.claim(claim->id, std::to_string(claim->id.slice)));
      } else if (const auto* launch = std::get_if<core::Launch>(&action)) {
        launched_.push_back(launch->id);
      } else if (const auto* settle = std::get_if<core::Settle>(&action)) {
        writer_.ended(settle->id, settle->ending);
        ++succeeded_;
      } else if (std::holds_alternative<core::Done>(action)) {
        done_ = true;
      }
    }
  }
  void end_one() {
    const core::AttemptId id = launched_.front();
    launched_.pop_front();
    feed(core::Started{id});
    core::Ending ending;
    ending.started_at = ending.ended_at = util::wall_now();
    writer_.started(id, ending.started_at, 4242, "slices/slot-0.log");
    feed(core::Finished{id, ending});
  }
  void take_acknowledgement() {
    known_ = acknowledged_.wait_beyond(known_);
    std::uint64_t claimed = 0;
    for (; !claims_.empty() && claims_.front() <= known_; claims_.pop_front()) ++claimed;
    if (claimed > 0) feed(core::Claimed{claimed});
  }

  core::Scheduler scheduler_;
  store::Writer& writer_;
  Acknowledged& acknowledged_;
  std::deque<core::AttemptId> launched_;
  std::deque<store::Sequence> claims_;
  store::Sequence known_ = 0;
  std::uint64_t succeeded_ = 0;
  bool done_ = false;
};

double cpu_seconds() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto s = [](const timeval& t) { return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6; };
  return s(usage.ru_utime) + s(usage.ru_stime);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: bench_core DIRECTORY N\n");
    return 2;
  }
  const std::uint64_t slices = std::strtoull(argv[2], nullptr, 10);
  std::filesystem::create_directories(argv[1]);
  Acknowledged acknowledged;
  auto writer = store::Writer::open(std::string(argv[1]) + "/state.db", acknowledged);
  if (!writer) {
    std::fprintf(stderr, "bench_core: %s\n", writer.error().message.c_str());
    return 1;
  }
  store::NewRun run;
  run.id = store::new_run_id(util::wall_now());
  run.name = "bench";
  run.started_at = util::wall_now();
  run.jobs.push_back({.name = "bench", .slices = slices, .fingerprint = 1, .selection = ""});
  if (auto begun = (*writer)->begin_run(run); !begun) {
    std::fprintf(stderr, "bench_core: %s\n", begun.error().message.c_str());
    return 1;
  }

  const auto began = util::steady_now();
  const double cpu_before = cpu_seconds();
  Drive drive(slices, **writer, acknowledged);
  drive.run();
  writer->reset();  // everything is committed when this returns
  const double seconds = util::seconds(util::steady_now() - began);
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  std::printf("slices %llu slices_per_s %.0f us_per_slice %.3f cpu_us_per_slice %.3f max_rss_mib %.1f\n",
              static_cast<unsigned long long>(drive.succeeded()), static_cast<double>(slices) / seconds,
              seconds / static_cast<double>(slices) * 1e6,
              (cpu_seconds() - cpu_before) / static_cast<double>(slices) * 1e6,
              static_cast<double>(usage.ru_maxrss) / 1024.0);
  return drive.succeeded() == slices ? 0 : 1;
}
