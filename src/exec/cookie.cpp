#include "exec/cookie.hpp"

#include <unistd.h>

#include "proc/process.hpp"
#include "util/text.hpp"

namespace runner::exec {
Engine this_engine() {
  return {.pid = ::getpid(),
          .start = proc::start_of(::getpid()),
          .session = ::getsid(0),
          .pid_namespace = proc::pid_namespace()};
}

std::string cookie_prefix(const std::string& run_id, const Engine& engine) {
  return std::string(kCookieName) + run_id + "." + engine.pid_namespace + "." + std::to_string(engine.pid) + "." +
         std::to_string(engine.start) + "." + std::to_string(engine.session) + ".";
}

std::string cookie_of(const std::string& prefix, const core::AttemptId& id) {
  return prefix + std::to_string(id.job) + "." + std::to_string(id.slice) + "." + std::to_string(id.number);
}

std::optional<Cookie> parse_cookie(std::string_view entry) {
  if (!entry.starts_with(kCookieName)) return std::nullopt;
  entry.remove_prefix(kCookieName.size());
  Cookie cookie;
  const bool good = util::take_number(entry, cookie.id.number) && util::take_number(entry, cookie.id.slice) &&
                    util::take_number(entry, cookie.id.job) && util::take_number(entry, cookie.engine.session) &&
                    util::take_number(entry, cookie.engine.start) && util::take_number(entry, cookie.engine.pid);
  const auto dot = entry.rfind('.');
  if (!good || dot == std::string_view::npos || dot == 0) return std::nullopt;
  cookie.engine.pid_namespace = entry.substr(dot + 1);
  cookie.run_id = entry.substr(0, dot);
  return cookie;
}

}  // namespace runner::exec
