#include "spec/job_reader.hpp"

#include <algorithm>
#include <filesystem>
#include <map>
#include <optional>

#include "spec/folded_command.hpp"
#include "spec/job_rules.hpp"
#include "spec/limits.hpp"
#include "spec/slices_reader.hpp"
#include "util/text.hpp"

namespace runner::spec {
namespace {

/// So many slices are looked at one by one, and the last: enough to see what a list has in common, and no time at all.
constexpr std::uint64_t kComparedSlices = 1000;

bool contains(const std::vector<std::string>& words, std::string_view word) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

/// Whether `text` has {name} or {name:...} in it.
bool mentions(std::string_view text, const std::string& name) {
  for (std::size_t at = text.find("{" + name); at != std::string_view::npos; at = text.find("{" + name, at + 1)) {
    const std::string_view next = text.substr(at + 1 + name.size(), 1);
    const bool is_literal = at > 0 && text[at - 1] == '{';
    if (!is_literal && (next == "}" || next == ":")) return true;
  }
  return false;
}

/// Reads one job; a class only so that its parts share what they know.
class JobReader {
 public:
  JobReader(const JobMap& map, const JobContext& context, Reader& reader)
      : map_(map), context_(context), reader_(reader) {
    job_.name = context.name;
  }

  core::JobSpec read() {
    read_workdir();
    read_slice_list();
    read_vars();
    read_env();
    read_command();
    read_files();
    read_rules(map_, job_, reader_);
    read_uses();
    return std::move(job_);
  }

 private:
  void read_workdir() {
    job_.workdir = context_.spec_dir;
    const Node* node = map_.find("workdir");
    if (node == nullptr) return;
    const auto path = reader_.path(*node, "workdir", context_.spec_dir);
    if (!path) return;
    std::error_code error;
    const auto status = std::filesystem::status(*path, error);
    if (!std::filesystem::is_directory(status)) {
      const bool exists = std::filesystem::exists(status);
      reader_.error(*node, "`workdir`: " + util::escape_for_display(*path) +
                               (exists ? " is not a directory" : " does not exist: create it first"));
    }
    job_.workdir = *path;
  }

  void read_slice_list() {
    SlicesContext slices{context_.spec_dir, context_.shown_dir, job_.workdir != context_.spec_dir, false};
    if (const Node* node = map_.find("allow_empty")) {
      slices.allow_empty = reader_.boolean(*node, "allow_empty").value_or(true);
    }
    names_ = core::builtin_variable_names();
    const Node* node = map_.find("slices");
    if (node == nullptr && map_.is_one_of_several()) {  // it runs once
      job_.slices = core::SliceList(core::Numbers{{{.first = 0, .last = 0, .step = 1}}});
      return;
    }
    if (node == nullptr) {
      reader_.error(map_.own(), "`slices` is missing: what to run the command over, such as slices: 0-99");
      return;
    }
    if (auto list = read_slices(*node, slices, reader_)) {
      slice_names_ = list->variable_names();
      job_.slices = std::move(*list);
    } else {
      slice_names_ = names_of_wrong_slices(*node);
      names_certain_ = node->find("table") == nullptr;
    }
    for (const std::string& name : slice_names_) {
      if (!contains(names_, name)) names_.push_back(name);
    }
  }

  /// What the slices would define if they were right, so that templates can be checked all the same.
  static std::vector<std::string> names_of_wrong_slices(const Node& node) {
    std::vector<std::string> names = {"first", "last", "file", "file.name", "file.stem", "file.dir", "line", "item"};
    if (const Node* matrix = node.find("matrix")) {
      for (const Node& axis : matrix->keys) names.push_back(axis.value);
    }
    return names;
  }

  /// The value of a variable: from --set if it is there, else as written.
  std::optional<core::TextTemplate> read_var_value(const std::string& name, const Node& node) {
    const auto set =
        std::find_if(context_.set.rbegin(), context_.set.rend(), [&](const auto& s) { return s.first == name; });
    if (set == context_.set.rend()) {
      if (const auto other = other_variable(node)) {
        reader_.error(node, "`" + name + "` uses `" + *other +
                                "`, but one variable of `vars` cannot use another: put them together in `command`");
        return std::nullopt;
      }
      return read_template(node, "vars." + name);
    }
    auto parsed = core::TextTemplate::parse(set->second, names_);
    if (const auto* error = std::get_if<core::TemplateError>(&parsed)) {
      reader_.problems().elsewhere("--set", 0, 0, name + ": " + error->message);
      return std::nullopt;
    }
    return std::get<core::TextTemplate>(std::move(parsed));
  }

