// The cookie: one variable in the environment of every process of an attempt, by which they are known after their
// parents are gone. It names the run, the engine that started it (so that nobody takes the processes of a live run for
// those of a dead one: a copied state directory has the same run ids) and the attempt. Plain values; no state.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/attempt.hpp"

namespace runner::exec {

struct Engine {
  pid_t pid = 0;
  std::uint64_t start = 0;    ///< as proc::Process has it
  pid_t session = 0;          ///< which its slices begin in
  std::string pid_namespace;  ///< as proc::pid_namespace() has it; elsewhere the numbers mean other processes
};

/// This process.
[[nodiscard]] Engine this_engine();

struct Cookie {
  std::string run_id;
  Engine engine;
  core::AttemptId id;
};

inline constexpr std::string_view kCookieName = "RUNNER_COOKIE=";

/// "RUNNER_COOKIE=<run>.<namespace>.<pid>.<start>.<session>." - what the cookies of all attempts of one engine begin
/// with.
[[nodiscard]] std::string cookie_prefix(const std::string& run_id, const Engine& engine);
/// `prefix` and "<job>.<slice>.<attempt>".
[[nodiscard]] std::string cookie_of(const std::string& prefix, const core::AttemptId& id);
/// nullopt for anything else.
[[nodiscard]] std::optional<Cookie> parse_cookie(std::string_view entry);

}  // namespace runner::exec
