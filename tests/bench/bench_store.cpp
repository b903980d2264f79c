// How many slices a second the record takes: claim, wait until the claim is on disk, started and ended at once - what a
// run of commands that take no time asks of it - and how fast it is read back.
//   bench_store DIRECTORY [slices [claims ahead]]
#include <sys/resource.h>
#include <unistd.h>

#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <mutex>
#include <string>

#include "store/store.hpp"

namespace {

using namespace runner;

class Acknowledgements final : public store::WriterEvents {
 public:
  void committed(store::Sequence through) override {
    const std::lock_guard lock(mutex_);
    through_ = through;
    ++commits_;
    changed_.notify_one();
  }
  void trouble(const std::string& message, bool waiting) override {
    std::fprintf(stderr, "bench_store: %s\n", message.c_str());
    if (!waiting) std::_Exit(1);
  }
  void recovered() override {}

  store::Sequence wait_beyond(store::Sequence seen) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return through_ > seen; });
    return through_;
  }
  int commits() const { return commits_; }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  store::Sequence through_ = 0;
  int commits_ = 0;
};

core::Ending ending_of(std::uint64_t slice) {
  core::Ending ending;
  ending.started_at = ending.ended_at = util::wall_now();
  ending.runtime = std::chrono::microseconds(700 + slice % 100);
  ending.usage = {std::chrono::microseconds(300), std::chrono::microseconds(400), 1800};
  return ending;
}

double since(util::TimePoint start) {
  return util::seconds(util::steady_now() - start);
}

[[noreturn]] void fail(const util::Error& error) {
  std::fprintf(stderr, "bench_store: %s\n", error.message.c_str());
  std::exit(1);
}

void write_slices(store::Writer& writer, Acknowledgements& acknowledgements, std::uint64_t slices,
                  std::uint64_t ahead) {
  std::vector<store::Sequence> claims(slices);  // the position of each slice's claim
  std::uint64_t claimed = 0;
  std::uint64_t ended = 0;
  store::Sequence acknowledged = 0;
  while (ended < slices) {
    for (; claimed < slices && claimed - ended < ahead; ++claimed) {
      claims[claimed] = writer.claim({0, claimed, 1}, std::to_string(claimed));
    }
    acknowledged = acknowledgements.wait_beyond(acknowledged);
    for (; ended < claimed && claims[ended] <= acknowledged; ++ended) {
      writer.started({0, ended, 1}, util::wall_now(), 4711, "");
      writer.ended({0, ended, 1}, ending_of(ended));
    }
  }
}

template <class Read>
void time_reading(const char* what, Read read) {
  const auto start = util::steady_now();
  std::uint64_t rows = 0;
  if (auto done = read([&](const core::AttemptRecord&) { ++rows; }); !done) fail(done.error());
  std::printf("%-22s %9llu rows  %6.3f s\n", what, static_cast<unsigned long long>(rows), since(start));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: bench_store DIRECTORY [slices [claims ahead]]\n");
    return 2;
  }
  const std::string path = std::string(argv[1]) + "/state.db";
  const std::uint64_t slices = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 1'000'000;
  const std::uint64_t ahead = argc > 3 ? std::strtoull(argv[3], nullptr, 10) : 4096;
  std::filesystem::remove(path);

  Acknowledgements acknowledgements;
  const auto start = util::steady_now();
  {
    auto writer = store::Writer::open(path, acknowledgements);
    if (!writer) fail(writer.error());
    store::NewRun run;
    run.id = run.name = "bench";
    run.host = "localhost";
    run.jobs = {{.name = "bench", .slices = slices, .fingerprint = 0, .selection = {}}};
    if (auto begun = (*writer)->begin_run(run); !begun) fail(begun.error());
    write_slices(**writer, acknowledgements, slices, ahead);
  }
  const double elapsed = since(start);
  struct rusage usage {};
  ::getrusage(RUSAGE_SELF, &usage);
  std::printf("%-22s %9llu slices %5.3f s  %.0f slices/s  %d commits  %ld MB peak  %.0f MB on disk\n",
              "claim+started+ended", static_cast<unsigned long long>(slices), elapsed,
              static_cast<double>(slices) / elapsed, acknowledgements.commits(), usage.ru_maxrss / 1024,
              static_cast<double>(std::filesystem::file_size(path)) / 1e6);

  auto reader = store::Reader::open(path);
  if (!reader) fail(reader.error());
  time_reading("last_attempts", [&](auto visit) { return (*reader)->last_attempts("bench", visit); });
  time_reading("ended_attempts", [&](auto visit) { return (*reader)->ended_attempts("bench", visit); });
}
