#include "spec/loader.hpp"

#include <algorithm>
#include <filesystem>

#include "spec/hints.hpp"
#include "spec/hooks_reader.hpp"
#include "spec/job_reader.hpp"
#include "spec/jobs_reader.hpp"
#include "spec/limits.hpp"
#include "spec/reader.hpp"
#include "spec/services_reader.hpp"
#include "spec/source.hpp"
#include "spec/yaml_tree.hpp"
#include "util/fd.hpp"
#include "util/text.hpp"

namespace runner::spec {
namespace {

namespace fs = std::filesystem;

constexpr const char* kNoDirectory = "is relative to a working directory that was removed: name it by its full path";
constexpr const char* kNoRegularFile = "is not a regular file: a run is recorded and resumed by its spec's file";
constexpr std::int64_t kMaxPercent = 1'000;
const std::vector<std::string> kLevels = {"trace", "debug", "info", "warning", "error", "off"};
const std::vector<std::string> kRunKeys = {"name",      "n_procs", "limits", "services", "state_dir",
                                           "keep_runs", "log",     "print",  "load_max", "memory_min"};

/// `8`, `auto`, `50%`; an error says what is wanted.
util::Result<core::ProcCount> parse_n_procs(const std::string& text) {
  using Kind = core::ProcCount::Kind;
  if (text == "auto") return core::ProcCount{Kind::automatic, 0};
  const bool is_percent = text.ends_with('%');
  const auto number = util::parse_int(is_percent ? text.substr(0, text.size() - 1) : text);
  if (!number) {
    return util::Error{
        "wants a number such as 8, auto (every CPU there is), or a share of the CPUs such as 50%, not `" +
        util::escape_for_display(text, 60) + "`"};
  }
  const std::int64_t max = is_percent ? kMaxPercent : kMaxProcs;
  if (*number < 1 || *number > max) {
    const std::string unit = is_percent ? "%" : "";
    return util::Error{"is out of range: 1" + unit + " to " + std::to_string(max) + unit + ", not `" + text + "`"};
  }
  return core::ProcCount{is_percent ? Kind::percent : Kind::count, static_cast<std::uint32_t>(*number)};
}

void read_n_procs(const Node& node, core::Spec& spec, Reader& reader) {
  const auto text = reader.text(node, "n_procs");
  if (!text) return;
  auto count = parse_n_procs(*text);
  if (!count) {
    reader.error(node, "`n_procs` " + count.error().message);
  } else if (count->kind == core::ProcCount::Kind::count && node.style != Node::Style::plain) {
    reader.error(node, "`n_procs` wants a number: write it without quotes");
  } else {
    spec.n_procs = *count;
  }
}

void read_name(const Node& root, core::Spec& spec, Reader& reader) {
  const Node* node = root.find("name");
  if (node == nullptr) {
    spec.name = fs::path(spec.path).stem().string();
    if (const std::string wrong = wrong_name(spec.name); !wrong.empty()) {
      reader.problems().elsewhere(reader.source().file(), 0, 0,
                                  "the file's name makes no name for the run, which " + wrong + ": add `name: ...`");
    }
    return;
  }
  const auto name = reader.text(*node, "name");
  if (!name) return;
  if (const std::string wrong = wrong_name(*name); !wrong.empty()) reader.error(*node, "`name` " + wrong);
  spec.name = *name;
}

void read_log(const Node& map, core::Spec& spec, Reader& reader) {
  if (!reader.is_map(map, "log", "{level: debug}")) return;
  reader.check_keys(map, "log", {"level", "pattern", "max_size", "max_files"});
  if (const Node* node = map.find("level")) {
    if (const auto level = reader.word(*node, "log.level", kLevels)) spec.log.level = *level;
  }
  if (const Node* node = map.find("pattern")) {
    if (const auto pattern = reader.nonempty_text(*node, "log.pattern")) spec.log.pattern = *pattern;
  }
  if (const Node* node = map.find("max_size")) {
    if (const auto size = reader.size(*node, "log.max_size", true)) spec.log.max_size = *size;
  }
  if (const Node* node = map.find("max_files")) {
    if (const auto n = reader.integer(*node, "log.max_files", {1, 1000})) {
      spec.log.max_files = static_cast<std::uint32_t>(*n);
    }
  }
}

void read_limits(const Node& map, core::Spec& spec, Reader& reader) {
  if (!reader.is_map(map, "limits", "{scratch: 2}") || !reader.is_within(map, "limits", kMaxNames)) return;
  for (std::size_t i = 0; i < map.keys.size(); ++i) {
    const std::string& name = map.keys[i].value;
    if (const std::string wrong = wrong_name(name); !wrong.empty())
      reader.error(map.keys[i], "the name of a limit " + wrong);
    const auto amount = reader.integer(map.items[i], "limits." + name, {1, kMaxProcs});
    spec.limits.push_back({.name = name, .amount = static_cast<std::uint32_t>(amount.value_or(kMaxProcs))});
  }
}

void read_run(const Node& root, core::Spec& spec, Reader& reader) {
  read_name(root, spec, reader);
  if (const Node* node = root.find("n_procs")) read_n_procs(*node, spec, reader);
  if (const Node* node = root.find("limits")) read_limits(*node, spec, reader);
  spec.state_dir = spec.spec_dir + "/.runner/" + spec.name;
  if (const Node* node = root.find("state_dir")) {
    if (const auto path = reader.path(*node, "state_dir", spec.spec_dir)) spec.state_dir = *path;
  }
  if (const Node* node = root.find("keep_runs")) {
    if (const auto n = reader.integer(*node, "keep_runs", {1, 1'000'000})) {
      spec.keep_runs = static_cast<std::uint32_t>(*n);
    }
  }
  if (const Node* node = root.find("load_max")) {
    spec.load_max = reader.positive_number(*node, "load_max", static_cast<double>(kMaxProcs));
  }
  if (const Node* node = root.find("memory_min")) spec.memory_min = reader.size(*node, "memory_min", false);
  if (const Node* node = root.find("log")) read_log(*node, spec, reader);
  if (const Node* node = root.find("print")) {
    if (const auto word = reader.word(*node, "print", {"none", "group", "line"})) {
      spec.print = *word == "group" ? core::Print::group : *word == "line" ? core::Print::line : core::Print::none;
    }
  }
}

void apply_overrides(const Overrides& overrides, core::Spec& spec, Problems& problems) {
  if (overrides.n_procs) {
    if (auto count = parse_n_procs(*overrides.n_procs)) {
      spec.n_procs = *count;
    } else {
      problems.elsewhere("--n-procs", 0, 0, count.error().message);
    }
  }
  if (!overrides.state_dir) return;
  std::error_code error;
  if (overrides.state_dir->empty()) {
    problems.elsewhere("--state-dir", 0, 0, "is empty: name a directory");
  } else if (const fs::path absolute = fs::absolute(*overrides.state_dir, error); error) {
    problems.elsewhere("--state-dir", 0, 0, kNoDirectory);
  } else {
    spec.state_dir = absolute.lexically_normal().string();
  }
}

bool has_several_jobs(const Node& root) {
  const Node* jobs = root.find("jobs");
  return jobs != nullptr && jobs->kind != Node::Kind::scalar;  // `jobs: 4` is meant as n_procs
}

/// Reports keys that a later version will have, those that belong into a job, and those nobody knows.
void check_top_keys(const Node& root, Reader& reader) {
  std::vector<std::string> known = kRunKeys;
  known.insert(known.end(), job_keys().begin(), job_keys().end());
  known.insert(known.end(), hook_keys().begin(), hook_keys().end());
  if (has_several_jobs(root)) known.emplace_back("jobs");
  const auto& of_jobs = keys_of_several_jobs();
  Node unknown;  // the rest, for check_keys()
  for (const Node& key : root.keys) {
    const bool is_known = std::find(known.begin(), known.end(), key.value) != known.end();
    if (!is_known && std::find(of_jobs.begin(), of_jobs.end(), key.value) != of_jobs.end()) {
      reader.error(key, "`" + key.value + "` belongs into one of several jobs: jobs: {NAME: {" + key.value + ": ...}}");
    } else {
      unknown.keys.push_back(key);
    }
  }
  reader.check_keys(unknown, "", known);
}

/// Whether --set names variables that there are.
void check_set(const Node& root, const Overrides& overrides, Problems& problems) {
  std::vector<std::string> known;
  const auto add = [&](const Node& map) {
    const Node* vars = map.find("vars");
    if (vars == nullptr || vars->kind != Node::Kind::map) return;
    for (const Node& key : vars->keys) known.push_back(key.value);
  };
  add(root);
  if (has_several_jobs(root)) std::ranges::for_each(root.find("jobs")->items, add);
  for (const auto& [name, value] : overrides.set) {
    if (std::find(known.begin(), known.end(), name) != known.end()) continue;
    const auto nearest = util::closest(name, known);
    problems.elsewhere("--set", 0, 0,
                       "no variable `" + util::escape_for_display(name, 60) + "` in vars" +
                           (nearest ? "; did you mean `" + *nearest + "`?" : ""));
  }
}

std::string directory_as_named(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  return slash == std::string::npos ? "" : path.substr(0, slash + 1);
}

/// The spec's directory with symbolic links resolved, so that `..` in its paths means what the kernel means by it.
std::string directory_of(const std::string& path) {
  std::error_code error;
  const fs::path parent = fs::absolute(path).parent_path();
  const fs::path real = fs::canonical(parent, error);
  return (error ? parent : real).string();
}

/// What keeps a file from being read as a spec at all.
std::optional<std::string> cannot_load(const std::string& path) {
  std::error_code error;
  (void)fs::absolute(path, error);
  if (error) return kNoDirectory;
  const fs::file_status status = fs::status(path, error);
  switch (status.type()) {
    case fs::file_type::regular:
      return std::nullopt;
    case fs::file_type::directory:
      return "is a directory: name the spec file in it";
    case fs::file_type::not_found:
      for (const char* extension : {".yaml", ".yml"}) {
        if (fs::exists(path + extension, error)) return "no such file; did you mean " + path + extension + "?";
      }
      return path == "-" ? kNoRegularFile : "no such file";
    case fs::file_type::none:
      return "cannot be read: " + error.message();
    default:
      return kNoRegularFile;
  }
}

}  // namespace

std::variant<core::Spec, std::vector<Problem>> load(const std::string& path, const Overrides& overrides) {
  const auto failed = [&](std::string message) { return std::vector{Problem{path, 0, 0, std::move(message)}}; };
  if (const auto why = cannot_load(path)) return failed(*why);
  auto text = util::read_file(path, kMaxSpecBytes);
  if (!text && text.error().errno_value != 0) {
    return failed("cannot be read: " + std::generic_category().message(text.error().errno_value));
  }
  if (!text) {
    return failed("larger than " + util::format_size(kMaxSpecBytes) +
                  ": put long lists into a file of their own (slices: {lines: list.txt})");
  }
  return load_text(*text, path, overrides);
}

std::variant<core::Spec, std::vector<Problem>> load_text(std::string_view text, const std::string& path,
                                                         const Overrides& overrides) {
  const Source source(path, text);
  Problems problems(source);
  Reader reader(source, problems);
  core::Spec spec;
  spec.text = std::string(text);
  spec.spec_dir = directory_of(path);
  spec.path = spec.spec_dir + (spec.spec_dir.ends_with('/') ? "" : "/") + fs::path(path).filename().string();

  check_characters(source, problems);
  if (!problems.empty()) return problems.sorted();
  const auto root = parse_yaml(source, problems);
  if (!root) return problems.sorted();

  check_top_keys(*root, reader);
  read_run(*root, spec, reader);
  apply_overrides(overrides, spec, problems);
  const JobContext context{spec.name, spec.spec_dir, directory_as_named(path), overrides.set, &spec.limits};
  if (has_several_jobs(*root)) {
    spec.jobs = read_jobs(*root, context, reader);
  } else {
    spec.jobs.push_back(read_job(JobMap(*root), context, reader));
  }
  if (problems.empty() || !has_several_jobs(*root)) {
    read_services(*root, context, spec, reader);
    read_hooks(*root, context, spec, reader);
  }
  check_set(*root, overrides, problems);
  if (!problems.empty()) return problems.sorted();
  return spec;
}

}  // namespace runner::spec
