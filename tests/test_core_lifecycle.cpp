#include <doctest/doctest.h>

#include <array>
#include <set>
#include <string>
#include <utility>

#include "core/lifecycle.hpp"

using namespace runner::core;

namespace {

constexpr std::array kStates = {State::initial,   State::ready,    State::running,   State::suspended,
                                State::completed, State::disabled, State::terminated};
static_assert(kStates.size() == kStateCount);

/// Written down a second time, pair by pair, so that a slip in the table shows.
const std::set<std::pair<State, State>> kLegal = {
    {State::initial, State::ready},        {State::initial, State::disabled},   {State::ready, State::running},
    {State::ready, State::disabled},       {State::ready, State::terminated},   {State::running, State::completed},
    {State::running, State::suspended},    {State::running, State::terminated}, {State::suspended, State::running},
    {State::suspended, State::terminated}, {State::disabled, State::ready},
};

/// A system in that state, by a shortest legal way.
Lifecycle in_state(State state) {
  Lifecycle life;
  if (state == State::initial) return life;
  if (state == State::disabled) {
    life.go(State::disabled);
    return life;
  }
  life.go(State::ready);
  if (state == State::ready) return life;
  life.go(State::running);
  if (state != State::running) life.go(state);
  return life;
}

}  // namespace

TEST_CASE("every pair of states is legal or illegal as the table of the design says") {
  for (const State from : kStates) {
    for (const State to : kStates) {
      CAPTURE(name(from));
      CAPTURE(name(to));
      CHECK(can_go(from, to) == (kLegal.count({from, to}) == 1));
    }
  }
}

TEST_CASE("a system starts in initial and follows every legal transition") {
  CHECK(Lifecycle().state() == State::initial);
  for (const auto& [from, to] : kLegal) {
    Lifecycle life = in_state(from);
    REQUIRE(life.state() == from);
    life.go(to);
    CHECK(life.state() == to);
  }
}

TEST_CASE("completed and terminated are final, and no state leads to itself") {
  for (const State state : kStates) {
    CHECK_FALSE(can_go(State::completed, state));
    CHECK_FALSE(can_go(State::terminated, state));
    CHECK_FALSE(can_go(state, state));
    CHECK_FALSE(can_go(state, State::initial));
  }
}

TEST_CASE("every state has a name of its own") {
  std::set<std::string_view> names;
  for (const State state : kStates) names.insert(name(state));
  CHECK(names ==
        std::set<std::string_view>{"initial", "ready", "running", "suspended", "completed", "disabled", "terminated"});
}
