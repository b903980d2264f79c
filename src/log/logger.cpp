#include "log/logger.hpp"

#include <spdlog/async_logger.h>
#include <spdlog/details/null_mutex.h>
#include <spdlog/details/thread_pool.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/base_sink.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <utility>

#include "log/backlog.hpp"
#include "log/crash_drain.hpp"
#include "log/rotating_file.hpp"
#include "util/signals.hpp"
#include "util/text.hpp"
#include "util/units.hpp"

namespace runner::log {
namespace {

constexpr std::size_t kQueue = 8192;
constexpr std::size_t kMaxText = 4000;  // bytes of a line's text, escaped

// Waking a thread for every line would cost a small run's slices some percent of their time. Once it has caught up
// and flushed, the logging thread lingers this long, so that it wakes at most 50 times a second.
constexpr std::chrono::milliseconds kLinger{20};

using Sink = spdlog::sinks::base_sink<spdlog::details::null_mutex>;  // each sink is used by one thread

spdlog::level::level_enum to_spdlog(Level level) {
  switch (level) {
    case Level::trace:
      return spdlog::level::trace;
    case Level::debug:
      return spdlog::level::debug;
    case Level::info:
      return spdlog::level::info;
    case Level::warn:
      return spdlog::level::warn;
    case Level::error:
      return spdlog::level::err;
    case Level::off:
      return spdlog::level::off;
  }
  return spdlog::level::off;
}

/// %*: "warning: " or "error: ", so that the default pattern needs no column for a level that is nearly always info.
class SeverityFlag final : public spdlog::custom_flag_formatter {
 public:
  void format(const spdlog::details::log_msg& msg, const std::tm& /*time*/, spdlog::memory_buf_t& out) override {
    std::string_view text;
    if (msg.level == spdlog::level::warn) text = "warning: ";
    if (msg.level >= spdlog::level::err) text = "error: ";
    out.append(text.data(), text.data() + text.size());
  }
  [[nodiscard]] std::unique_ptr<custom_flag_formatter> clone() const override {
    return std::make_unique<SeverityFlag>();
  }
};

std::unique_ptr<spdlog::formatter> make_formatter(std::string_view pattern) {
  auto formatter = std::make_unique<spdlog::pattern_formatter>();
  formatter->add_flag<SeverityFlag>('*').set_pattern(std::string(pattern));
  return formatter;
}

/// Runs on the logging thread.
class FileSink final : public Sink {
 public:
  FileSink(RotatingFile file, Backlog& backlog) : file_(std::move(file)), backlog_(backlog) {}

  [[nodiscard]] const RotatingFile& file() const { return file_; }
  // For the loop's thread, while the logging thread works.
  [[nodiscard]] int failure() const { return failure_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t dropped() const { return dropped_.load(std::memory_order_relaxed); }

 protected:
  void sink_it_(const spdlog::details::log_msg& msg) override {
    spdlog::memory_buf_t line;
    formatter_->format(msg, line);
    file_.append({line.data(), line.size()});
    ++taken_;
    const bool caught_up = taken_ >= backlog_.queued_lines();
    if (caught_up || msg.level >= spdlog::level::warn) flush_();
    if (caught_up) backlog_.linger(kLinger);
  }
  void flush_() override {
    file_.flush();
    if (file_.failure() != 0) failure_.store(file_.failure(), std::memory_order_relaxed);
    dropped_.store(file_.dropped(), std::memory_order_relaxed);
    backlog_.flushed(taken_);
  }

 private:
  RotatingFile file_;
  Backlog& backlog_;
  std::uint64_t taken_ = 0;
  std::atomic<int> failure_{0};
  std::atomic<std::uint64_t> dropped_{0};
};

class CallbackSink final : public Sink {
 public:
  explicit CallbackSink(std::function<void(std::string_view)> write) : write_(std::move(write)) {}

 protected:
  void sink_it_(const spdlog::details::log_msg& msg) override {
    spdlog::memory_buf_t line;
    formatter_->format(msg, line);
    write_({line.data(), line.size()});
  }
  void flush_() override {}

 private:
  std::function<void(std::string_view)> write_;
};

void write_to_stderr(std::string_view line) {
  (void)util::write_all(STDERR_FILENO, line, "stderr");  // there is nobody left to tell
}

}  // namespace

struct RunLog::ConsoleSink {
  spdlog::logger logger;
};

// Members are destroyed from the last: the handlers go before the thread that they wait for, that before its sink.
struct RunLog::File {
  std::string path;
  std::string name;
  Level level = Level::info;
  Backlog backlog;
  std::atomic<pid_t> thread{0};
  std::shared_ptr<FileSink> sink;
  std::shared_ptr<spdlog::async_logger> logger;
  std::shared_ptr<spdlog::details::thread_pool> pool;
  std::optional<CrashDrain> crash_drain;
  bool trouble_said = false;

