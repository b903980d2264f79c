#include "attempt_log.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "util/private_file.hpp"

namespace runner::app {
namespace {

/// The name a log gets in the end, which the record does not have before.
std::string final_name(const store::StoredRun& run, const core::AttemptRecord& record) {
  const bool is_main = record.id.job == 0 && !has_several_jobs(run);
  const std::string job = is_main || record.id.job >= run.jobs.size() ? std::string() : run.jobs[record.id.job].name;
  return store::slice_log_path(job, record.id.slice, record.key, record.id.number);
}

/// Of an attempt whose end is not known the record may have the draft, or no file yet.
bool may_move(const core::AttemptRecord& record) {
  const bool has_ended = record.ending && record.ending->outcome != core::Outcome::lost;
  return record.log.starts_with("slices/.") || (record.log.empty() && !has_ended);
}

}  // namespace

util::Result<AttemptLog> AttemptLog::open(const RecordedRun& run, const core::AttemptRecord& record) {
  AttemptLog log;
  auto dir = util::open_directory(run.state_dir.path());
  if (!dir) return dir.error();
  log.dir_ = std::move(*dir);
  log.below_ = "runs/" + run.stored.info.id + "/";
  if (may_move(record)) {
    log.log_ = final_name(run.stored, record);
    log.draft_ = record.log;
    if (auto opened = log.open_moving(); !opened) return opened.error();
  } else if (!record.log.empty()) {
    auto file = log.open_named(record.log, O_RDONLY | O_NONBLOCK);
    if (!file) return file.error();
    log.file_ = std::move(*file);
  }
  return log;
}

std::string AttemptLog::read(std::size_t most) {
  std::string text(most, '\0');
  const ssize_t n = ::read(file_.get(), text.data(), text.size());
  text.resize(n > 0 ? static_cast<std::size_t>(n) : 0);
  const bool is_its = text.empty() || log_.empty() || has_name(draft_) || has_name(log_);
  return is_its ? text : std::string();
}

util::Result<util::Fd> AttemptLog::open_named(const std::string& name, int flags) const {
  return util::open_beneath(dir_, below_ + name, flags);
}

/// The log's name comes first: a runner older than this one gave its drafts' names to others. It comes again, because
/// the file may have moved there while we looked for the draft.
util::Result<void> AttemptLog::open_moving() {
  for (const auto* name : {&log_, &draft_, &log_}) {
    if (name->empty()) continue;
    auto file = open_named(*name, O_RDONLY | O_NONBLOCK);
    if (!file && file.error().errno_value != ENOENT) return file.error();
    if (!file) continue;
    file_ = std::move(*file);
    return {};
  }
  return {};
}

bool AttemptLog::has_name(const std::string& name) const {
  if (name.empty()) return false;
  const auto named = open_named(name, O_PATH);
  struct stat ours {};
  struct stat other {};
  return named && ::fstat(file_.get(), &ours) == 0 && ::fstat(named->get(), &other) == 0 &&
         ours.st_ino == other.st_ino && ours.st_dev == other.st_dev;
}

}  // namespace runner::app
