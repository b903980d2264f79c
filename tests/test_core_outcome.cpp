#include <doctest/doctest.h>

#include <csignal>
#include <set>
#include <string>

#include "core/outcome.hpp"

using namespace runner::core;
using namespace std::chrono_literals;

namespace {

Ending ending(Outcome outcome, std::string detail = {}) {
  Ending result;
  result.outcome = outcome;
  result.detail = std::move(detail);
  return result;
}

}  // namespace

TEST_CASE("every outcome has a name of its own and is found by it") {
  std::set<std::string_view> names;
  for (const Outcome outcome : kOutcomes) {
    CHECK(outcome_from_name(name(outcome)) == outcome);
    names.insert(name(outcome));
  }
  CHECK(names == std::set<std::string_view>{"succeeded", "failed", "killed", "timed_out", "out_of_memory",
                                            "not_started", "missing_output", "cancelled", "lost"});
  for (const char* text : {"", "Failed", "failed ", "unknown", "timed out"}) CHECK_FALSE(outcome_from_name(text));
}

TEST_CASE("outcomes stand in the list at their own value, so that it can index arrays") {
  for (std::size_t i = 0; i < kOutcomes.size(); ++i) CHECK(static_cast<std::size_t>(kOutcomes[i]) == i);
}

TEST_CASE("an ending is described by its cause") {
  CHECK(describe(ending(Outcome::succeeded)) == "succeeded");
  Ending failed = ending(Outcome::failed);
  failed.exit_code = 3;
  CHECK(describe(failed) == "exit code 3");
  Ending killed = ending(Outcome::killed);
  killed.signal = SIGKILL;
  CHECK(describe(killed) == "signal 9 (SIGKILL)");
  CHECK(describe(ending(Outcome::timed_out)) == "timed out");
  Ending late = ending(Outcome::timed_out);
  late.runtime = 2h + 100ms;
  CHECK(describe(late) == "timed out after 2h00m");
  CHECK(describe(ending(Outcome::out_of_memory)) == "out of memory");
  CHECK(describe(ending(Outcome::not_started)) == "not started");
  CHECK(describe(ending(Outcome::missing_output)) == "missing output");
  CHECK(describe(ending(Outcome::cancelled)) == "cancelled");
  CHECK(describe(ending(Outcome::lost)) == "lost");
}

TEST_CASE("a detail adds to the cause, or is the sentence itself where it tells all") {
  CHECK(describe(ending(Outcome::not_started, "cannot execute 'x': Permission denied")) ==
        "cannot execute 'x': Permission denied");
  CHECK(describe(ending(Outcome::missing_output, "missing output out/3.csv")) == "missing output out/3.csv");
  Ending failed = ending(Outcome::failed, "its log could not be written");
  failed.exit_code = 1;
  CHECK(describe(failed) == "exit code 1: its log could not be written");
  CHECK(describe(ending(Outcome::timed_out, "log truncated")) == "timed out: log truncated");
  CHECK(describe(ending(Outcome::succeeded, "log truncated")) == "succeeded");
}

TEST_CASE("signals have the names that kill -l gives") {
  CHECK(signal_name(1) == "SIGHUP");
  CHECK(signal_name(2) == "SIGINT");
  CHECK(signal_name(9) == "SIGKILL");
  CHECK(signal_name(SIGSEGV) == "SIGSEGV");
  CHECK(signal_name(SIGIO) == "SIGIO");
  CHECK(signal_name(SIGRTMIN) == "SIGRTMIN");
  CHECK(signal_name(SIGRTMIN + 3) == "SIGRTMIN+3");
  CHECK(signal_name(SIGRTMAX) == "SIGRTMIN+" + std::to_string(SIGRTMAX - SIGRTMIN));
  for (const int number : {0, -1, 32, SIGRTMAX + 1, 1000}) {
    CHECK(signal_name(number) == "signal " + std::to_string(number));
  }
  std::set<std::string> names;
  for (int number = 1; number <= 31; ++number) names.insert(signal_name(number));
  CHECK(names.size() == 31);
  for (const std::string& text : names) CHECK(text.starts_with("SIG"));
}
