#include "exec/survivors.hpp"

#include <signal.h>

#include <chrono>
#include <map>
#include <string_view>
#include <thread>
#include <utility>

#include "exec/cookie.hpp"
#include "proc/tree.hpp"
#include "util/clock.hpp"

namespace runner::exec {
namespace {

using namespace std::chrono_literals;

constexpr auto kPatience = 10s;

/// The cookie in an environment ("NAME=value", each ended by a NUL), if it has one.
std::string_view cookie_in(std::string_view environment) {
  while (!environment.empty()) {
    const std::string_view entry = environment.substr(0, environment.find('\0'));
    if (entry.starts_with(kCookieName)) return entry;
    environment.remove_prefix(std::min(environment.size(), entry.size() + 1));
  }
  return {};
}

bool is_alive(const Engine& engine) {
  const auto process = proc::read_process(engine.pid);
  return process && process->alive && process->start == engine.start;
}

}  // namespace

std::vector<Survivor> find_survivors(const std::set<std::string>& run_ids) {
  std::map<std::string, Cookie> cookies;
  for (const proc::Process& process : proc::read_processes()) {
    if (!process.alive) continue;
    const std::string environment = proc::environment_of(process.pid);
    const std::string_view entry = cookie_in(environment);
    auto cookie = parse_cookie(entry);
    if (cookie && run_ids.contains(cookie->run_id) && !is_alive(cookie->engine))
      cookies.emplace(entry, std::move(*cookie));
  }
  std::vector<proc::TreeRoot> roots;
  for (const auto& [text, cookie] : cookies) roots.push_back({0, text, cookie.engine.session});
  std::vector<Survivor> found;
  if (roots.empty()) return found;
  auto trees = proc::find_trees(roots);
  auto tree = trees.begin();
  for (const auto& [text, cookie] : cookies) {
    for (auto& process : *tree++) found.push_back({std::move(process), cookie.run_id, cookie.id});
  }
  return found;
}

std::vector<Survivor> end_survivors(const std::set<std::string>& run_ids) {
  const auto deadline = util::steady_now() + kPatience;
  bool was_empty = true;  // once something was killed, one look may miss what it forked meanwhile
  while (true) {
    auto alive = find_survivors(run_ids);
    const bool is_over = std::exchange(was_empty, alive.empty()) && alive.empty();
    if (is_over || util::steady_now() > deadline) return alive;
    for (const auto& survivor : alive) proc::signal_process(survivor.process, SIGKILL);
    std::this_thread::sleep_for(1ms);  // before the run: nothing waits for the loop yet
  }
}

}  // namespace runner::exec
