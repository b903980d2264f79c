#include "common.hpp"

#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "host/port.hpp"
#include "util/fd.hpp"
#include "util/text.hpp"
#include "util/trust.hpp"
#include "util/units.hpp"

namespace runner::app {

namespace fs = std::filesystem;

void complain(std::string_view message) {
  const std::string line = "runner: " + util::escape_lines(message) + "\n";
  (void)util::write_all(STDERR_FILENO, line, "stderr");  // nobody is left to tell when that fails
}

namespace {

constexpr std::size_t kBlock = std::size_t{64} << 10U;

/// Not stdio's: that loses what it holds when a stdout with O_NONBLOCK takes no more for the moment.
std::string& unwritten() {
  static std::string text;
  return text;
}

void complain_of(const std::vector<spec::Problem>& problems) {
  std::string text;
  for (const auto& problem : problems) text += to_string(problem) + "\n";
  (void)util::write_all(STDERR_FILENO, text, "stderr");
}

}  // namespace

bool print(std::string_view text) {
  unwritten() += text;
  return unwritten().size() < kBlock || flush_stdout();
}

bool flush_stdout() {
  const auto written = util::write_all(STDOUT_FILENO, unwritten(), "cannot write to stdout");
  unwritten().clear();
  if (!written) complain(written.error().message);
  return written.ok();
}

std::optional<core::Spec> load_spec(const Common& common, const std::string& settings) {
  spec::Overrides overrides = common.overrides;
  overrides.set = merge_settings(parse_settings(settings), common.overrides.set);
  auto loaded = spec::load(common.spec_path, overrides);
  if (auto* spec = std::get_if<core::Spec>(&loaded)) return std::move(*spec);
  complain_of(std::get<std::vector<spec::Problem>>(loaded));
  return std::nullopt;
}

namespace {

/// What --set said when the run that is to be resumed began.
std::string stored_settings(const core::Spec& spec) {
  auto reader = store::Reader::open(store::StateDir(spec.state_dir).database());
  if (!reader) return {};  // open_session says why
  auto run = (*reader)->find_run(std::nullopt);
  return run && *run ? (*run)->settings : std::string();
}

}  // namespace

std::optional<SpecToRun> load_spec_to_run(const RunCommand& command) {
  auto spec = load_spec(command.common);
  if (!spec || !is_trusted(command.common, *spec)) return std::nullopt;
  auto settings = command.common.overrides.set;
  if (command.resume) {
    if (const std::string before = stored_settings(*spec); !before.empty()) {
      spec = load_spec(command.common, before);
      if (!spec) return std::nullopt;
      settings = merge_settings(parse_settings(before), settings);
    }
  }
  core::assign_ports(*spec, host::free_port);
  return SpecToRun{std::move(*spec), format_settings(settings)};
}

namespace {

ExitCode exit_code(run::Refusal::Why why) {
  switch (why) {
    case run::Refusal::Why::usage:
      return kUsage;
    case run::Refusal::Why::live:
      return kLive;
    case run::Refusal::Why::record:
      return kRecordFailed;
  }
  return kBug;
}

}  // namespace

bool is_trusted(const Common& common, const core::Spec& spec) {
  if (const std::string open = util::writable_by_everyone(common.spec_path); !open.empty()) {
    complain(common.spec_path + ": everyone may write to " + open + ", and so change what would run as you; " +
             "type: chmod o-w " + util::shell_quote_for_display(open) +
             " (or keep the spec in another place, and name this one in its `workdir`)");
    return false;
  }
  if (common.verbosity < 0) return true;
  if (const std::string owner = util::foreign_owner(common.spec_path); !owner.empty()) {
    complain("warning: " + common.spec_path + " belongs to " + owner + ", who decides what runs as you");
  }
  for (const fs::path& path : {fs::path(spec.state_dir).parent_path(), fs::path(spec.state_dir)}) {
    const std::string owner = util::foreign_owner(path.string());
    if (owner.empty()) continue;
    complain("warning: " + display_path(path.string()) + " belongs to " + owner + ", who can exchange the record");
    break;
  }
  return true;
}

bool fits(const core::Spec& spec, const host::Machine& machine) {
  for (const auto& job : spec.jobs) {
    if (job.memory && *job.memory > machine.memory) {
      complain("memory: a slice of " + job.name + " needs " + util::format_size(*job.memory) + ", this machine has " +
               util::format_size(machine.memory) + " for this process");
      return false;
    }
    if (job.cpus_milli && *job.cpus_milli > std::int64_t{machine.cpus} * 1000) {
      complain("cpus: a slice of " + job.name + " needs " + util::format_milli(*job.cpus_milli) +
               ", this process may use " + std::to_string(machine.cpus));
      return false;
    }
  }
  return true;
}

std::variant<run::Session, ExitCode> open_session(const RunCommand& command, const SpecToRun& loaded) {
  auto opened = run::open_session({.spec = &loaded.spec,
                                   .resume = command.resume,
                                   .accept_changes = command.accept_changes,
                                   .slices = command.slices,
                                   .settings = loaded.settings,
                                   .spec_args = spec_arguments(command.common, loaded.spec.path),
                                   .run_args = run_arguments(command.common, loaded.spec.path),
                                   .notice = [&](const std::string& message) {
                                     if (command.common.verbosity >= 0) complain(message);
                                   }});
  if (const auto* refusal = std::get_if<run::Refusal>(&opened)) {
    complain(refusal->message);
    return exit_code(refusal->why);
  }
  return std::move(std::get<run::Session>(opened));
}

std::string format_settings(const std::vector<std::pair<std::string, std::string>>& settings) {
  std::string text;
  for (const auto& [name, value] : settings) {
    text += name + "=";
    for (const char c : value) {
      if (c == '\\')
        text += "\\\\";
      else if (c == '\n')
        text += "\\n";
      else
        text += c;
    }
    text += "\n";
  }
  return text;
}

std::vector<std::pair<std::string, std::string>> parse_settings(std::string_view text) {
  std::vector<std::pair<std::string, std::string>> settings;
  for (const std::string_view line : util::split(text, '\n')) {
    const auto equals = line.find('=');
    if (equals == std::string_view::npos) continue;
    std::string value;
    for (std::size_t i = equals + 1; i < line.size(); ++i) {
      if (line[i] == '\\' && i + 1 < line.size()) {
        ++i;
        value += line[i] == 'n' ? '\n' : line[i];
      } else {
        value += line[i];
      }
    }
    settings.emplace_back(line.substr(0, equals), std::move(value));
  }
  return settings;
}

std::vector<std::pair<std::string, std::string>> merge_settings(
    std::vector<std::pair<std::string, std::string>> earlier,
    const std::vector<std::pair<std::string, std::string>>& later) {
  for (const auto& [name, value] : later) {
    const auto it = std::ranges::find(earlier, name, &std::pair<std::string, std::string>::first);
    if (it != earlier.end()) {
      it->second = value;
    } else {
      earlier.emplace_back(name, value);
    }
  }
  return earlier;
}

namespace {

/// Without a current directory (it was removed) a relative path stays as it is, and leads nowhere.
fs::path absolute_path(const fs::path& path) {
  std::error_code error;
  const fs::path result = fs::absolute(path, error);
  return error ? path : result.lexically_normal();
}

/// The state directories below ./.runner that hold a record.
std::vector<std::string> recorded_here() {
  std::vector<std::string> found;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(".runner", error)) {
    if (fs::exists(entry.path() / "state.db", error)) found.push_back(absolute_path(entry.path()).string());
  }
  std::ranges::sort(found);
  return found;
}

/// The spec whose newest run a state directory holds, as it can be typed here; the directory where that cannot be read.
std::string spec_of_record(const std::string& state_dir) {
  auto reader = store::Reader::open(store::StateDir(state_dir).database());
  auto run = reader ? (*reader)->find_run(std::nullopt) : std::optional<store::StoredRun>();
  return util::shell_quote_for_display(display_path(run && *run ? (*run)->info.spec_path : state_dir));
}

/// Where the record of `common.spec_path` is. A spec that has become wrong since must not hide its run.
std::optional<std::string> find_state_dir(const Common& common) {
  if (common.overrides.state_dir) return absolute_path(*common.overrides.state_dir).string();
  if (common.spec_path.empty()) {
    auto found = recorded_here();
    if (found.size() == 1) return found.front();
    if (found.empty()) {
      complain("which spec? no run is recorded below ./.runner; usage: runner status SPEC");
    } else {
      std::string names;
      for (const auto& path : found) names += " " + spec_of_record(path);
      complain("which spec? runs are recorded here for:" + names + "; usage: runner status SPEC");
    }
    return std::nullopt;
  }
  const fs::path spec_path = absolute_path(common.spec_path);
  auto loaded = spec::load(common.spec_path, common.overrides);
  if (const auto* spec = std::get_if<core::Spec>(&loaded)) return spec->state_dir;
  const fs::path by_stem = spec_path.parent_path() / ".runner" / spec_path.stem();
  std::error_code error;
  if (fs::exists(by_stem / "state.db", error)) return by_stem.string();
  complain_of(std::get<std::vector<spec::Problem>>(loaded));
  return std::nullopt;
}

/// Where the spec is now. The record has where it was, before the directory of both was copied or moved. Of two specs
/// that share a record, it is the one that ran.
std::string spec_path_of(const Common& common, const store::StateDir& state_dir, const std::string& recorded) {
  if (!common.spec_path.empty()) {
    const fs::path typed = absolute_path(common.spec_path);
    const fs::path other = typed.parent_path() / fs::path(recorded).filename();
    std::error_code error;
    if (other == typed || !fs::exists(other, error)) return typed.string();
    complain("this run is of " + display_path(other.string()) + ", which shares its record with " +
             display_path(typed.string()) + ": give one of them another `name`");
    return other.string();
  }
  const fs::path runner_dir = fs::path(state_dir.path()).parent_path();
  const fs::path beside = runner_dir.parent_path() / fs::path(recorded).filename();
  std::error_code error;
  return runner_dir.filename() == ".runner" && fs::exists(beside, error) ? beside.string() : recorded;
}

std::optional<core::Spec> spec_of(const store::StoredRun& stored) {
  spec::Overrides overrides;
  overrides.set = parse_settings(stored.settings);
  auto loaded = spec::load_text(stored.spec_text, stored.info.spec_path, overrides);
  auto* spec = std::get_if<core::Spec>(&loaded);
  if (spec == nullptr || spec->jobs.size() != stored.jobs.size()) return std::nullopt;
  for (std::size_t j = 0; j < spec->jobs.size(); ++j) {
    const core::SliceList& slices = spec->jobs[j].slices;
    if (slices.fingerprint() != stored.jobs[j].fingerprint || slices.size() != stored.jobs[j].slices) {
      return std::nullopt;
    }
  }
  return std::move(*spec);
}

}  // namespace