  void put(util::WallTime at, std::string_view system, Level severity, std::string_view text) {
    if (severity < level) return;
    // Straight to the pool: spdlog's own log() has no place for the time at which an event happened.
    const spdlog::details::log_msg msg(at, {}, {system.data(), system.size()}, to_spdlog(severity),
                                       {text.data(), text.size()});
    pool->post_log(std::shared_ptr(logger), msg, spdlog::async_overflow_policy::block);
    backlog.queued();
    const bool far_behind = backlog.queued_lines() - backlog.flushed_lines() > kQueue / 2;
    if (severity >= Level::warn || far_behind) backlog.hurry();
  }
};

std::optional<Level> parse_level(std::string_view text) {
  constexpr std::array<std::pair<std::string_view, Level>, 7> kNames = {{{"trace", Level::trace},
                                                                         {"debug", Level::debug},
                                                                         {"info", Level::info},
                                                                         {"warn", Level::warn},
                                                                         {"warning", Level::warn},
                                                                         {"error", Level::error},
                                                                         {"off", Level::off}}};
  for (const auto& [name, level] : kNames)
    if (name == text) return level;
  return std::nullopt;
}

RunLog::RunLog(Console console) {
  auto write = console.write ? std::move(console.write) : write_to_stderr;
  auto sink = std::make_shared<CallbackSink>(std::move(write));
  sink->set_formatter(make_formatter(kConsolePattern));
  console_ = std::make_unique<ConsoleSink>(ConsoleSink{spdlog::logger("console", std::move(sink))});
  console_->logger.set_level(to_spdlog(console.level));
}

RunLog::~RunLog() {
  close();
}

util::Result<void> RunLog::open(const std::string& path, const core::LogSpec& spec, std::string_view name) {
  const auto level = parse_level(spec.level);
  if (!level) return util::Error{"log level '" + spec.level + "': use trace, debug, info, warn, error or off"};
  auto rotating = RotatingFile::open(path, {spec.max_size, spec.max_files});
  if (!rotating) return rotating.error();

  close();
  file_ = std::make_unique<File>();
  file_->path = path;
  file_->name = util::escape_for_display(name);
  file_->level = *level;
  file_->sink = std::make_shared<FileSink>(std::move(*rotating), file_->backlog);
  file_->sink->set_formatter(make_formatter(spec.pattern.empty() ? kDefaultPattern : std::string_view(spec.pattern)));
  const util::BlockedSignals blocked;
  file_->pool = std::make_shared<spdlog::details::thread_pool>(kQueue, 1, [&thread = file_->thread] {
    thread = ::gettid();
    thread.notify_one();
  });
  file_->thread.wait(0);
  file_->logger = std::make_shared<spdlog::async_logger>("runner", file_->sink, file_->pool);
  file_->crash_drain.emplace(file_->backlog, file_->sink->file(), file_->thread);
  return {};
}

void RunLog::close() {
  if (!file_) return;
  file_->backlog.hurry_for_good();
  file_->pool.reset();   // takes all that is queued, then joins
  file_->sink->flush();  // once more what the disk refused, if anything
  say_trouble();
  if (const auto dropped = file_->sink->dropped(); dropped != 0)
    console_->logger.error("{}: {} lines could not be written", util::escape_for_display(file_->path), dropped);
  file_.reset();
}

void RunLog::say_trouble() {
  if (file_->trouble_said || file_->sink->failure() == 0) return;
  file_->trouble_said = true;
  const auto trouble = util::errno_error(util::escape_for_display(file_->path), file_->sink->failure());
  console_->logger.error("{}; the run goes on, this log may have gaps", trouble.message);
}

void RunLog::line(Level level, std::string_view text) {
  const std::string safe = util::escape_for_display(text, kMaxText);
  console_->logger.log(to_spdlog(level), "{}", safe);
  if (!file_) return;
  file_->put(util::wall_now(), file_->name, level, safe);
  say_trouble();
}

bool RunLog::takes(Level severity) const {
  return file_ && file_->level <= severity;
}

void RunLog::transition(util::WallTime at, std::string_view name, int pid, core::State state, std::string_view detail,
                        Level severity) {
  if (!takes(severity)) return;
  std::string text = "pid:" + std::to_string(pid) + " ";
  text += core::name(state);
  if (!detail.empty()) text += ", " + util::escape_for_display(detail, kMaxText);
  file_->put(at, util::escape_for_display(name), severity, text);
  say_trouble();
}

void RunLog::event(const core::Event& event) {
  if (!file_) return;
  std::string detail;
  const auto add = [&detail](std::string_view text) { (detail += detail.empty() ? "" : ", ") += text; };
  if (event.ending && event.ending->outcome != core::Outcome::succeeded) add(core::describe(*event.ending));
  if (event.retry_in) add("again in " + util::format_duration_short(*event.retry_in));
  if (!event.reason.empty()) add(event.reason);
  const bool is_early = event.state == core::State::initial || event.state == core::State::ready;
  const Level severity = event.kind == core::SystemKind::slice && is_early ? Level::debug : Level::info;
  transition(event.at, event.name, event.pid, event.state, detail, severity);
}

}  // namespace runner::log
