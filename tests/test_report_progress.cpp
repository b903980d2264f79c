#include "report/progress.hpp"

#include "fakes/report_fixture.hpp"

using namespace runner;
using namespace runner::test;
using namespace std::chrono_literals;
using core::Outcome;
using report::Progress;

namespace {

/// `slots` slots working off slices of `runtime` seconds each, seen four times a second.
struct Simulation {
  core::RunView view;
  Progress progress;
  double now = 0;
  double runtime;
  std::vector<std::pair<std::uint64_t, double>> slots;  ///< slice, its end
  std::uint64_t next = 0;

  Simulation(std::uint64_t slices, std::size_t n_slots, double runtime_s)
      : view(new_view(slices)), runtime(runtime_s), slots(n_slots) {
    progress.begin(view);
    for (auto& slot : slots) start(slot, 0);
    progress.tick(view, util::TimePoint());
  }
  void start(std::pair<std::uint64_t, double>& slot, double when) {
    slot = {next, when + runtime};
    if (next < view.jobs[0].total()) view.jobs[0].apply(start_event(next++, 1, when));
  }
  void run_until(double end) {
    while (now < end) {
      now += 0.25;
      for (auto& slot : slots) {
        while (slot.second <= now && slot.first < view.jobs[0].total() && view.jobs[0].running().contains(slot.first)) {
          const auto ending = ending_of(Outcome::succeeded, 0, runtime);
          view.jobs[0].apply(end_event(slot.first, 1, ending));
          progress.ended({0, slot.first, 1}, ending, true);
          start(slot, slot.second);
        }
      }
      progress.tick(view, util::TimePoint(util::from_seconds(now)));
    }
  }
  [[nodiscard]] double eta() const { return util::seconds(progress.eta(view, steady_at(now)).value()); }
  [[nodiscard]] bool knows() const { return progress.eta(view, steady_at(now)).has_value(); }
};

}  // namespace

TEST_CASE("cancelled slices are not counted as failed, and once when they run again") {
  Progress progress;
  const auto view = new_view(10);
  progress.begin(view);
  progress.ended({0, 0, 1}, ending_of(Outcome::failed, 3, 1), true);
  progress.ended({0, 1, 1}, ending_of(Outcome::cancelled, 0, 1), true);
  progress.ended({0, 2, 1}, ending_of(Outcome::cancelled, 0, 1), true);
  CHECK(progress.line(view, steady_at(1), 200).find("3/10 (30%), 1 failed, 2 cancelled, ETA") != std::string::npos);
  progress.started({0, 1, 2});
  CHECK(progress.line(view, steady_at(1), 200).find("2/10 (20%), 1 failed, 1 cancelled, ETA") != std::string::npos);
}

TEST_CASE("there is no ETA until the first round of slices is over") {
  Simulation s(100, 10, 60);
  s.run_until(59);
  CHECK_FALSE(s.knows());
  CHECK_FALSE(s.progress.rate().has_value());
  s.run_until(61);
  CHECK(s.knows());
}

TEST_CASE("the ETA of long slices counts down steadily from one round to the next") {
  Simulation s(100, 10, 60);  // 600 s in all
  for (const double t : {61.0, 90.0, 119.0, 121.0, 300.0, 539.0, 590.0}) {
    s.run_until(t);
    CAPTURE(t);
    CHECK(s.eta() == doctest::Approx(600 - t).epsilon(0.02));
  }
  s.run_until(601);
  CHECK(s.eta() == 0);
  CHECK(s.progress.percent() == 100);
}

TEST_CASE("the ETA of short slices follows the observed rate") {
  Simulation s(10'000, 4, 0.05);  // 80/s, 125 s in all
  s.run_until(30);
  CHECK(s.progress.rate().value() == doctest::Approx(80).epsilon(0.03));
  CHECK(s.eta() == doctest::Approx(95).epsilon(0.05));
}

TEST_CASE("the rate follows a change within a minute") {
  Simulation s(100'000, 4, 0.05);
  s.run_until(60);
  s.runtime = 0.5;  // 8/s from now on
  s.run_until(160);
  CHECK(s.progress.rate().value() == doctest::Approx(8).epsilon(0.1));
}

TEST_CASE("slices that succeeded earlier count as done but not as speed") {
  core::RunView view = new_view(1'000);
  for (std::uint64_t slice = 0; slice < 990; ++slice) {
    view.jobs[0].apply(end_event(slice, 1, ending_of(Outcome::succeeded)));
  }
  Progress progress;
  progress.begin(view);
  progress.tick(view, util::TimePoint());
  progress.tick(view, util::TimePoint(10s));
  CHECK(progress.done() == 990);
  CHECK(progress.percent() == 99);
  CHECK_FALSE(progress.rate().has_value());
}

TEST_CASE("the percentage is rounded down, so that 100% means all") {
  core::RunView view = new_view(1'000'000);
  Progress progress;
  progress.begin(view);
  for (std::uint64_t i = 0; i < 999'999; ++i) progress.ended({0, i, 1}, ending_of(Outcome::succeeded), true);
  CHECK(progress.percent() == 99);
  progress.ended({0, 999'999, 1}, ending_of(Outcome::failed, 1), true);
  CHECK(progress.percent() == 100);
}

TEST_CASE("an attempt that is tried again is part of what its slice takes and no slice of its own") {
  core::RunView view = new_view(10);
  Progress progress;
  progress.begin(view);
  view.jobs[0].apply(start_event(0, 1, 0));
  progress.tick(view, util::TimePoint());
  progress.ended({0, 0, 1}, ending_of(Outcome::failed, 1, 10), false);
  progress.ended({0, 0, 2}, ending_of(Outcome::succeeded, 0, 20), true);
  CHECK(progress.done() == 1);
  view.jobs[0].apply(end_event(0, 2, ending_of(Outcome::succeeded)));
  progress.tick(view, util::TimePoint(30s));
  CHECK(util::seconds(progress.eta(view, steady_at(30)).value()) == doctest::Approx(9 * 30));
}

TEST_CASE("of a run that is being stopped the ETA is that of what runs") {
  Simulation s(1000, 10, 60);
  s.run_until(100);
  s.view.ending = true;
  CHECK(s.eta() == doctest::Approx(20));
  CHECK(s.progress.line(s.view, steady_at(100), 200).starts_with("correlate: 10/1,000 (1%), stopping, ETA 20s, 10 "));
}

TEST_CASE("the line names the slice that has been running longest") {
  core::RunView view = new_view(10);
  view.jobs[0].apply(start_event(3, 1, 0));
  view.jobs[0].apply(start_event(2, 1, 100));
  Progress progress;
  progress.begin(view);
  CHECK(progress.line(view, steady_at(185), 80) == "correlate: 0/10 (0%), ETA ?, 2 running, oldest 3 3m05s");
  CHECK(progress.line(view, steady_at(5), 80) == "correlate: 0/10 (0%), ETA ?, 2 running");
}

TEST_CASE("rates are given in the unit that suits them") {
  CHECK(report::format_rate(5123.4) == "5,123/s");
  CHECK(report::format_rate(12.34) == "12.3/s");
  CHECK(report::format_rate(0.5) == "30.0/min");
  CHECK(report::format_rate(0.001) == "3.6/h");
}
