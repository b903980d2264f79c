// Locks on files and on single bytes of them, owned by the open file description: not, as F_SETLK's, lost when any
// descriptor of the file is closed. They end with the last descriptor of the description. Plain functions; no state.
#pragma once

#include <fcntl.h>

namespace runner::util {

/// `type` (F_RDLCK, F_WRLCK, F_UNLCK) for `length` bytes from `first`; 0: to the end, wherever that will be.
struct flock file_lock(short type, off_t first = 0, off_t length = 0);

/// Takes it, or gives it back, without waiting. 0, or an errno; EAGAIN: others have it.
int try_lock(int fd, struct flock lock);

}  // namespace runner::util