bool has_several_jobs(const store::StoredRun& run) {
  return std::ranges::count(run.jobs, core::JobKind::slices, &store::NewRun::Job::kind) > 1;
}

std::variant<RecordedRun, ExitCode> find_recorded_run(const Common& common, const std::optional<std::string>& run_id) {
  const auto path = find_state_dir(common);
  if (!path) return kUsage;
  const std::string what = common.spec_path.empty() ? *path : common.spec_path;
  store::StateDir dir(*path);
  std::error_code error;
  if (!fs::exists(dir.database(), error) && !error) {
    complain("no run of " + what + " is recorded (no " + dir.database() + "); start one: runner " +
             util::shell_quote_for_display(what));
    return kUsage;
  }
  auto reader = store::Reader::open(dir.database());
  if (!reader) {
    complain(reader.error().message);
    return kRecordFailed;
  }
  // Asked before the rows are read: an attempt without an end is lost only if nobody could have ended it meanwhile.
  const bool live = dir.owner().has_value();
  auto newest = (*reader)->find_run(std::nullopt);
  auto found = run_id ? (*reader)->find_run(run_id) : newest;
  if (!found || !newest) {
    complain((found ? newest : found).error().message);
    return kRecordFailed;
  }
  if (!*found) {
    complain(run_id ? "no run " + *run_id + " of " + what + " is recorded" : "no run of " + what + " is recorded");
    return kUsage;
  }
  RecordedRun run{.state_dir = std::move(dir),
                  .reader = std::move(*reader),
                  .stored = std::move(**found),
                  .live = false,
                  .spec = std::nullopt};
  run.stored.info.spec_path = spec_path_of(common, run.state_dir, run.stored.info.spec_path);
  run.live = live && *newest && (*newest)->info.id == run.stored.info.id;
  run.spec = spec_of(run.stored);
  return {std::move(run)};
}

