// What one attempt is made of: variables, environment, paths; and the small rules of limits and retries.
#include "core/spec.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

using namespace runner::core;  // NOLINT(google-build-using-namespace)
using namespace std::string_literals;

namespace {

SliceList numbers(std::vector<IntRange> ranges) {
  return SliceList(SliceSource(Numbers{std::move(ranges)}));
}
SliceList items(const std::vector<std::string>& list) {
  Items source;
  for (const std::string& item : list) source.items.push_back(item);
  return SliceList(SliceSource(std::move(source)));
}

std::vector<std::string> names_for(const SliceList& slices, const std::vector<std::string>& more = {}) {
  std::vector<std::string> names = builtin_variable_names();
  for (const std::string& name : slices.variable_names()) names.push_back(name);
  names.insert(names.end(), more.begin(), more.end());
  return names;
}

TextTemplate text(std::string_view source, const std::vector<std::string>& names) {
  auto parsed = TextTemplate::parse(source, names);
  if (const auto* error = std::get_if<TemplateError>(&parsed)) FAIL(source << ": " << error->message);
  return std::get<TextTemplate>(std::move(parsed));
}
CommandTemplate shell(std::string_view source, const std::vector<std::string>& names) {
  auto parsed = CommandTemplate::parse_shell(source, names);
  if (const auto* error = std::get_if<TemplateError>(&parsed)) FAIL(source << ": " << error->message);
  return std::get<CommandTemplate>(std::move(parsed));
}

JobSpec job_over(SliceList slices, std::string_view command = "prog {slice}") {
  JobSpec job;
  job.name = "correlate";
  job.slices = std::move(slices);
  job.command = shell(command, names_for(job.slices));
  job.workdir = "/home/a/spec";
  return job;
}
Spec spec_in(std::string_view directory) {
  Spec spec;
  spec.spec_dir = directory;
  return spec;
}
const AttemptContext kThird = {.slice = 2, .attempt = 4, .slot = 5, .run_id = "2026-11-21-a1"};

/// The entry's value; "unset" where there is none, "twice" where there are two.
std::string value_in(const std::vector<std::string>& env, const std::string& name) {
  std::string value = "unset";
  for (const std::string& entry : env) {
    if (entry.starts_with(name + "=")) value = value == "unset" ? entry.substr(name.size() + 1) : "twice";
  }
  return value;
}

Ending ended(Outcome outcome, int exit_code = 0) {
  Ending ending;
  ending.outcome = outcome;
  ending.exit_code = exit_code;
  return ending;
}

}  // namespace

TEST_CASE("a limit in per cent is rounded down, and one in slices is not") {
  const auto percent = [](double value, std::uint64_t slices) { return FailureLimit{true, value}.tolerated(slices); };
  CHECK(percent(5, 100) == 5);
  CHECK(percent(5, 99) == 4);
  CHECK(percent(5, 19) == 0);
  CHECK(percent(0, 100) == 0);
  CHECK(percent(100, 7) == 7);
  CHECK(percent(0.29, 10000) == 29);
  CHECK(percent(0.1, 1000000) == 1000);
  CHECK(percent(33.3, 10) == 3);
  CHECK(FailureLimit{false, 3}.tolerated(100) == 3);
  CHECK(FailureLimit{false, 0}.tolerated(100) == 0);
  CHECK(FailureLimit{false, 300}.tolerated(100) == 100);
}

TEST_CASE("retries apply to the outcomes listed, or only to the exit codes listed") {
  RetryPolicy policy;
  CHECK(policy.applies_to(ended(Outcome::failed, 1)));
  CHECK(policy.applies_to(ended(Outcome::timed_out)));
  CHECK_FALSE(policy.applies_to(ended(Outcome::succeeded)));
  CHECK_FALSE(policy.applies_to(ended(Outcome::not_started)));
  CHECK_FALSE(policy.applies_to(ended(Outcome::cancelled)));
  policy.outcomes = {Outcome::missing_output};
  CHECK(policy.applies_to(ended(Outcome::missing_output)));
  CHECK_FALSE(policy.applies_to(ended(Outcome::failed, 1)));
  policy.exit_codes = {75, 99};
  CHECK(policy.applies_to(ended(Outcome::failed, 99)));
  CHECK_FALSE(policy.applies_to(ended(Outcome::failed, 1)));
  CHECK_FALSE(policy.applies_to(ended(Outcome::killed, 75)));
}

