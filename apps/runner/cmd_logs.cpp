// runner logs: the output of one slice, of a live, ended or crashed run; -f follows it as it grows.
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "attempt_log.hpp"
#include "commands.hpp"
#include "common.hpp"
#include "exit_codes.hpp"
#include "util/text.hpp"

namespace runner::app {

namespace {

constexpr auto kPollPeriod = std::chrono::milliseconds(100);
constexpr std::size_t kPiece = 1U << 16U;

struct SliceRef {
  std::uint32_t job = 0;
  std::uint64_t slice = 0;
};

/// As --slices takes it, too: an index where keys are no numbers, @3 anywhere, JOB/3 also of a job that is alone.
std::optional<SliceRef> find_in_job(const core::JobSpec& job, std::uint32_t number, const std::string& key) {
  if (const auto index = job.slices.find(key)) return SliceRef{number, *index};
  const auto selected = job.slices.select(key);
  if (selected && selected->count() == 1) return SliceRef{number, selected->intervals().front().first};
  const std::string prefix = job.name + "/";
  return key.starts_with(prefix) ? find_in_job(job, number, key.substr(prefix.size())) : std::nullopt;
}

/// "there are 10 slices: 0, 1, 2, ...", as this command takes them.
std::string slices_there_are(const RecordedRun& run) {
  constexpr std::size_t kExamples = 3;
  const bool several = has_several_jobs(run.stored);
  std::uint64_t total = 0;
  std::vector<std::string> examples;
  for (std::size_t j = 0; j < run.stored.jobs.size(); ++j) {
    const auto& job = run.stored.jobs[j];
    if (job.kind != core::JobKind::slices) continue;
    total += job.slices;
    for (std::uint64_t s = 0; run.spec && s < job.slices && examples.size() < kExamples; ++s) {
      const std::string key = run.spec->jobs[j].slices.key(s);
      examples.push_back(util::escape_for_display(several ? job.name + "/" + key : key, 80));
    }
  }
  std::string text = "there " + std::string(total == 1 ? "is " : "are ") + report::count_of(total, "slice", "slices");
  for (const std::string& example : examples) text += (&example == &examples.front() ? ": " : ", ") + example;
  return text + (!examples.empty() && total > examples.size() ? ", ..." : "");
}

/// The slice with that key, of several jobs JOB/KEY, or JOB where it has only one; without a spec any more, the one
/// whose record has it.
std::optional<SliceRef> find_slice(RecordedRun& run, const std::string& name) {
  const auto& jobs = run.stored.jobs;
  for (std::uint32_t j = 0; j < jobs.size(); ++j) {
    if (jobs[j].kind != core::JobKind::slices && jobs[j].name == name) return SliceRef{j, 0};
  }
  std::string key = name;
  std::optional<std::uint32_t> of_job;
  if (has_several_jobs(run.stored)) {
    const std::size_t slash = name.find('/');
    const auto job = std::ranges::find(jobs, name.substr(0, slash), &store::NewRun::Job::name);
    if (job == jobs.end() || (slash == std::string::npos && job->slices != 1)) return std::nullopt;
    of_job = static_cast<std::uint32_t>(job - jobs.begin());
    if (slash == std::string::npos) return SliceRef{*of_job, 0};
    key = name.substr(slash + 1);
  }
  if (run.spec) return find_in_job(run.spec->jobs[of_job.value_or(0)], of_job.value_or(0), key);
  std::optional<SliceRef> found;
  (void)run.reader->last_attempts(run.stored.info.id, [&](const core::AttemptRecord& record) {
    if (record.key == key && record.id.job == of_job.value_or(record.id.job))
      found = SliceRef{record.id.job, record.id.slice};
  });
  return found;
}

/// The attempt that is meant as it is recorded now: the one named, or the last.
std::optional<core::AttemptRecord> find_attempt(RecordedRun& run, const SliceRef& slice,
                                                const std::optional<std::uint32_t>& number) {
  auto attempts = run.reader->attempts_of(run.stored.info.id, slice.job, slice.slice);
  if (!attempts) {
    complain(attempts.error().message);
    return std::nullopt;
  }
  for (auto it = attempts->rbegin(); it != attempts->rend(); ++it) {
    if (!number || it->id.number == *number) return std::move(*it);
  }
  return std::nullopt;
}

/// stdout for a slice's bytes: as they are, or safe to see where it is a terminal. False when stdout refuses.
class Output {
 public:
  bool write(std::string_view piece) { return escaped_ ? print(escape_(piece)) : print(piece); }
  bool finish() { return print(escape_.finish()) && flush_stdout(); }

