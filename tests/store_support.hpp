// What the store's tests share: a directory of their own, a listener that waits for acknowledgements, made-up records.
#pragma once

#include <doctest/doctest.h>

#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "store/store.hpp"
#include "temporary_directory.hpp"

namespace runner::store::testing {

using test::contents;
using test::TemporaryDirectory;

inline bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

/// Records what the writer's thread says, and lets a test wait for it (at most a minute).
class Listener final : public WriterEvents {
 public:
  void committed(Sequence through) override {
    note([&] {
      committed_ = through;
      ++commits_;
    });
  }
  void trouble(const std::string& message, bool waiting) override {
    note([&] { (waiting ? waiting_ : final_).push_back(message); });
  }
  void recovered() override {
    note([&] { ++recovered_; });
  }

  /// True once everything up to `sequence` is acknowledged.
  bool wait_for(Sequence sequence) {
    return wait([&] { return committed_ >= sequence; });
  }
  bool wait_for_waiting() {
    return wait([&] { return !waiting_.empty(); });
  }
  bool wait_for_final() {
    return wait([&] { return !final_.empty(); });
  }
  /// True once that is acknowledged, or the disk is full.
  bool wait_for_one_of(Sequence sequence) {
    return wait([&] { return committed_ >= sequence || !waiting_.empty(); });
  }

  Sequence acknowledged() { return read(committed_); }
  int commits() { return read(commits_); }
  int recoveries() { return read(recovered_); }
  std::vector<std::string> waiting_messages() { return read(waiting_); }
  std::vector<std::string> final_messages() { return read(final_); }

 private:
  template <class Change>
  void note(Change change) {
    const std::lock_guard lock(mutex_);
    change();
    changed_.notify_all();
  }
  template <class Condition>
  bool wait(Condition condition) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::minutes(1), condition);
  }
  template <class T>
  T read(const T& value) {
    const std::lock_guard lock(mutex_);
    return value;
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  Sequence committed_ = 0;
  int commits_ = 0;
  int recovered_ = 0;
  std::vector<std::string> waiting_;
  std::vector<std::string> final_;
};

inline util::WallTime at(double seconds) {
  return util::from_unix_seconds(1'700'000'000 + seconds);
}

inline NewRun a_run(const std::string& id = "20261121-164328-k3xa") {
  NewRun run;
  run.id = id;
  run.name = "correlate";
  run.spec_path = "/data/jobs.yaml";
  run.spec_text = "slices: 0-99\n";
  run.host = "node7";
  run.pid = 4711;
  run.boot_id = "6f1a0b1e-25a4-4c1b-9d0e-7f1f6f3c5a77";
  run.containment = "guard, death signal";
  run.place = "66305:1234";
  run.started_at = at(0);
  run.settings = "m_factor=2";
  run.jobs = {{.name = "correlate", .slices = 100, .fingerprint = 0xFEDCBA9876543210U, .selection = "3,7-9"}};
  return run;
}

inline core::Ending an_ending(core::Outcome outcome = core::Outcome::succeeded) {
  core::Ending ending;
  ending.outcome = outcome;
  ending.started_at = at(1.25);
  ending.ended_at = at(3.5);
  ending.runtime = std::chrono::milliseconds(2250);
  ending.usage = {std::chrono::milliseconds(1500), std::chrono::milliseconds(125), 20480};
  return ending;
}

inline std::unique_ptr<Writer> open_writer(const std::string& path, WriterEvents& events, WriterOptions options = {}) {
  auto writer = Writer::open(path, events, options);
  REQUIRE_MESSAGE(writer.ok(), (writer ? "" : writer.error().message));
  return std::move(*writer);
}

/// Of a new record with a_run() in it.
inline std::unique_ptr<Writer> begin_a_run(const std::string& path, WriterEvents& events, WriterOptions options = {}) {
  auto writer = open_writer(path, events, options);
  REQUIRE(writer->begin_run(a_run()).ok());
  return writer;
}

inline std::unique_ptr<Reader> open_reader(const std::string& path) {
  auto reader = Reader::open(path);
  REQUIRE_MESSAGE(reader.ok(), (reader ? "" : reader.error().message));
  return std::move(*reader);
}

inline std::vector<core::AttemptRecord> last_attempts(Reader& reader, const std::string& run_id,
                                                      std::optional<std::uint32_t> job = std::nullopt) {
  std::vector<core::AttemptRecord> records;
  const auto keep = [&](const core::AttemptRecord& record) { records.push_back(record); };
  const auto done = reader.last_attempts(run_id, keep, job);
  REQUIRE(done.ok());
  return records;
}

}  // namespace runner::store::testing
