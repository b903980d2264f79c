// RunLog: what runner says, to two spdlog sinks: run.log (asynchronous, by a thread of its own) and the console. Each
// has a pattern and a level of its own. Owned by the run (console alone: by a subcommand); single-threaded: every
// function is called from the loop's thread, and so is the console callback. Never blocks on the disk unless thousands
// of lines are behind, never fails a run: a log that cannot be written is said once on the console.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "core/event.hpp"
#include "core/spec.hpp"
#include "util/result.hpp"

namespace runner::log {

enum class Level : std::uint8_t { trace, debug, info, warn, error, off };
/// "trace", "debug", "info", "warn" (or "warning"), "error", "off"
std::optional<Level> parse_level(std::string_view text);

/// An spdlog pattern. %n is the system ("correlate/17"), %v what is said of it, %* "warning: " or "error: " where it
/// is one.
inline constexpr std::string_view kDefaultPattern = "%Y-%m-%d %H:%M:%S.%f [%n] %*%v";
inline constexpr std::string_view kConsolePattern = "runner: %v";

/// Where warnings and errors of runner itself go beside the file.
struct Console {
  Level level = Level::warn;  ///< -q: error, -v: info, -vv: debug
  /// Takes one formatted line, newline included; unset: stderr. A progress line puts itself out of the way here.
  std::function<void(std::string_view line)> write;
};

class RunLog {
 public:
  explicit RunLog(Console console = {});
  /// As close().
  ~RunLog();
  RunLog(const RunLog&) = delete;
  RunLog& operator=(const RunLog&) = delete;

  /// From now on everything also goes to the file `path` (0600, appended to); `name` is the run's. One RunLog with a
  /// file per process at a time. What was queued survives a fatal signal and exit(); SIGKILL costs the last 20 ms.
  [[nodiscard]] util::Result<void> open(const std::string& path, const core::LogSpec& spec, std::string_view name);
  /// Writes everything, closes the file and ends the thread. The console stays.
  void close();

  /// File, and console by its level. Foreign bytes in `text` are escaped.
  void line(Level level, std::string_view text);
  void warn(std::string_view text) { line(Level::warn, text); }
  void error(std::string_view text) { line(Level::error, text); }

  /// File only: "<time> [<name>] pid:<pid> <state>", and ", <detail>" if there is one.
  void transition(util::WallTime at, std::string_view name, int pid, core::State state, std::string_view detail = {},
                  Level severity = Level::info);
  /// Whether run.log takes lines of that level.
  [[nodiscard]] bool takes(Level severity) const;
  /// The transition an event tells of; what a slice is before it runs is for Level::debug. Its detail is how an attempt
  /// ended (unless it succeeded), a retry, the reason.
  void event(const core::Event& event);

 private:
  struct File;
  struct ConsoleSink;
  void say_trouble();

  std::unique_ptr<ConsoleSink> console_;
  std::unique_ptr<File> file_;
};

}  // namespace runner::log
