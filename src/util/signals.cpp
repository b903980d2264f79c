#include "util/signals.hpp"

namespace runner::util {

bool is_ignored(int signal) {
  struct sigaction action {};
  return ::sigaction(signal, nullptr, &action) == 0 && action.sa_handler == SIG_IGN;
}

sigset_t signals_to_await(std::span<const int> signals) {
  sigset_t set;
  ::sigemptyset(&set);
  ::sigaddset(&set, SIGCHLD);
  for (const int signal : signals) {
    if (!is_ignored(signal)) ::sigaddset(&set, signal);
  }
  return set;
}

BlockedSignals::BlockedSignals(std::initializer_list<int> open) {
  sigset_t all;
  ::sigfillset(&all);
  for (const int fault : {SIGSEGV, SIGABRT, SIGBUS, SIGFPE, SIGILL}) ::sigdelset(&all, fault);
  for (const int signal : open) ::sigdelset(&all, signal);
  ::pthread_sigmask(SIG_BLOCK, &all, &before_);
}

BlockedSignals::~BlockedSignals() {
  ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
}

void ignore_steering() {
  for (const int signal : {SIGUSR1, SIGUSR2}) (void)std::signal(signal, SIG_IGN);
}

}  // namespace runner::util
