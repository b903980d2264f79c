#include "spec/job_rules.hpp"

#include <algorithm>
#include <cmath>

#include "util/text.hpp"

namespace runner::spec {
namespace {

constexpr std::int64_t kMaxRetries = 1'000'000;
constexpr std::int64_t kMaxFailed = 1'000'000'000'000;
constexpr double kMaxTimeoutPercent = 1'000'000;
constexpr double kMaxCpus = 1'000'000;

/// Outcomes another attempt can change; the others end a slice for reasons of their own.
const std::vector<std::string> kRetryable = {"failed",        "killed",      "timed_out",
                                             "out_of_memory", "not_started", "missing_output"};

/// A list of exit codes, each once.
std::optional<std::vector<int>> read_codes(const Node& list, Label label, IntLimits limits, Reader& reader) {
  std::vector<int> codes;
  bool is_good = true;
  for (const Node& item : list.items) {
    const auto code = reader.integer(item, label, limits);
    is_good = is_good && code;
    if (!code) continue;
    if (std::find(codes.begin(), codes.end(), *code) != codes.end()) {
      reader.error(item, quoted(label) + " names " + std::to_string(*code) + " twice");
      is_good = false;
      continue;  // else the list of those to compare with would grow without end
    }
    codes.push_back(static_cast<int>(*code));
  }
  if (!is_good) return std::nullopt;
  return codes;
}

bool is_number(const Node& node) {
  return node.kind == Node::Kind::scalar && util::parse_int(node.value).has_value();
}

/// A time, or `300%`: of the median.
void read_timeout(const Node& node, core::JobSpec& job, Reader& reader) {
  if (node.kind != Node::Kind::scalar || !node.value.ends_with('%')) {
    job.timeout = reader.duration(node, "timeout", false);
    return;
  }
  const auto percent = parse_percent(node.value);
  if (percent && *percent > 100 && *percent <= kMaxTimeoutPercent) {
    job.timeout_percent = *percent;
  } else {
    reader.error(node,
                 "`timeout` wants a time, or more than 100% of the median of the slices that succeeded, such as 300%, "
                 "not `" +
                     util::escape_for_display(node.value, 60) + "`");
  }
}

void read_success_codes(const Node& node, core::JobSpec& job, Reader& reader) {
  if (!reader.is_list(node, "success_codes", "[0]")) return;
  if (node.items.empty()) {
    reader.error(node, "`success_codes` is empty: no slice could ever succeed");
  } else if (auto codes = read_codes(node, "success_codes", {0, 255}, reader)) {
    job.success_codes = std::move(*codes);
  }
}

void read_retry_outcomes(const Node& node, core::JobSpec& job, Reader& reader) {
  std::vector<core::Outcome> outcomes;
  for (const Node& item : node.items) {
    const auto word = reader.word(item, "retry_on", kRetryable);
    if (!word) continue;
    const auto outcome = *core::outcome_from_name(*word);
    if (std::find(outcomes.begin(), outcomes.end(), outcome) != outcomes.end()) {
      reader.error(item, "`retry_on` names " + *word + " twice");
      continue;
    }
    outcomes.push_back(outcome);
  }
  job.retry.outcomes = std::move(outcomes);
}

void read_retry_codes(const Node& node, core::JobSpec& job, Reader& reader) {
  auto codes = read_codes(node, "retry_on", {0, 255}, reader);
  if (!codes) return;
  for (std::size_t i = 0; i < codes->size(); ++i) {
    if (std::find(job.success_codes.begin(), job.success_codes.end(), (*codes)[i]) == job.success_codes.end()) continue;
    reader.error(node.items[i],
                 "`retry_on` names " + std::to_string((*codes)[i]) + ", which is a success (success_codes)");
  }
  job.retry.exit_codes = std::move(*codes);
}

/// Outcomes or exit codes; success_codes must have been read.
void read_retry_on(const Node& node, core::JobSpec& job, Reader& reader) {
  if (!reader.is_list(node, "retry_on", "[failed, timed_out] or [75, 99]")) return;
  if (node.items.empty()) return reader.error(node, "`retry_on` is empty: leave out `retries` to retry nothing");
  const auto codes = std::count_if(node.items.begin(), node.items.end(), is_number);
  if (codes != 0 && static_cast<std::size_t>(codes) != node.items.size()) {
    return reader.error(node, "`retry_on` wants either outcomes or exit codes, not both");
  }
  if (codes == 0) return read_retry_outcomes(node, job, reader);
  read_retry_codes(node, job, reader);
}

void read_retries(const JobMap& map, core::JobSpec& job, Reader& reader) {
  if (const Node* node = map.find("retries")) {
    if (const auto n = reader.integer(*node, "retries", {0, kMaxRetries})) {
      job.retry.retries = static_cast<std::uint32_t>(*n);
    }
  }
  if (const Node* node = map.find("retry_delay")) {
    if (const auto delay = reader.duration(*node, "retry_delay", true)) job.retry.delay = *delay;
  }
  if (const Node* node = map.find("retry_delay_max")) {
    const auto max = reader.duration(*node, "retry_delay_max", true);
    if (max && *max < job.retry.delay) {
      reader.error(*node,
                   "`retry_delay_max` is less than `retry_delay`, which is " + util::format_duration(job.retry.delay));
    }
    if (max) job.retry.delay_max = *max;
  } else {
    job.retry.delay_max = std::max(job.retry.delay_max, job.retry.delay);
  }
  if (const Node* node = map.find("retry_on")) read_retry_on(*node, job, reader);
}

void read_needs_of_a_slice(const JobMap& map, core::JobSpec& job, Reader& reader) {
  if (const Node* node = map.find("cpus")) {
    if (const auto cpus = reader.positive_number(*node, "cpus", kMaxCpus)) {
      job.cpus_milli = std::max<std::int64_t>(1, std::llround(*cpus * 1000));
    }
  }
  if (const Node* node = map.find("memory")) job.memory = reader.size(*node, "memory", false);
  if (const Node* node = map.find("log_limit")) job.log_limit = reader.size(*node, "log_limit", false);
}

}  // namespace

std::optional<core::FailureLimit> read_failure_limit(const Node& node, Label label, Reader& reader) {
  if (node.kind != Node::Kind::scalar || !node.value.ends_with('%')) {
    const auto n = reader.integer(node, label, {0, kMaxFailed});
    if (!n) return std::nullopt;
    return core::FailureLimit{false, static_cast<double>(*n)};
  }
  const auto percent = parse_percent(node.value);
  if (percent && *percent <= 100) return core::FailureLimit{true, *percent};
  reader.error(node, quoted(label) + " wants a number of slices, or 0% to 100% of them, not `" +
                         util::escape_for_display(node.value, 60) + "`");
  return std::nullopt;
}

void read_rules(const JobMap& map, core::JobSpec& job, Reader& reader) {
  if (const Node* node = map.find("timeout")) read_timeout(*node, job, reader);
  if (const Node* node = map.find("grace")) {
    if (const auto grace = reader.duration(*node, "grace", true)) job.grace = *grace;
  }
  if (const Node* node = map.find("success_codes")) read_success_codes(*node, job, reader);
  read_retries(map, job, reader);
  if (const Node* node = map.find("max_failed")) job.max_failed = read_failure_limit(*node, "max_failed", reader);
  if (const Node* node = map.find("on_halt")) {
    if (const auto word = reader.word(*node, "on_halt", {"drain", "kill"})) {
      job.on_halt = *word == "kill" ? core::OnHalt::kill : core::OnHalt::drain;
    }
  }
  read_needs_of_a_slice(map, job, reader);
  if (const Node* node = map.find("env_compat")) {
    job.env_compat_slurm = reader.word(*node, "env_compat", {"slurm"}).has_value();
  }
}

}  // namespace runner::spec
