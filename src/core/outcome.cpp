#include "core/outcome.hpp"

#include <algorithm>
#include <csignal>
#include <utility>

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

std::string describe(const Ending& ending) {
  const auto detail_or = [&](std::string_view otherwise) {
    return ending.detail.empty() ? std::string(otherwise) : ending.detail;
  };
  switch (ending.outcome) {
    case Outcome::succeeded:
      return "succeeded";
    case Outcome::failed:
      return "exit code " + std::to_string(ending.exit_code);
    case Outcome::killed:
      return "signal " + std::to_string(ending.signal) + " (" + signal_name(ending.signal) + ")";
    case Outcome::timed_out:
      return detail_or("timed out");
    case Outcome::out_of_memory:
      return detail_or("out of memory");
    case Outcome::not_started:
      return detail_or("not started");
    case Outcome::missing_output:
      return detail_or("missing output");
    case Outcome::cancelled:
      return detail_or("cancelled");
    case Outcome::lost:
      return detail_or("lost (its end was never recorded)");
  }
  return "unknown";
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
