// The life of every system - run, job, service, slice - in one table (DESIGN: initial ... terminated).
// An illegal transition is a bug and asserts. Stateless helpers plus one tiny holder; no clock, no logging.
#pragma once

#include <array>
#include <cassert>
#include <cstdint>
#include <string_view>

namespace runner::core {

enum class State : std::uint8_t { initial, ready, running, suspended, completed, disabled, terminated };
inline constexpr std::size_t kStateCount = 7;

constexpr std::string_view name(State state) {
  constexpr std::array<std::string_view, kStateCount> names = {"initial",   "ready",    "running",   "suspended",
                                                               "completed", "disabled", "terminated"};
  return names[static_cast<std::size_t>(state)];
}

/// kTransitions[from] has bit `to` set where the transition is legal.
inline constexpr std::array<std::uint8_t, kStateCount> kTransitions = [] {
  constexpr auto to = [](auto... states) {
    return static_cast<std::uint8_t>((0U | ... | (1U << static_cast<unsigned>(states))));
  };
  std::array<std::uint8_t, kStateCount> table{};
  table[static_cast<std::size_t>(State::initial)] = to(State::ready, State::disabled);
  table[static_cast<std::size_t>(State::ready)] = to(State::running, State::disabled, State::terminated);
  table[static_cast<std::size_t>(State::running)] = to(State::completed, State::suspended, State::terminated);
  table[static_cast<std::size_t>(State::suspended)] = to(State::running, State::terminated);
  table[static_cast<std::size_t>(State::disabled)] = to(State::ready);
  return table;
}();

constexpr bool can_go(State from, State to) {
  return ((kTransitions[static_cast<std::size_t>(from)] >> static_cast<unsigned>(to)) & 1U) != 0;
}

/// Nothing of it will run any more, but for what is disabled and enabled again.
constexpr bool is_over(State state) {
  return state == State::completed || state == State::terminated || state == State::disabled;
}

/// Holds a state and moves it along the table only.
class Lifecycle {
 public:
  [[nodiscard]] State state() const { return state_; }
  void go(State to) {
    assert(can_go(state_, to));
    state_ = to;
  }

 private:
  State state_ = State::initial;
};

}  // namespace runner::core
