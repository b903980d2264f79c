// Finding the program to execute: the PATH search that execvp would do, but in the parent and by the child's PATH, so
// that "not found" can be told from other failures and is not repeated for every launch. Plain function; no state.
#pragma once

#include <string>

#include "util/result.hpp"

namespace runner::proc {

/// The path of `name`: itself if it has a slash, else the first executable file in `path` (a PATH value; nullptr: the
/// system's default). Relative PATH entries start at `workdir`. The error reads "cannot execute 'prog': ...".
util::Result<std::string> find_program(const std::string& name, const char* path, const std::string& workdir);

}  // namespace runner::proc
