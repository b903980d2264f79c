// The json format: the whole state of a run as one document. The schema is stable: members are only ever added, and
// `schema` is raised if one must change. Times are UTC, "2026-11-21T16:43:28.843830Z"; durations are seconds.
//   {schema: 1,
//    run: {id, name, spec, state, live, host, pid, started_at, ended_at|null, resumes, reason},
//    jobs: [{name, kind, state, reason, total, succeeded, failed, running, waiting, retries, total_runtime_s,
//            median_runtime_s|null,
//            outcomes: {<outcome>: count},
//            failed_slices: SLICES, may_have_run: SLICES, waiting_slices: SLICES,
//            failures: [{cause, outcome, exit_code|null, signal|null, slices: SLICES,
//                        example: {index, key, attempt, detail, log|null, last_line|null}}],
//            running_attempts: [{index, key, attempt, pid, host, started_at|null, log|null, progress|null,
//                                status|null, slow}]}],
//    resume: "command"|null}
// SLICES is {count, selection, indices: [[first, last], ...]}: `selection` is for --slices, `indices` are 0-based and
// inclusive. `failed` counts every final outcome but succeeded. A state of `running` that is not live: the runner died.
// `resume` is null when nothing is left or the run is live. Keys need not be valid UTF-8 (U+FFFD stands for what is
// not): the index identifies a slice.
#pragma once

#include "report/format.hpp"

namespace runner::report {

util::Result<void> write_status_json(const StatusSource& source, const Write& write);

}  // namespace runner::report