  static std::string too_long_a_name() { return "is longer than " + std::to_string(kMaxNameBytes) + " bytes"; }

  std::optional<std::string> other_variable(const Node& node) const {
    for (const auto& [key, value] : vars_) {
      if (!contains(names_, key->value) && mentions(node.value, key->value)) return key->value;
    }
    return std::nullopt;
  }

  std::string wrong_variable(const std::string& name) const {
    if (!util::is_identifier(name))
      return "is no name for a variable: use letters, digits and _, not beginning with a digit";
    if (name.size() > kMaxNameBytes) return too_long_a_name();
    if (contains(core::builtin_variable_names(), name))
      return "is the name of a variable that is always there: choose another";
    if (names_certain_ && contains(slice_names_, name)) return "is a variable that `slices` defines: choose another";
    return "";
  }

  void read_vars() {
    vars_ = map_.entries("vars", "{m_factor: 1}", reader_);
    for (const auto& [key, value] : vars_) {
      if (const std::string wrong = wrong_variable(key->value); !wrong.empty()) {
        reader_.error(*key, "`" + util::escape_for_display(key->value, 60) + "` " + wrong);
      } else if (reader_.text(*key, key->value)) {  // `no: 1` is refused
        if (auto text = read_var_value(key->value, *value)) job_.vars.emplace_back(key->value, std::move(*text));
      }
    }
    for (const auto& [key, value] : vars_) names_.push_back(key->value);
    check_environment_names();
  }

  /// Every variable is also in the environment, where {a} and {A} would be the same one.
  void check_environment_names() {
    std::map<std::string, std::string> taken;
    for (const std::string& name : slice_names_) taken.emplace(core::environment_name(name), name);
    for (const auto& [key, value] : vars_) {
      const auto [other, is_new] = taken.emplace(core::environment_name(key->value), key->value);
      if (is_new || other->second == key->value) continue;
      reader_.error(*key, "`" + key->value + "` and `" + other->second + "` would both be " + other->first +
                              " in the environment: rename one");
    }
  }

  void read_env() {
    for (const auto& [key, value] : map_.entries("env", "{OMP_NUM_THREADS: 1}", reader_)) {
      const std::string& name = key->value;
      if (!util::is_identifier(name)) {
        reader_.error(
            *key,
            "`" + util::escape_for_display(name, 60) +
                "` is no name for an environment variable: use letters, digits and _, not beginning with a digit");
      } else if (name.size() > kMaxNameBytes) {
        reader_.error(*key, spec::quoted(name) + " " + too_long_a_name());
      } else if (name.starts_with("RUNNER_")) {
        reader_.error(*key, "`" + name + "` is set by runner itself: choose another name");
      } else if (!reader_.text(*key, name)) {  // `NO: 1` is refused
        continue;
      } else if (auto text = read_template(*value, "env." + name)) {
        job_.env.emplace_back(name, std::move(*text));
      }
    }
  }

  /// nullopt also where the names are not known, because the table that defines them could not be read.
  std::optional<core::TextTemplate> read_template(const Node& node, Label label) {
    if (names_certain_) return reader_.text_template(node, label, names_);
    reader_.text(node, label);
    return std::nullopt;
  }

  void read_command() {
    const Node* node = map_.find("command");
    if (node == nullptr) {
      reader_.error(map_.own(), "`command` is missing: what to run for each slice, such as command: ./analyse {slice}");
    } else if (node->kind == Node::Kind::list) {
      read_command_list(*node);
    } else if (const auto text = reader_.nonempty_text(*node, "command")) {
      if (const auto line = line_split_off(*node)) {
        reader_.template_error(*node, {"`command`: YAML keeps the break before a line that is indented more than the "
                                       "one above, in `>` too, so this would be a command of its own: indent it as "
                                       "the one above, or write `|` if it is one",
                                       *line});
      }
      if (names_certain_) take_command(core::CommandTemplate::parse_shell(*text, names_), *node);
    }
  }

  void read_command_list(const Node& list) {
    std::vector<std::string> elements;
    for (std::size_t i = 0; i < list.items.size(); ++i) {
      const std::string label = "command[" + std::to_string(i) + "]";
      const auto text = i == 0 ? reader_.nonempty_text(list.items[i], label) : reader_.text(list.items[i], label);
      if (text) elements.push_back(*text);
    }
    if (list.items.empty()) reader_.error(list, "`command` is empty");
    if (elements.empty() || elements.size() != list.items.size() || !names_certain_) return;
    std::size_t failed = 0;
    auto parsed = core::CommandTemplate::parse_list(elements, names_, &failed);
    take_command(std::move(parsed), list.items[failed]);
  }

