// Files and directories that are their owner's alone, and that no symbolic link leads away from: what the state
// directory is made with. Plain functions; no state. A path that is given here has no symbolic link in it (resolve what
// is above the state directory first); one that turns up all the same is an error, ELOOP, and is not followed.
// Kernels before 5.6 (no openat2(2)) look at the last name of a path only.
#pragma once

#include <string>

#include "util/fd.hpp"

namespace runner::util {

/// As open_file().
Result<Fd> open_no_links(const std::string& path, int flags, mode_t mode = 0);
/// Likewise `name` below the directory `dir`; an absolute name, or one that leads out with "..", is an error.
Result<Fd> open_beneath(const Fd& dir, const std::string& name, int flags);
/// A directory, for *at() calls.
Result<Fd> open_directory(const std::string& path);
/// Made 0600, whatever the umask, where it is not there; one that is there keeps the mode it has,
/// and must not be a FIFO.
Result<Fd> open_private(const std::string& path, int flags);
/// Makes one directory, 0700 whatever the umask; one that is there keeps the mode it has. True: it is new.
Result<bool> make_private_directory(const std::string& path);

}  // namespace runner::util
