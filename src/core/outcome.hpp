// How an attempt ended. The one list of outcomes; store, reports and spec spell them as name() does.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/counters.hpp"
#include "util/clock.hpp"

namespace runner::core {

enum class Outcome : std::uint8_t {
  succeeded,
  failed,          ///< exit code not in success_codes
  killed,          ///< by a signal that runner did not send
  timed_out,       ///< ended by runner after `timeout`
  out_of_memory,   ///< SIGKILL by the kernel's OOM killer
  not_started,     ///< the command could not be executed
  missing_output,  ///< exit code fine, but an output is missing or older than the attempt
  cancelled,       ///< ended by runner on request (Ctrl-C, halt)
  lost,            ///< its end was never recorded: runner died
};
inline constexpr std::array kOutcomes = {Outcome::succeeded,      Outcome::failed,        Outcome::killed,
                                         Outcome::timed_out,      Outcome::out_of_memory, Outcome::not_started,
                                         Outcome::missing_output, Outcome::cancelled,     Outcome::lost};

std::string_view name(Outcome outcome);
std::optional<Outcome> outcome_from_name(std::string_view name);

/// What one attempt used, from wait4(2): the process and the children it waited for.
struct Usage {
  util::Duration user{};
  util::Duration system{};
  std::int64_t max_rss_kib = 0;
};

/// The end of one attempt, as the executor saw it and the scheduler judged it.
struct Ending {
  Outcome outcome = Outcome::succeeded;
  int exit_code = 0;  ///< meaningful unless signal != 0 or not_started; 0-255
  int signal = 0;     ///< the signal that killed it, 0 if none
  util::WallTime started_at{};
  util::WallTime ended_at{};
  util::Duration runtime{};  ///< steady clock, launch to reaping
  Usage usage;
  std::string log;                ///< log file relative to the run directory; "" when the attempt wrote nothing
  std::vector<Counted> counters;  ///< what it counted, of an attempt that succeeded
  bool output_lost = false;       ///< some of what it wrote is in no log; not recorded, `detail` says why
  std::string detail;             ///< a sentence for people ("cannot execute: No such file or directory"); may be empty
};

/// "exit code 3", "signal 9 (SIGKILL)", "timed out after 2h", "missing output out/3.csv": the cause, for people.
std::string describe(const Ending& ending);
/// "SIGKILL" for 9; "SIGRTMIN+3" or "signal 77" beyond the classic ones.
std::string signal_name(int signal);

}  // namespace runner::core
