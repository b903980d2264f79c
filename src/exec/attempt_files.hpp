// The files an attempt is given and must leave behind: stdin, stdout, declared outputs. Plain functions; no state.
#pragma once

#include <ctime>
#include <string>

#include "core/spec.hpp"
#include "util/clock.hpp"
#include "util/fd.hpp"

namespace runner::exec {

/// Opens the attempt's stdin. The error reads "cannot read stdin in/3.dat: ...".
util::Result<util::Fd> open_stdin(const core::ExpandedAttempt& attempt);
/// Opens (creates, empties) the attempt's stdout and makes the directories above it.
util::Result<util::Fd> open_stdout(const core::ExpandedAttempt& attempt);

/// The time by the clock that file systems stamp files with, which runs behind the precise one.
timespec file_time_now();
/// When an attempt began that was launched `elapsed` ago, by file_time_now(): `started`, or an earlier time where that
/// clock was set back meanwhile, and stamps files with it.
timespec not_after(const timespec& started, const timespec& now, util::Duration elapsed);
/// "" if every declared output exists and is no older than `started` (by file_time_now()), else what is wrong:
/// "missing output out/3.csv".
std::string check_outputs(const core::ExpandedAttempt& attempt, const timespec& started);

}  // namespace runner::exec
