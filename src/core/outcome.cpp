#include "core/outcome.hpp"

#include <algorithm>
#include <csignal>
#include <utility>

#include "util/units.hpp"

namespace runner::core {

std::string_view name(Outcome outcome) {
  switch (outcome) {
    case Outcome::succeeded:
      return "succeeded";
    case Outcome::failed:
      return "failed";
    case Outcome::killed:
      return "killed";
    case Outcome::timed_out:
      return "timed_out";
    case Outcome::out_of_memory:
      return "out_of_memory";
    case Outcome::not_started:
      return "not_started";
    case Outcome::missing_output:
      return "missing_output";
    case Outcome::cancelled:
      return "cancelled";
    case Outcome::lost:
      return "lost";
  }
  return "unknown";
}

std::optional<Outcome> outcome_from_name(std::string_view name_) {
  const auto* const it =
      std::find_if(kOutcomes.begin(), kOutcomes.end(), [&](Outcome outcome) { return name(outcome) == name_; });
  if (it == kOutcomes.end()) return std::nullopt;
  return *it;
}

namespace {

/// Outcome and numbers, without the detail.
std::string cause_of(const Ending& ending) {
  switch (ending.outcome) {
    case Outcome::failed:
      return "exit code " + std::to_string(ending.exit_code);
    case Outcome::killed:
      return "signal " + std::to_string(ending.signal) + " (" + signal_name(ending.signal) + ")";
    case Outcome::timed_out:
      return ending.runtime.count() == 0 ? "timed out"
                                         : "timed out after " + util::format_duration_short(ending.runtime);
    case Outcome::out_of_memory:
      return "out of memory";
    case Outcome::not_started:
      return "not started";
    case Outcome::missing_output:
      return "missing output";
    case Outcome::succeeded:
    case Outcome::cancelled:
    case Outcome::lost:
      return std::string(name(ending.outcome));
  }
  return "unknown";
}

}  // namespace

std::string describe(const Ending& ending) {
  const bool is_plain = ending.outcome == Outcome::succeeded || ending.detail.empty();
  if (is_plain) return cause_of(ending);
  // These details are whole sentences: "cannot execute 'x': No such file or directory", "missing output out/3.csv".
  if (ending.outcome == Outcome::not_started || ending.outcome == Outcome::missing_output) return ending.detail;
  return cause_of(ending) + ": " + ending.detail;
}

std::string signal_name(int signal) {
  // By macro, because the numbers differ between architectures.
  static constexpr std::array<std::pair<int, const char*>, 31> kNames = {
      {{SIGHUP, "SIGHUP"},   {SIGINT, "SIGINT"},       {SIGQUIT, "SIGQUIT"}, {SIGILL, "SIGILL"},
       {SIGTRAP, "SIGTRAP"}, {SIGABRT, "SIGABRT"},     {SIGBUS, "SIGBUS"},   {SIGFPE, "SIGFPE"},
       {SIGKILL, "SIGKILL"}, {SIGUSR1, "SIGUSR1"},     {SIGSEGV, "SIGSEGV"}, {SIGUSR2, "SIGUSR2"},
       {SIGPIPE, "SIGPIPE"}, {SIGALRM, "SIGALRM"},     {SIGTERM, "SIGTERM"}, {SIGSTKFLT, "SIGSTKFLT"},
       {SIGCHLD, "SIGCHLD"}, {SIGCONT, "SIGCONT"},     {SIGSTOP, "SIGSTOP"}, {SIGTSTP, "SIGTSTP"},
       {SIGTTIN, "SIGTTIN"}, {SIGTTOU, "SIGTTOU"},     {SIGURG, "SIGURG"},   {SIGXCPU, "SIGXCPU"},
       {SIGXFSZ, "SIGXFSZ"}, {SIGVTALRM, "SIGVTALRM"}, {SIGPROF, "SIGPROF"}, {SIGWINCH, "SIGWINCH"},
       {SIGIO, "SIGIO"},     {SIGPWR, "SIGPWR"},       {SIGSYS, "SIGSYS"}}};
  for (const auto& [number, text] : kNames) {
    if (number == signal) return text;
  }
  if (signal == SIGRTMIN) return "SIGRTMIN";
  if (signal > SIGRTMIN && signal <= SIGRTMAX) return "SIGRTMIN+" + std::to_string(signal - SIGRTMIN);
  return "signal " + std::to_string(signal);
}

}  // namespace runner::core
