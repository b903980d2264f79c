#include "exec/cookie.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <charconv>

#include "proc/process.hpp"

namespace runner::exec {
namespace {

/// Takes ".<number>" from the end of `text`.
template <class T>
bool take_number(std::string_view& text, T& number) {
  const auto dot = text.rfind('.');
  if (dot == std::string_view::npos) return false;
  const std::string_view digits = text.substr(dot + 1);
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  text = text.substr(0, dot);
  return error == std::errc() && !digits.empty() && end == digits.data() + digits.size();
}

}  // namespace

std::string pid_namespace() {
  struct stat info {};
  return std::to_string(::stat("/proc/self/ns/pid", &info) == 0 ? info.st_ino : 0);
}

Engine this_engine() {
  return {
      .pid = ::getpid(), .start = proc::start_of(::getpid()), .session = ::getsid(0), .pid_namespace = pid_namespace()};
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
  const bool good = take_number(entry, cookie.id.number) && take_number(entry, cookie.id.slice) &&
                    take_number(entry, cookie.id.job) && take_number(entry, cookie.engine.session) &&
                    take_number(entry, cookie.engine.start) && take_number(entry, cookie.engine.pid);
  const auto dot = entry.rfind('.');
  if (!good || dot == std::string_view::npos || dot == 0) return std::nullopt;
  cookie.engine.pid_namespace = entry.substr(dot + 1);
  cookie.run_id = entry.substr(0, dot);
  return cookie;
}

}  // namespace runner::exec