report::Labels labels_of(const core::Spec* spec) {
  if (spec == nullptr) return {};
  return [spec](std::uint32_t job, const core::IntervalSet& indices, std::size_t max_intervals) {
    const core::JobSpec& of = spec->jobs.at(job);
    if (indices.empty()) return std::string();
    if (of.kind != core::JobKind::slices) return of.name;
    return (spec->has_several_jobs() ? of.name + "/" : "") + of.slices.format_selection(indices, max_intervals);
  };
}

report::StdoutOf stdout_of(const core::Spec* spec, const std::string& run_id) {
  if (spec == nullptr) return {};
  return [spec, run_id](const core::AttemptRecord& record) -> std::string {
    const core::JobSpec& job = spec->jobs.at(record.id.job);
    if (!job.stdout_path) return {};
    const auto in_slot = [&](std::uint32_t slot) {
      const auto expanded = core::expand_attempt(
          *spec, job, {.slice = record.id.slice, .attempt = record.id.number, .slot = slot, .run_id = run_id});
      return expanded ? expanded->stdout_path : std::string();
    };
    const std::string path = in_slot(0);
    // No record says which slot it was: a path with {slot} is shown as it is written.
    return path.empty() || path != in_slot(1) ? job.stdout_path->text() : display_path(path);
  };
}

