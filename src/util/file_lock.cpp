#include "util/file_lock.hpp"

#include <unistd.h>

#include <cerrno>

namespace runner::util {

struct flock file_lock(short type, off_t first, off_t length) {
  struct flock lock {};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  lock.l_start = first;
  lock.l_len = length;
  return lock;
}

int try_lock(int fd, struct flock lock) {
  int result = -1;
  do {
    result = ::fcntl(fd, F_OFD_SETLK, &lock);
  } while (result != 0 && errno == EINTR);
  if (result == 0) return 0;
  return errno == EACCES ? EAGAIN : errno;
}

}  // namespace runner::util