  void take_command(std::variant<core::CommandTemplate, core::TemplateError> parsed, const Node& node) {
    if (const auto* error = std::get_if<core::TemplateError>(&parsed)) {
      reader_.template_error(node, *error);
    } else {
      job_.command = std::get<core::CommandTemplate>(std::move(parsed));
      reader_.fits_argument(node, "command", job_.command.least_size());
    }
  }

  void read_uses() {
    for (const auto& [key, value] : map_.entries("uses", "{scratch: 1}", reader_)) {
      const auto& limits = *context_.limits;
      const auto limit = std::ranges::find(limits, key->value, &core::Limit::name);
      if (limit == limits.end()) {
        std::vector<std::string> names;
        names.reserve(limits.size());
        for (const auto& known : limits) names.push_back(known.name);
        const auto nearest = util::closest(key->value, names);
        reader_.error(*key, "`uses` names `" + util::escape_for_display(key->value, 60) +
                                "`, which is not in `limits`" + (nearest ? "; did you mean `" + *nearest + "`?" : ""));
        continue;
      }
      const auto amount = reader_.integer(*value, "uses." + key->value, {1, limit->amount});
      if (!amount) continue;
      job_.uses.push_back(
          {.limit = static_cast<std::uint32_t>(limit - limits.begin()), .amount = static_cast<std::uint32_t>(*amount)});
    }
  }

  void read_files() {
    if (const Node* node = map_.find("stdin"); node != nullptr && reader_.nonempty_text(*node, "stdin")) {
      job_.stdin_path = read_template(*node, "stdin");
    }
    if (const Node* node = map_.find("stdout"); node != nullptr && reader_.nonempty_text(*node, "stdout")) {
      job_.stdout_path = read_template(*node, "stdout");
      if (job_.stdout_path) refuse_shared_stdout(*node);
    }
    const Node* outputs = map_.find("outputs");
    if (outputs == nullptr || !reader_.is_list(*outputs, "outputs", "[\"out/{slice}.csv\"]")) return;
    for (std::size_t i = 0; i < outputs->items.size(); ++i) {
      const std::string label = "outputs[" + std::to_string(i) + "]";
      if (!reader_.nonempty_text(outputs->items[i], label)) continue;
      if (auto path = read_template(outputs->items[i], label)) job_.outputs.push_back(std::move(*path));
    }
  }

  /// Every attempt begins its file anew, so of two slices with one file only the output of the later would be left.
  void refuse_shared_stdout(const Node& node) {
    std::map<std::string, std::uint64_t> writers;
    const std::uint64_t count = job_.slices.size();
    for (std::uint64_t i = 0; i < count; i = i + 1 < kComparedSlices ? i + 1 : std::max(i + 1, count - 1)) {
      const auto variables = core::attempt_variables(job_, {.slice = i, .run_id = "run"});
      const auto path = variables ? job_.stdout_path->expand(*variables) : variables.error();
      if (!path || path->starts_with("/dev/")) continue;  // what does not expand makes its slice not_started
      const auto [writer, is_new] = writers.emplace(*path, i);
      if (is_new) continue;
      const auto shown = [](const std::string& text) { return "`" + util::escape_for_display(text, 60) + "`"; };
      return reader_.error(node, "`stdout`: slices " + shown(job_.slices.key(writer->second)) + " and " +
                                     shown(job_.slices.key(i)) + " would both write to " + shown(*path) +
                                     ", each over what the other wrote: put {slice} into the name (for one file of "
                                     "all leave `stdout` out, and run with --print group >FILE)");
    }
  }

  const JobMap& map_;
  const JobContext& context_;
  Reader& reader_;
  core::JobSpec job_;
  std::vector<JobMap::Entry> vars_;
  std::vector<std::string> slice_names_;
  std::vector<std::string> names_;  ///< every variable a template may use
  bool names_certain_ = true;       ///< false: the slices' table cannot be read, so its columns are not known
};

}  // namespace

const std::vector<std::string>& job_keys() {
  static const std::vector<std::string> keys = {
      "slices",          "allow_empty", "command",       "vars",       "env",        "workdir",
      "stdin",           "stdout",      "timeout",       "grace",      "retries",    "retry_delay",
      "retry_delay_max", "retry_on",    "success_codes", "outputs",    "max_failed", "on_halt",
      "log_limit",       "cpus",        "memory",        "env_compat", "uses"};
  return keys;
}

core::JobSpec read_job(const JobMap& map, const JobContext& context, Reader& reader) {
  return JobReader(map, context, reader).read();
}

}  // namespace runner::spec
