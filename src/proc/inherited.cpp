#include "proc/inherited.hpp"

#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

namespace runner::proc {
namespace {

constexpr rlim_t kLeastStack = rlim_t{256} << 10U;  // measured: 64 KiB crash, 128 KiB do
constexpr rlim_t kLeastDescriptors = 64;            // measured: 20 are ours, and one launch takes 8
constexpr mode_t kOwner = 0700;

std::string too_low(const char* what, const char* letter, rlim_t have, rlim_t least, const char* unit) {
  return std::string(what) + " (ulimit -" + letter + ") is " + std::to_string(have) + unit + ", runner needs " +
         std::to_string(least) + unit + "; raise it with: ulimit -" + letter + " " + std::to_string(least);
}

}  // namespace

void unblock_signals() {
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
}

std::optional<mode_t> let_owner_in() {
  const mode_t given = ::umask(0077);
  ::umask(given & ~kOwner);
  return (given & kOwner) == 0 ? std::nullopt : std::optional(given);
}

std::string stack_problem() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_STACK, &limit) != 0 || limit.rlim_cur >= kLeastStack) return {};
  return too_low("the limit of the stack", "s", limit.rlim_cur >> 10U, kLeastStack >> 10U, " KiB");
}

std::string descriptor_problem() {
  rlimit limit{};  // the hard one: raise_descriptor_limit() makes it ours
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_max >= kLeastDescriptors) return {};
  return too_low("the limit of open files", "n", limit.rlim_max, kLeastDescriptors, "");
}

}  // namespace runner::proc
