#include "spec/hooks_reader.hpp"

#include <algorithm>
#include <array>
#include <optional>
#include <set>
#include <tuple>
#include <utility>

#include "spec/attached_job.hpp"

namespace runner::spec {
namespace {

using core::HookKind;
using core::Need;
using After = Need::After;

const std::vector<std::string> kKeys = {"command", "timeout", "grace", "retries", "retry_delay", "env", "workdir"};

/// The hooks of one job, or of the run, by their place in Spec::jobs.
struct Hooks {
  std::optional<std::uint32_t> prepare, shutdown, teardown;
};

class HooksReader {
 public:
  HooksReader(const JobContext& context, core::Spec& spec, Reader& reader)
      : context_(context), spec_(spec), reader_(reader) {
    std::set<std::string> names;
    for (const core::JobSpec& of : spec.jobs) {
      count_ += of.kind == core::JobKind::slices ? 1 : 0;
      for (std::string& name : of.slices.variable_names()) names.insert(std::move(name));
    }
    slice_variables_.assign(names.begin(), names.end());
  }

  void read(const Node& root) {
    std::vector<Hooks> of_jobs;
    const Node* jobs = root.find("jobs");
    const bool has_jobs = jobs != nullptr && jobs->kind == Node::Kind::map;  // else `jobs: 4`, which was refused
    for (std::uint32_t j = 0; has_jobs && j < count_; ++j) {
      of_jobs.push_back(read_those_of(JobMap(jobs->items[j], &root), spec_.jobs[j].name, j));
    }
    for (std::uint32_t j = 0; j < of_jobs.size(); ++j) connect_job(j, of_jobs[j], of_jobs);
    connect_run(read_those_of(JobMap(root), spec_.name, std::nullopt));
  }

 private:
  /// `name` is a copy: it may be of a job, and their list grows here.
  // NOLINTNEXTLINE(performance-unnecessary-value-param): so it is meant
  Hooks read_those_of(const JobMap& owner, const std::string name, std::optional<std::uint32_t> job) {
    Hooks hooks;
    const std::array places = {std::tuple{"prepare", HookKind::prepare, &hooks.prepare},
                               std::tuple{"shutdown", HookKind::shutdown, &hooks.shutdown},
                               std::tuple{"teardown", HookKind::teardown, &hooks.teardown}};
    for (const auto& [key, kind, place] : places) {
      const Node* node = owner.own().find(key);
      if (node == nullptr) continue;
      core::JobSpec hook = read_one(*node, key, owner, name);
      hook.hook = kind;
      hook.hook_of = job;
      *place = static_cast<std::uint32_t>(spec_.jobs.size());
      spec_.jobs.push_back(std::move(hook));
    }
    return hooks;
  }

  core::JobSpec read_one(const Node& node, const std::string& key, const JobMap& owner, const std::string& name) {
    JobContext context = context_;
    context.name = name + ":" + key;
    if (std::ranges::find(spec_.jobs, context.name, &core::JobSpec::name) != spec_.jobs.end())
      reader_.error(node, quoted(key) + ": the run and its job `" + name + "` have one name, and each has a `" + key +
                              "`: give the run another `name`");
    core::JobSpec hook = read_attached_job(node, key, kKeys, {owner, slice_variables_}, context, reader_);
    hook.kind = core::JobKind::hook;
    hook.priority = kFirst;
    return hook;
  }

  void need(std::uint32_t who, std::uint32_t what, After after) {
    auto& needs = spec_.jobs[who].needs;
    if (std::ranges::none_of(needs, [what](const Need& other) { return other.job == what; }))
      needs.push_back({.job = what, .after = after});
  }

  /// Said for itself, as a resume may have nothing to do in between.
  void need_prepare(const Hooks& hooks) {
    if (hooks.shutdown && hooks.prepare) need(*hooks.shutdown, *hooks.prepare, After::completed);
  }

  void connect_job(std::uint32_t job, const Hooks& hooks, const std::vector<Hooks>& of_jobs) {
    if (hooks.prepare) {
      for (const Need& other : spec_.jobs[job].needs) {
        if (other.after == After::completed) need(*hooks.prepare, other.job, After::completed);
      }
      need(job, *hooks.prepare, After::completed);
    }
    if (hooks.shutdown) need(*hooks.shutdown, job, After::completed);
    need_prepare(hooks);
    for (const Need& other : std::vector(spec_.jobs[job].needs)) {
      if (other.after != After::up) continue;
      if (hooks.prepare) need(*hooks.prepare, other.job, After::up);
      if (hooks.shutdown) need(*hooks.shutdown, other.job, After::up);
    }
    // A job has completed when its shutdown has.
    const auto before = spec_.jobs[job].needs;
    for (const Need& other : before) {
      if (other.job < of_jobs.size() && other.after == After::completed && of_jobs[other.job].shutdown) {
        need(job, *of_jobs[other.job].shutdown, After::completed);
        if (hooks.prepare) need(*hooks.prepare, *of_jobs[other.job].shutdown, After::completed);
      }
    }
    if (!hooks.teardown) return;
    for (const auto& part : {hooks.prepare, std::optional(job), hooks.shutdown}) {
      if (part) need(*hooks.teardown, *part, After::over);
    }
  }

  void connect_run(const Hooks& hooks) {
    const auto all = static_cast<std::uint32_t>(spec_.jobs.size());
    const auto is_own = [&](std::uint32_t j) {
      return j == hooks.prepare || j == hooks.shutdown || j == hooks.teardown;
    };
    for (std::uint32_t j = 0; j < all; ++j) {
      if (is_own(j)) continue;
      if (hooks.prepare) need(j, *hooks.prepare, After::completed);
      if (spec_.jobs[j].kind == core::JobKind::service) {
        if (hooks.shutdown) need(*hooks.shutdown, j, After::up);
        if (hooks.teardown) need(*hooks.teardown, j, After::over);
        continue;
      }
      if (hooks.shutdown)
        need(*hooks.shutdown, j, spec_.jobs[j].hook == HookKind::teardown ? After::over : After::completed);
      if (hooks.teardown) need(*hooks.teardown, j, After::over);
    }
    need_prepare(hooks);
    if (hooks.teardown && hooks.prepare) need(*hooks.teardown, *hooks.prepare, After::over);
    if (hooks.teardown && hooks.shutdown) need(*hooks.teardown, *hooks.shutdown, After::over);
  }

  static constexpr int kFirst = 2'000'000;  ///< beyond what a spec can say

  const JobContext& context_;
  core::Spec& spec_;
  Reader& reader_;
  std::uint32_t count_ = 0;  ///< of jobs of slices
  std::vector<std::string> slice_variables_;
};

}  // namespace

const std::vector<std::string>& hook_keys() {
  static const std::vector<std::string> keys = {"prepare", "shutdown", "teardown"};
  return keys;
}

void read_hooks(const Node& root, const JobContext& context, core::Spec& spec, Reader& reader) {
  HooksReader(context, spec, reader).read(root);
}

}  // namespace runner::spec
