// FakeExecutor: an executor without processes, for tests and for benchmarks of everything around it. What becomes of an
// attempt is decided by a script, the same every time; times are invented and only count up. Calls back by way of
// `post`, as an executor has to. Owned by the test.
#pragma once

#include <csignal>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "exec/executor.hpp"

namespace runner::fakes {

class FakeExecutor final : public exec::Executor {
 public:
  /// What an attempt does.
  struct Behaviour {
    core::Ending ending;  ///< succeeded, if nothing is said; times and log are filled in
    bool runs_until_signalled = false;
    bool ignores_terminate = false;
    std::string output;  ///< goes to the tap; an attempt with output has a log
  };
  using Script = std::function<Behaviour(const exec::LaunchRequest&)>;
  /// Runs the function later, from the loop.
  using Post = std::function<void(std::function<void()>)>;

  FakeExecutor(exec::ExecutorEvents& events, Post post, Script script = nullptr, core::OutputTap* tap = nullptr)
      : state_(std::make_shared<State>(State{events, std::move(post), std::move(script), tap})) {}

  [[nodiscard]] core::Resources capacity() const override { return {.slots = 0, .cpus_milli = 0, .memory = 0}; }

  void launch(exec::LaunchRequest request) override {
    ++launched;
    if (short_of_resources_) {
      waiting_.push_back(std::move(request));
      if (waiting_.size() == 1) later([](State& state) { state.events.backpressure("the fake is out of processes"); });
      return;
    }
    begin(std::move(request));
  }

  /// The next launches wait until end_shortage().
  void begin_shortage() { short_of_resources_ = true; }
  void end_shortage() {
    short_of_resources_ = false;
    for (auto& request : std::exchange(waiting_, {})) begin(std::move(request));
  }

  void signal(const core::AttemptId& id, exec::How how) override {
    if (how == exec::How::suspend || how == exec::How::resume || how == exec::How::withdraw) return;
    const auto found = state_->running.find(id);
    if (found == state_->running.end() || !found->second.behaviour.runs_until_signalled) return;
    if (how == exec::How::terminate && found->second.behaviour.ignores_terminate) return;
    core::Ending& ending = found->second.behaviour.ending;
    ending.outcome = core::Outcome::killed;
    ending.signal = how == exec::How::terminate ? SIGTERM : SIGKILL;
    found->second.behaviour.runs_until_signalled = false;
    finish(id);
  }

  void resume_output() override {}

  std::uint64_t launched = 0;  ///< calls of launch()

 private:
  struct Running {
    std::string key;
    std::string log;
    Behaviour behaviour;
    util::WallTime started_at{};
  };
  struct State {
    exec::ExecutorEvents& events;
    Post post;
    Script script;
    core::OutputTap* tap = nullptr;
    std::map<core::AttemptId, Running> running{};
    int next_pid = 100'000;
    util::WallTime now{std::chrono::seconds(1'700'000'000)};

    util::WallTime tick() { return now += std::chrono::milliseconds(1); }
  };

  void begin(exec::LaunchRequest request) {
    Running running{request.key, request.log, state_->script ? state_->script(request) : Behaviour{}, state_->tick()};
    if (!request.obstacle.empty()) {
      running.behaviour = {};
      running.behaviour.ending.outcome = core::Outcome::not_started;
      running.behaviour.ending.detail = request.obstacle;
    }
    const core::AttemptId id = request.id;
    if (running.behaviour.ending.outcome != core::Outcome::not_started) {
      later([id, pid = ++state_->next_pid, at = running.started_at, log = request.log](State& state) {
        state.events.started(id, pid, at, log);
      });
    }
    const bool ends = !running.behaviour.runs_until_signalled;
    state_->running.insert_or_assign(id, std::move(running));
    if (ends) finish(id);
  }

  void finish(const core::AttemptId& id) {
    later([id](State& state) {
      auto node = state.running.extract(id);
      Running& running = node.mapped();
      core::Ending& ending = running.behaviour.ending;
      ending.started_at = running.started_at;
      ending.ended_at = state.tick();
      ending.runtime = ending.ended_at - ending.started_at;
      if (state.tap != nullptr && ending.outcome != core::Outcome::not_started) {
        if (!running.behaviour.output.empty())
          state.tap->data(id, running.key, core::Stream::out, running.behaviour.output);
        state.tap->closed(id);
      }
      if (!running.behaviour.output.empty()) ending.log = running.log;
      state.events.finished(id, std::move(ending));
    });
  }

  template <class Function>
  void later(Function function) {
    state_->post([weak = std::weak_ptr(state_), function] {
      if (const auto state = weak.lock()) function(*state);
    });
  }

  std::shared_ptr<State> state_;
  std::vector<exec::LaunchRequest> waiting_;
  bool short_of_resources_ = false;
};

}  // namespace runner::fakes
