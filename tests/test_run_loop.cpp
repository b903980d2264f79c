// The loop with a writer and an executor that are fakes: what happens when the record cannot be kept.
#include <doctest/doctest.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>

#include "fakes/fake_executor.hpp"
#include "log/logger.hpp"
#include "run/loop.hpp"

namespace runner::run {
namespace {

/// Commits everything at once, until it breaks for good.
class FragileWriter final : public store::Writer {
 public:
  explicit FragileWriter(store::WriterEvents& events) : events_(events) {}

  void break_down() {
    broken_ = true;
    events_.trouble("the disk is gone", false);
  }

  void hurry() override {}
  void lose_patience() override {}
  [[nodiscard]] store::Sequence taken() const override { return last_; }
  util::Result<void> begin_run(const store::NewRun&) override { return {}; }
  util::Result<void> resume_run(const store::NewRun&, const std::vector<core::AttemptId>&,
                                const std::vector<store::Remap>&, const std::vector<store::Outdated>&) override {
    return {};
  }
  util::Result<void> remove_runs(const std::vector<std::string>&) override { return {}; }
  util::Result<void> close() override { return {}; }
  store::Sequence claim(const core::AttemptId&, std::string) override { return push(); }
  store::Sequence unclaim(const core::AttemptId&) override { return push(); }
  store::Sequence started(const core::AttemptId&, util::WallTime, int, std::string) override {
    const auto sequence = push();
    if (++started_ == breaks_after_starts) break_down();
    return sequence;
  }
  store::Sequence reported(const core::AttemptId&, core::Report) override { return push(); }
  store::Sequence ended(const core::AttemptId&, core::Ending) override { return push(); }
  store::Sequence run_state(core::State, util::WallTime, std::string) override { return push(); }
  store::Sequence job_state(std::uint32_t, core::State, util::WallTime, std::string) override { return push(); }
  store::Sequence steered(store::SteeringRecord) override { return push(); }

  int breaks_after_starts = 0;

 private:
  store::Sequence push() {
    if (broken_) return last_;
    events_.committed(++last_);
    return last_;
  }

  store::WriterEvents& events_;
  store::Sequence last_ = 0;
  int started_ = 0;
  bool broken_ = false;
};

struct EndOfRun final : report::Observer {
  void on_event(const core::Event& event, const core::RunView&) override { ended += event.ending ? 1 : 0; }
  void on_tick(const core::RunView&, util::TimePoint) override {}
  void on_notice(const std::string&) override {}
  void on_end(const core::RunView&) override { ++ends; }
  int ended = 0;
  int ends = 0;
};

core::Spec ten_slices() {
  core::Spec spec;
  core::JobSpec& job = spec.jobs.emplace_back();
  job.name = "job";
  job.slices = core::SliceList(core::Blocks{.rows = 10, .block = 1});
  return spec;
}

/// The first so many slices of the one job.
LoopSetup two_at_a_time(const core::Spec& spec, std::uint64_t slices, report::Observer& observer, log::RunLog& log) {
  core::JobPlan plan;
  plan.todo = core::IntervalSet::first_n(slices);
  core::RunView view;
  view.jobs.emplace_back("job", slices);
  return {.spec = &spec,
          .plans = {plan},
          .capacity = {.slots = 2, .cpus_milli = 0, .memory = 0},
          .view = view,
          .observers = {&observer},
          .log = &log};
}

}  // namespace

TEST_CASE("slices that run when the record fails for good are ended, untold, and the run is over") {
  boost::asio::io_context io(1);
  const core::Spec spec = ten_slices();
  EndOfRun observer;
  log::RunLog log({.level = log::Level::error, .write = [](std::string_view) {}});
  Loop loop(io, two_at_a_time(spec, 10, observer, log));
  FragileWriter writer(loop);
  writer.breaks_after_starts = 2;
  fakes::FakeExecutor executor(
      loop, [&](std::function<void()> task) { boost::asio::post(io, std::move(task)); },
      [](const exec::LaunchRequest&) {
        fakes::FakeExecutor::Behaviour behaviour;
        behaviour.runs_until_signalled = true;
        return behaviour;
      });
  const LoopResult result = loop.run(writer, executor);
  CHECK(result.record_failed == "the disk is gone");
  CHECK(executor.launched == 2);
  CHECK(observer.ended == 0);
  CHECK(observer.ends == 1);
}

/// Told of a slice's states, in order.
struct StatesOfRun final : report::Observer {
  void on_event(const core::Event& event, const core::RunView&) override {
    if (event.kind == core::SystemKind::slice) states.push_back(event.state);
  }
  void on_tick(const core::RunView&, util::TimePoint) override {}
  void on_notice(const std::string&) override {}
  void on_end(const core::RunView&) override {}
  std::vector<core::State> states;
};

TEST_CASE("a slice that had ended when it was suspended, or goes on by itself, goes on before it is completed") {
  boost::asio::io_context io(1);
  const core::Spec spec = ten_slices();
  StatesOfRun observer;
  log::RunLog log({.level = log::Level::error, .write = [](std::string_view) {}});
  Loop loop(io, two_at_a_time(spec, 1, observer, log));
  FragileWriter writer(loop);
  fakes::FakeExecutor executor(
      loop, [&](std::function<void()> task) { boost::asio::post(io, std::move(task)); },
      [&](const exec::LaunchRequest&) {
        boost::asio::post(io, [&] { CHECK(loop.steer(core::Steering::suspend, {"0"}, "ada")); });
        return fakes::FakeExecutor::Behaviour();
      });
  const LoopResult result = loop.run(writer, executor);
  CHECK(result.view.jobs[0].succeeded() == 1);
  using core::State;
  CHECK(observer.states == std::vector{State::running, State::suspended, State::running, State::completed});
}

}  // namespace runner::run
