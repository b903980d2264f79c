// The exit codes of runner, as `runner --help` and the README document them.
#pragma once

namespace runner::app {

enum ExitCode : int {
  kSucceeded = 0,     ///< every slice succeeded; nothing was left to do
  kSlicesFailed = 1,  ///< some slices did not
  kUsage = 2,         ///< wrong usage or spec; nothing was started
  kStopped = 3,       ///< stopped early: halted by max_failed, or cancelled
  kRecordFailed = 4,  ///< the record could not be kept, or data not be written
  kBug = 70,          ///< a bug in runner (EX_SOFTWARE)
  kLive = 75,         ///< another run of this spec is live (EX_TEMPFAIL)
  kSignalBase = 128,  ///< 128+n: ended by signal n
};

}  // namespace runner::app