TEST_CASE("an attempt knows itself, its slice, and the job's vars made of both") {
  JobSpec job = job_over(numbers({{10, 40, 10}}));
  const auto names = names_for(job.slices);
  job.vars.emplace_back("tag", text("{name}-{slice:04d}.{attempt}", names));
  job.vars.emplace_back("constant", text("1", names));
  const auto variables = attempt_variables(job, kThird);
  REQUIRE(variables);
  const auto value = [&](std::string_view name) {
    const std::string* found = variables->find(name);
    return found == nullptr ? "unset"s : *found;
  };
  CHECK(value("slice") == "30");
  CHECK(value("index") == "2");
  CHECK(value("attempt") == "4");
  CHECK(value("slot") == "5");
  CHECK(value("run") == "2026-11-21-a1");
  CHECK(value("name") == "correlate");
  CHECK(value("tag") == "correlate-0030.4");
  CHECK(value("constant") == "1");
  for (const std::string& name : builtin_variable_names()) CHECK(value(name) != "unset");
}

TEST_CASE("a var that does not expand is named in the error") {
  JobSpec job = job_over(items({"a", "b", "c"}));
  job.vars.emplace_back("tag", text("{item:05d}", names_for(job.slices)));
  const auto variables = attempt_variables(job, kThird);
  REQUIRE_FALSE(variables);
  CHECK(variables.error().message.starts_with("vars tag: {item:05d}: "));
  CHECK_FALSE(expand_attempt(spec_in("/s"), job, kThird));
}

TEST_CASE("every variable is in the environment, and the job's env overrides") {
  JobSpec job = job_over(items({"a", "b", "c d\n'e"}), "prog {item}");
  const auto names = names_for(job.slices, {"m_factor"});
  job.vars.emplace_back("m_factor", text("1", names));
  job.env.emplace_back("OMP_NUM_THREADS", text("{m_factor}", names));
  job.env.emplace_back("RUNNER_NAME", text("mine", names));
  job.env.emplace_back("EMPTY", text("", names));
  job.env.emplace_back("EMPTY", text("2", names));
  const auto attempt = expand_attempt(spec_in("/home/a/spec"), job, kThird);
  REQUIRE(attempt);
  const auto& env = attempt->env;
  CHECK(value_in(env, "RUNNER_SLICE") == job.slices.key(2));
  CHECK(value_in(env, "RUNNER_INDEX") == "2");
  CHECK(value_in(env, "RUNNER_ATTEMPT") == "4");
  CHECK(value_in(env, "RUNNER_SLOT") == "5");
  CHECK(value_in(env, "RUNNER_RUN_ID") == "2026-11-21-a1");
  CHECK(value_in(env, "RUNNER_NAME") == "mine");
  CHECK(value_in(env, "RUNNER_VAR_ITEM") == "c d\n'e");
  CHECK(value_in(env, "RUNNER_VAR_M_FACTOR") == "1");
  CHECK(value_in(env, "RUNNER_VAR_SLICE") == "unset");
  CHECK(value_in(env, "OMP_NUM_THREADS") == "1");
  CHECK(value_in(env, "EMPTY") == "2");
  CHECK(value_in(env, "SLURM_ARRAY_TASK_ID") == "unset");
  CHECK(attempt->command.argv == std::vector<std::string>{"prog", "c d\n'e"});
  CHECK(attempt->workdir == "/home/a/spec");
}

TEST_CASE("variables whose names differ only in case share one environment entry, the later one's") {
  JobSpec job = job_over(items({"a", "b", "c"}), "prog");
  job.vars.emplace_back("Item", text("x", names_for(job.slices)));
  const auto attempt = expand_attempt(spec_in("/s"), job, kThird);
  REQUIRE(attempt);
  CHECK(value_in(attempt->env, "RUNNER_VAR_ITEM") == "x");
}

TEST_CASE("a NUL in a variable keeps the attempt from starting, used or not") {
  const JobSpec job = job_over(items({"a", "b", "c\0d"s}), "prog");
  const auto attempt = expand_attempt(spec_in("/s"), job, kThird);
  REQUIRE_FALSE(attempt);
  CHECK(attempt.error().message.find("holds a NUL byte") != std::string::npos);
}

namespace {

/// Of one attempt, with env_compat.
std::vector<std::string> environment(SliceList slices, std::uint64_t index) {
  JobSpec job = job_over(std::move(slices), "prog");
  job.env_compat_slurm = true;
  AttemptContext context = kThird;
  context.slice = index;
  auto attempt = expand_attempt(spec_in("/s"), job, context);
  REQUIRE(attempt);
  return attempt->env;
}

}  // namespace

