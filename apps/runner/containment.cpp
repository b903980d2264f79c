#include "containment.hpp"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <set>
#include <vector>

#include "common.hpp"
#include "core/outcome.hpp"
#include "exec/survivors.hpp"
#include "host/machine.hpp"
#include "proc/cgroup.hpp"
#include "proc/guard.hpp"
#include "util/signals.hpp"
#include "util/text.hpp"

namespace runner::app {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kShown = 10;  ///< processes named on the console; run.log has all

/// "pid 12 (sleep)": the name is whatever the process calls itself.
std::string describe(const proc::Process& process) {
  return "pid " + std::to_string(process.pid) + " (" + util::escape_for_display(process.name) + ")";
}

std::string count_of(std::size_t n, const std::string& what) {
  return util::format_count(n) + " " + what + (n == 1 ? "" : "es");
}

template <class T, class Describe>
std::string list(const std::vector<T>& items, Describe&& describe_one, std::size_t shown = kShown) {
  std::string text;
  for (std::size_t i = 0; i < std::min(items.size(), shown); ++i) text += (i == 0 ? "" : ", ") + describe_one(items[i]);
  if (items.size() > shown) text += " and " + util::format_count(items.size() - shown) + " more";
  return text;
}

std::string unkillable_text(const proc::Aftermath& aftermath) {
  if (aftermath.unkillable.empty()) return {};
  return "cannot be killed (another user's, or stuck in the kernel): " + list(aftermath.unkillable, describe);
}

/// The guard's last words. Over the progress line, if there is one.
void tell_aftermath(const proc::Aftermath& aftermath, const RunCommand& command) {
  if (aftermath.engine_signal != 0) {
    if (::isatty(STDERR_FILENO) == 1) (void)!::write(STDERR_FILENO, "\r\033[K", 4);
    complain("the engine (pid " + std::to_string(aftermath.engine) + ") was ended by " +
             core::signal_name(aftermath.engine_signal) + "; " + count_of(aftermath.ended.size(), "process") +
             " of its slices killed; to finish the run: " + resume_command(command.common, command.common.spec_path));
    if (const auto text = unkillable_text(aftermath); !text.empty()) complain(text);
  }
}

/// Nobody knows whether another run is live: it is the machine or the record that is in trouble.
ExitCode unknown_survivors(const std::string& why = "/proc cannot be read") {
  complain("cannot look for processes that outlived an earlier run: " + why + "; nothing is started");
  return kRecordFailed;
}

/// Only a run without an end, of this boot if that is known, can have left something alive.
util::Result<std::set<std::string>> unended_runs(const run::Session& session) {
  std::set<std::string> ids;
  auto reader = store::Reader::open(session.state_dir.database());
  if (!reader && reader.error().errno_value == ENOENT) return ids;  // no run yet
  if (!reader) return reader.error();
  const auto runs = (*reader)->runs();
  if (!runs) return runs.error();
  const std::string boot = host::boot_id();
  for (const auto& run : *runs) {
    if (!core::is_over(run.info.state) && (run.boot_id.empty() || boot.empty() || run.boot_id == boot))
      ids.insert(run.info.id);
  }
  return ids;
}

}  // namespace

pid_t start_guard(const RunCommand& command) {
  if (command.guard) {
    const auto guard =
        proc::start_under_guard([&](const proc::Aftermath& aftermath) { tell_aftermath(aftermath, command); });
    if (guard) return *guard;
    complain(guard.error().message + "; if runner is killed, processes of slices may outlive it");
  }
  util::ignore_steering();
  proc::leave_terminal();
  return 0;
}

std::string enter_cgroup(pid_t guard, const std::string& run_id) {
  return guard == 0 ? std::string() : proc::enter_run_cgroup(run_id);
}

std::string containment(pid_t guard, const std::string& cgroup) {
  return std::string(guard == 0 ? "" : "guard, ") + "death signal, cookie" + (cgroup.empty() ? "" : ", cgroup");
}

std::optional<ExitCode> end_survivors(const RunCommand& command, const core::Spec& spec, const run::Session& session,
                                      std::string& told) {
  const auto runs = unended_runs(session);
  if (!runs) return unknown_survivors(runs.error().message);
  if (runs->empty()) return std::nullopt;
  const auto looked = exec::find_survivors(*runs);
  if (!looked) return unknown_survivors();
  const auto& found = *looked;
  if (found.empty()) return std::nullopt;
  const auto describe_one = [&](const exec::Survivor& survivor) {
    if (!survivor.id) return describe(survivor.process) + " in the cgroup of run " + survivor.run_id;
    std::string slice = std::to_string(survivor.id->slice);
    // Labels belong to the list of slices as it is now, which need not be that of an earlier run.
    const bool same_list = session.resumed && session.remaps.empty() && survivor.run_id == session.run.id;
    const auto& jobs = spec.jobs;
    const bool known =
        same_list && survivor.id->job < jobs.size() && survivor.id->slice < jobs[survivor.id->job].slices.size();
    if (known && jobs[survivor.id->job].kind != core::JobKind::slices) {
      return describe(survivor.process) + " of " + std::string(core::name(jobs[survivor.id->job].kind)) + " " +
             jobs[survivor.id->job].name;
    }
    slice = known ? "slice " + util::escape_for_display(jobs[survivor.id->job].slices.key(survivor.id->slice))
                  : "the slice with index " + slice + " of run " + survivor.run_id;
    return describe(survivor.process) + " of " + slice;
  };
  const std::string what = count_of(found.size(), "process") + " of slices outlived the engine of their run";
  if (command.survivors == Survivors::refuse) {
    complain(what + ": " + list(found, describe_one) + "; end them, or let runner do it: leave out --survivors refuse");
    return kLive;
  }
  const std::size_t shown = command.common.verbosity > 0 ? found.size() : kShown;
  complain(what + "; killing " + list(found, describe_one, shown));  // before they are: we may be killed as well
  told = what + "; killed " + list(found, describe_one, found.size());
  const auto left = exec::end_survivors(*runs);
  if (!left) return unknown_survivors();
  if (!left->empty()) {
    complain("cannot be killed: " + list(*left, describe_one) +
             "; nothing is started beside them, try again when they are gone");
    return kLive;
  }
  return std::nullopt;
}

std::string end_leftovers(pid_t guard, const std::string& cgroup) {
  if (guard == 0) return {};  // then orphans are not ours, and not known
  proc::Aftermath leftovers = proc::end_descendants(10s, std::nullopt, cgroup);
  if (!cgroup.empty() && proc::is_orphan(guard)) {  // else the guard does it, when we are gone
    std::ranges::move(proc::end_cgroup(cgroup, 1s), std::back_inserter(leftovers.ended));
  }
  std::string text;
  if (!leftovers.ended.empty()) {
    text = count_of(leftovers.ended.size(), "process") +
           " that slices had left behind killed: " + list(leftovers.ended, describe);
  }
  const std::string unkillable = unkillable_text(leftovers);
  return text + (text.empty() || unkillable.empty() ? "" : "; ") + unkillable;
}

}  // namespace runner::app
