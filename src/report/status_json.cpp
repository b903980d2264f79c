#include "report/status_json.hpp"

#include <fmt/chrono.h>

#include <ctime>

#include "report/json_writer.hpp"
#include "report/log_tail.hpp"

namespace runner::report {

namespace {

std::string utc(util::WallTime t) {
  const auto whole = std::chrono::floor<std::chrono::seconds>(t);
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:06d}Z", fmt::gmtime(whole.time_since_epoch().count()),
                     (t - whole).count());
}

void time_member(JsonWriter& json, std::string_view name, const std::optional<util::WallTime>& t) {
  json.key(name);
  if (t) {
    json.value(utc(*t));
  } else {
    json.null();
  }
}

void text_or_null(JsonWriter& json, std::string_view name, const std::string& text) {
  json.key(name);
  if (text.empty()) {
    json.null();
  } else {
    json.value(text);
  }
}

std::string raw_log_path(const ReportContext& context, const std::string& log) {
  return log.empty() || context.run_dir.empty() ? log : context.run_dir + "/" + log;
}

void slices_member(JsonWriter& json, std::string_view name, const core::IntervalSet& slices, std::uint32_t job,
                   const ReportContext& context) {
  json.key(name);
  json.begin_object();
  json.member("count", slices.count());
  json.member("selection", selection(context, job, slices));
  json.key("indices");
  json.begin_array();
  for (const auto& interval : slices.intervals()) json.pair(interval.first, interval.last);
  json.end_array();
  json.end_object();
}

void write_run(JsonWriter& json, const core::RunInfo& info) {
  json.key("run");
  json.begin_object();
  json.member("id", info.id);
  json.member("name", info.name);
  json.member("spec", info.spec_path);
  json.member("state", core::name(info.state));
  json.member("live", info.live);
  json.member("host", info.host);
  json.member("pid", info.pid);
  time_member(json, "started_at", info.started_at);
  time_member(json, "ended_at", info.ended_at);
  json.member("resumes", info.resumes);
  json.member("reason", info.reason);
  text_or_null(json, "containment", info.containment);
  json.end_object();
}

void write_failure(JsonWriter& json, const core::FailureGroup& group, std::uint32_t job, const ReportContext& context) {
  const auto number_if = [&](std::string_view name, core::Outcome outcome, int number) {
    json.key(name);
    if (group.outcome == outcome) {
      json.value(number);
    } else {
      json.null();
    }
  };
  json.begin_object();
  json.member("cause", group.cause);
  json.member("outcome", core::name(group.outcome));
  number_if("exit_code", core::Outcome::failed, group.exit_code);
  number_if("signal", core::Outcome::killed, group.signal);
  slices_member(json, "slices", group.slices, job, context);
  const core::AttemptRecord& example = group.example;
  json.key("example");
  json.begin_object();
  json.member("index", example.id.slice);
  json.member("key", example.key);
  json.member("attempt", example.id.number);
  json.member("detail", example.ending ? example.ending->detail : std::string());
  const std::string log = raw_log_path(context, example.log);
  text_or_null(json, "log", log);
  text_or_null(json, "last_line", last_line(context.run_dir, example.log));
  json.end_object();
  json.end_object();
}

void write_running(JsonWriter& json, const core::AttemptRecord& record, std::optional<util::Duration> median,
                   const ReportContext& context, util::WallTime now) {
  json.begin_object();
  json.member("index", record.id.slice);
  json.member("key", record.key);
  json.member("attempt", record.id.number);
  json.member("pid", record.pid);
  json.member("host", record.host);
  time_member(json, "started_at", record.started_at);
  text_or_null(json, "log", raw_log_path(context, record.log));
  json.key("progress");
  if (record.report.progress) {
    json.value(*record.report.progress, 4);
  } else {
    json.null();
  }
  text_or_null(json, "status", record.report.status.value_or(""));
  json.member("slow", record.started_at && core::is_slow(now - *record.started_at, median));
  json.end_object();
}

void write_job(JsonWriter& json, const StatusSource& source, std::uint32_t job) {
  const core::JobView& view = source.view.jobs[job];
  const ReportContext& context = source.context;
  json.begin_object();
  json.member("name", view.name());
  json.member("kind", core::name(view.kind()));
  json.member("state", core::name(view.state()));
  json.member("reason", view.reason());
  json.member("total", view.total());
  json.member("succeeded", view.succeeded());
  json.member("failed", view.failed());
  json.member("running", static_cast<std::uint64_t>(view.running().size()));
  json.member("waiting", view.waiting());
  json.member("retries", view.retries());
  json.key("total_runtime_s");
  json.value(util::seconds(view.total_runtime()), 3);
  json.key("median_runtime_s");
  const auto median = view.median_runtime();
  if (median) {
    json.value(util::seconds(*median), 3);
  } else {
    json.null();
  }
  json.key("outcomes");
  json.begin_object();
  for (const core::Outcome outcome : core::kOutcomes) json.member(core::name(outcome), view.count(outcome));
  json.end_object();
  slices_member(json, "failed_slices", view.failed_slices(), job, context);
  slices_member(json, "may_have_run", view.lost_slices(), job, context);
  slices_member(json, "waiting_slices", waiting_slices(source, job), job, context);
  json.key("failures");
  json.begin_array();
  for (const auto& group : view.failure_groups()) write_failure(json, group, job, context);
  json.end_array();
  json.key("running_attempts");
  json.begin_array();
  for (const auto& [slice, attempt] : view.running()) write_running(json, attempt.record, median, context, source.now);
  json.end_array();
  json.end_object();
}

}  // namespace

util::Result<void> write_status_json(const StatusSource& source, const Write& write) {
  JsonWriter json;
  json.begin_object();
  json.member("schema", 1);
  write_run(json, source.view.info);
  json.key("counters");
  json.begin_object();
  const core::CounterTotals counters = source.view.counters();
  for (const auto& [name, total] : counters.by_name()) {
    json.key(name);
    if (total.overflowed) {
      json.null();
    } else {
      json.value(total.value);
    }
  }
  json.end_object();
  json.key("jobs");
  json.begin_array();
  for (std::uint32_t j = 0; j < source.view.jobs.size(); ++j) write_job(json, source, j);
  json.end_array();
  const bool left = !source.view.is_complete();
  text_or_null(json, "resume",
               left && !source.view.info.live ? resume_command(source.context, source.view.info) : std::string());
  json.end_object();
  write(json.text());
  return {};
}

}  // namespace runner::report