 private:
  bool escaped_ = ::isatty(STDOUT_FILENO) == 1;
  util::StreamEscaper escape_;
};

/// Prints what there is and was not read yet; false when stdout refuses.
bool copy_rest(AttemptLog& log, Output& output) {
  while (true) {
    const std::string piece = log.read(kPiece);
    if (piece.empty()) return output.finish();
    if (!output.write(piece)) return false;
  }
}

std::string attempt_text(const core::AttemptRecord& record) {
  return "slice " + util::escape_for_display(record.key) + ", attempt " + std::to_string(record.id.number);
}

/// Follows a running attempt until it has ended.
int follow(RecordedRun& run, const SliceRef& slice, std::uint32_t number, AttemptLog& log, Output& output) {
  while (true) {
    auto now = find_attempt(run, slice, number);
    if (!now) return kRecordFailed;
    const bool is_over = now->ending || !run.state_dir.owner();
    if (is_over) return copy_rest(log, output) ? kSucceeded : kRecordFailed;
    const std::string fresh = log.read(kPiece);
    if (!output.write(fresh) || !flush_stdout()) return kRecordFailed;
    if (fresh.size() < kPiece) std::this_thread::sleep_for(kPollPeriod);
  }
}

/// Why an attempt has no log: "wrote nothing", or what became of its output instead.
std::string no_output_text(const RecordedRun& run, const core::AttemptRecord& record) {
  const auto outcome = record.ending ? std::optional(record.ending->outcome) : std::nullopt;
  if (outcome == core::Outcome::not_started || record.was_cancelled_before_start()) {
    return "was not started" + (record.ending->detail.empty() ? "" : ": " + record.ending->detail) +
           (record.id.number > 1 ? "; what it wrote before that: --attempt " + std::to_string(record.id.number - 1)
                                 : "");
  }
  const report::ReportContext context{.labels = {},
                                      .stdout_of = stdout_of(run.spec ? &*run.spec : nullptr, run.stored.info.id),
                                      .run_dir = {},
                                      .resume_command = {},
                                      .json_command = {}};
  return record.ending ? report::nothing_logged(context, record) : "has written nothing to its log";
}

}  // namespace

int logs(const LogsCommand& command) {
  auto found = find_recorded_run(command.common, command.run_id);
  if (const auto* code = std::get_if<ExitCode>(&found)) return *code;
  auto* const run = &std::get<RecordedRun>(found);
  const auto slice = find_slice(*run, command.slice);
  if (!slice) {
    const bool several = has_several_jobs(run->stored);
    complain("no slice '" + util::escape_for_display(command.slice) + "' in run " + run->stored.info.id +
             (several ? "; it has several jobs, whose slices are called JOB/SLICE" : "") + "; " +
             slices_there_are(*run));
    return kUsage;
  }
  auto record = find_attempt(*run, *slice, command.attempt);
  while (command.follow && run->live && (!record || (!record->ending && record->pid == 0)) && run->state_dir.owner()) {
    std::this_thread::sleep_for(kPollPeriod);
    record = find_attempt(*run, *slice, command.attempt);
  }
  if (!record) {
    complain("slice " + util::escape_for_display(command.slice) +
             (command.attempt ? " has no attempt " + std::to_string(*command.attempt) : " has not run") + " in run " +
             run->stored.info.id);
    return kUsage;
  }
  auto log = AttemptLog::open(*run, *record);
  if (!log) {
    complain("the log of " + attempt_text(*record) + " is gone: " + log.error().message);
    return kRecordFailed;
  }
  if (!log->is_open()) {
    if (command.common.verbosity >= 0) complain(attempt_text(*record) + " " + no_output_text(*run, *record));
    return kSucceeded;
  }
  Output output;
  if (command.follow && !record->ending && run->live) return follow(*run, *slice, record->id.number, *log, output);
  return copy_rest(*log, output) ? kSucceeded : kRecordFailed;
}

}  // namespace runner::app