std::string spec_arguments(const Common& common, const std::string& spec_path) {
  // As it was typed, unless the run is of another spec, which shares the record.
  const bool is_other = fs::path(common.spec_path).filename() != fs::path(spec_path).filename();
  std::string text = util::shell_quote_for_display(is_other ? display_path(spec_path) : common.spec_path);
  if (common.overrides.state_dir) text += " --state-dir " + util::shell_quote_for_display(*common.overrides.state_dir);
  return text;
}

std::string run_arguments(const Common& common, const std::string& spec_path) {
  std::string text = spec_arguments(common, spec_path);
  for (const auto& [name, value] : common.overrides.set) {
    std::string setting = name;
    setting += "=";
    setting += value;
    text += " --set ";
    text += util::shell_quote_for_display(setting);
  }
  return text;
}

std::string resume_command(const Common& common, const std::string& spec_path) {
  return "runner " + spec_arguments(common, spec_path) + " --resume";
}

std::string json_command(const Common& common, const std::string& spec_path, const std::string& run_id) {
  const std::string of_run = run_id.empty() ? "" : " --run " + util::shell_quote_for_display(run_id);
  return "runner status " + spec_arguments(common, spec_path) + of_run + " --json";
}

std::string display_path(const std::string& path) {
  std::error_code error;
  const fs::path here = fs::current_path(error);
  if (error || here == here.root_path()) return path;
  const fs::path relative = fs::path(path).lexically_relative(here);
  return relative.empty() || *relative.begin() == ".." ? path : relative.string();
}

}  // namespace runner::app
