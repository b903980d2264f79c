// What a program inherits from whoever started it and is not to suffer from: blocked signals, a umask that shuts its
// owner out, limits too low to work with. Called once, early, before there are threads. Plain functions; no state.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>

namespace runner::proc {

/// Unblocks every signal: a parent's mask is never meant for us, and with SIGTERM blocked nobody could stop a run.
void unblock_signals();

/// Takes what denies the owner out of our umask: what we make we must be able to open again. The umask as it was, for
/// the children to have; nullopt when there was nothing to change.
std::optional<mode_t> let_owner_in();

/// Why we cannot work with the limits we have, and what to type; "" if we can.
std::string stack_problem();
std::string descriptor_problem();

}  // namespace runner::proc
