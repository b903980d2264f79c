#include "report/spool.hpp"

#include <fcntl.h>
#include <stdlib.h>  // mkostemp
#include <unistd.h>

#include <cerrno>

#include "util/private_file.hpp"

namespace runner::report {

namespace {

/// A file without a name; where the file system has none of those (NFS), one whose name is gone at once.
util::Result<util::Fd> unnamed_file(const std::string& directory) {
  auto fd = util::open_no_links(directory, O_TMPFILE | O_RDWR, 0600);
  if (fd || (fd.error().errno_value != EOPNOTSUPP && fd.error().errno_value != EISDIR)) return fd;
  std::string path = directory + "/spool.XXXXXX";
  util::Fd named(::mkostemp(path.data(), O_CLOEXEC));
  if (!named) return util::errno_error(path, errno);
  ::unlink(path.c_str());
  return named;
}

}  // namespace

util::Result<void> Spool::append(std::string_view piece) {
  if (broken_) return {};
  if (in_memory() && text_.size() + piece.size() <= memory_) {
    text_ += piece;
    size_ += piece.size();
    return {};
  }
  if (in_memory()) {
    if (auto moved = move_to_file(); !moved) {
      broken_ = true;
      return moved;
    }
  }
  if (auto written = util::write_all(file_.get(), piece, "cannot keep output in " + directory_); !written) {
    broken_ = true;
    return written;
  }
  size_ += piece.size();
  return {};
}

util::Result<void> Spool::move_to_file() {
  auto file = unnamed_file(directory_);
  if (!file) return file.error();
  if (auto written = util::write_all(file->get(), text_, "cannot keep output in " + directory_); !written) {
    return written;
  }
  file_ = std::move(*file);
  text_.clear();
  text_.shrink_to_fit();
  return {};
}

Spool::File Spool::take_file() {
  return {std::move(file_), size_};
}

}  // namespace runner::report