TEST_CASE("with env_compat slurm an attempt looks like an array task") {
  const auto regular = environment(numbers({{10, 40, 10}}), 2);
  CHECK(value_in(regular, "SLURM_ARRAY_TASK_ID") == "30");
  CHECK(value_in(regular, "SLURM_ARRAY_TASK_MIN") == "10");
  CHECK(value_in(regular, "SLURM_ARRAY_TASK_MAX") == "40");
  CHECK(value_in(regular, "SLURM_ARRAY_TASK_COUNT") == "4");
  CHECK(value_in(regular, "SLURM_ARRAY_TASK_STEP") == "10");
  CHECK(value_in(regular, "SLURM_PROCID") == "0");

  const auto irregular = environment(numbers({{1, 1, 1}, {4, 4, 1}, {7, 9, 1}}), 1);
  CHECK(value_in(irregular, "SLURM_ARRAY_TASK_ID") == "4");
  CHECK(value_in(irregular, "SLURM_ARRAY_TASK_MAX") == "9");
  CHECK(value_in(irregular, "SLURM_ARRAY_TASK_STEP") == "1");

  const auto named = environment(items({"a", "b", "c"}), 2);
  CHECK(value_in(named, "SLURM_ARRAY_TASK_ID") == "2");
  CHECK(value_in(named, "SLURM_ARRAY_TASK_MIN") == "0");
  CHECK(value_in(named, "SLURM_ARRAY_TASK_MAX") == "2");

  // One number for the array, one of its own for each task: programs name their scratch directories by it.
  const auto other = environment(items({"a", "b", "c"}), 1);
  CHECK(value_in(named, "SLURM_ARRAY_JOB_ID") == value_in(other, "SLURM_ARRAY_JOB_ID"));
  CHECK(value_in(named, "SLURM_JOB_ID") != value_in(other, "SLURM_JOB_ID"));
  CHECK(value_in(named, "SLURM_JOB_ID").find_first_not_of("0123456789") == std::string::npos);
}

TEST_CASE("paths start at the spec's directory") {
  JobSpec job = job_over(numbers({{0, 9, 1}}));
  const auto names = names_for(job.slices);
  const auto plain = expand_attempt(spec_in("/home/a/spec"), job, kThird);
  REQUIRE(plain);
  CHECK(plain->stdin_path.empty());
  CHECK(plain->stdout_path.empty());
  CHECK(plain->outputs.empty());

  job.stdin_path = text("in/{slice}.dat", names);
  job.stdout_path = text("/scratch/{slice}.csv", names);
  job.outputs = {text("out/{slice}.csv", names), text("../b", names)};
  const auto attempt = expand_attempt(spec_in("/home/a/spec"), job, kThird);
  REQUIRE(attempt);
  CHECK(attempt->stdin_path == "/home/a/spec/in/2.dat");
  CHECK(attempt->stdout_path == "/scratch/2.csv");
  CHECK(attempt->outputs == std::vector<std::string>{"/home/a/spec/out/2.csv", "/home/a/spec/../b"});
  CHECK(expand_attempt(spec_in("/"), job, kThird)->stdin_path == "/in/2.dat");
}

TEST_CASE("a path that expands to nothing keeps the attempt from starting") {
  JobSpec job = job_over(items({"a", "b", ""}), "prog");
  job.stdout_path = text("{item}", names_for(job.slices));
  const auto attempt = expand_attempt(spec_in("/s"), job, kThird);
  REQUIRE_FALSE(attempt);
  CHECK(attempt.error().message == "stdout: {item} expands to nothing");
}

TEST_CASE("a slice that the list does not have is no attempt") {
  const JobSpec job = job_over(items({"a", "b"}), "prog");
  const auto attempt = expand_attempt(spec_in("/s"), job, kThird);
  REQUIRE_FALSE(attempt);
  CHECK(attempt.error().message == "there is no slice with index 2: the list has 2");
}

TEST_CASE("a variable longer than the kernel takes keeps the attempt from starting, used or not") {
  const std::size_t fits = kMaxArgument - std::string("RUNNER_VAR_ITEM=").size();
  CHECK(expand_attempt(spec_in("/s"), job_over(items({"", "", std::string(fits, 'x')}), "prog"), kThird));
  const auto attempt =
      expand_attempt(spec_in("/s"), job_over(items({"", "", std::string(fits + 1, 'x')}), "prog"), kThird);
  REQUIRE_FALSE(attempt);
  CHECK(attempt.error().message ==
        "the environment variable RUNNER_VAR_ITEM is 131,072 bytes long, but the kernel takes at most 131,071 in one "
        "piece");
}

TEST_CASE("Slurm's numbers do not overflow where the slices are all the integers there are") {
  const auto all = environment(numbers({{INT64_MIN, INT64_MAX, 3}}), 2);
  CHECK(value_in(all, "SLURM_ARRAY_TASK_MIN") == "-9223372036854775808");
  CHECK(value_in(all, "SLURM_ARRAY_TASK_MAX") == "9223372036854775807");
  CHECK(value_in(all, "SLURM_ARRAY_TASK_STEP") == "3");
  const auto ends = environment(numbers({{INT64_MIN, INT64_MIN, 1}, {INT64_MAX, INT64_MAX, 1}, {5, 5, 1}}), 2);
  CHECK(value_in(ends, "SLURM_ARRAY_TASK_STEP") == "1");
}
