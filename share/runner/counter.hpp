// Counters of a run, for programs that are slices of it: `runner::Counter rows("rows"); ++rows;`. C++17, gcc or clang,
// Linux, this file alone. What an attempt counts is added to the run's totals when it has succeeded, else dropped.
// Outside of a run nothing is counted. Adding is one compare-and-swap in shared memory, from any number of threads and
// processes at once, also after fork(). A Counter is a handle: those of one name are the same counter.
//
// The file, one for each attempt, is named by RUNNER_COUNTERS and made by the first who counts; whoever writes programs
// for other languages needs to know (all numbers as this machine has them):
//   bytes 0-7 "runcount", 8-11 the version, 1; 12-15 the size of a cell, 64; up to 63: zero
//   then cells: bytes 0-7 the value, signed; 8-15 whose it is: 1 everybody's, 2 one process's; 16-63 a name, which ends
//   in zeros. The value of a counter is the sum over all cells of its name.
// A cell is appended, by pwrite(2) of all of it, while byte 0 of the file is locked (F_OFD_SETLKW; unlock it: a mapping
// outlives close(2), and so would the lock). Values of cells of kind 1 are changed by atomic operations only. A cell of
// kind 2 belongs to who holds a lock (F_OFD_SETLK) on its first byte, who alone writes its value; when that is gone,
// the next may take it with what is in it. Cells never go away.
#pragma once

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <mutex>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

namespace runner {

namespace counter_file {

struct Header {
  char magic[8];
  std::uint32_t version;
  std::uint32_t cell_size;
  char zeros[48];
};
struct Cell {
  std::int64_t value;
  std::uint64_t kind;
  char name[48];
};
static_assert(sizeof(Header) == 64 && sizeof(Cell) == 64, "a page holds whole cells");

constexpr std::string_view kMagic = "runcount";
constexpr std::uint32_t kVersion = 1;
constexpr std::uint64_t kShared = 1;
constexpr std::uint64_t kOwned = 2;
constexpr std::size_t kMaxCells = 16384;

/// 1 to 47 letters, digits and any of _ . - / :, the first a letter, a digit or '_'.
inline bool is_name(std::string_view name) {
  const auto is_word = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
  };
  if (name.empty() || name.size() >= sizeof(Cell::name) || !is_word(name.front())) return false;
  for (const char c : name) {
    if (!is_word(c) && c != '.' && c != '-' && c != '/' && c != ':') return false;
  }
  return true;
}

inline std::string_view name_of(const Cell& cell) {
  return {cell.name, ::strnlen(cell.name, sizeof cell.name)};
}

/// Adds unless the sum does not fit; whether it did.
inline bool add(std::int64_t* value, std::int64_t n) {
  std::int64_t before = __atomic_load_n(value, __ATOMIC_RELAXED);
  std::int64_t after = 0;
  do {
    if (__builtin_add_overflow(before, n, &after)) return false;
  } while (!__atomic_compare_exchange_n(value, &before, after, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
  return true;
}

[[noreturn]] inline void fail(int error, const std::string& what) {
  throw std::system_error(error, std::generic_category(), what);
}

/// An attempt's file while cells are looked for or appended: open and locked.
class Editor {
 public:
  explicit Editor(const char* path) : path_(path), fd_(open()) {
    int result = -1;
    do {
      result = lock(F_WRLCK);
    } while (result != 0 && errno == EINTR);
    if (result != 0) fail_and_close("cannot lock ");
  }
  ~Editor() {
    lock(F_UNLCK);  // close() does not do it: what is mapped keeps the open file alive
    ::close(fd_);
  }
  Editor(const Editor&) = delete;
  Editor& operator=(const Editor&) = delete;

  /// Where in the file the cell of this name is that everybody shares.
  off_t find_or_append(std::string_view name) {
    struct stat info {};
    if (::fstat(fd_, &info) != 0) fail(errno, path_);
    if (info.st_size == 0) {
      Header header{};
      std::memcpy(header.magic, kMagic.data(), sizeof header.magic);
      header.version = kVersion;
      header.cell_size = sizeof(Cell);
      write(&header, 0);
      info.st_size = sizeof header;
    }
    Header header{};
    if (::pread(fd_, &header, sizeof header, 0) != sizeof header || info.st_size % off_t{sizeof(Cell)} != 0 ||
        std::string_view(header.magic, sizeof header.magic) != kMagic || header.version != kVersion ||
        header.cell_size != sizeof(Cell)) {
      fail(EINVAL, std::string("not counters that this program can read: ") + path_);
    }
    Cell cell{};
    for (off_t at = sizeof header; at < info.st_size; at += off_t{sizeof cell}) {
      if (::pread(fd_, &cell, sizeof cell, at) != sizeof cell) fail(EIO, path_);
      if (cell.kind == kShared && name_of(cell) == name) return at;
    }
    if (info.st_size / off_t{sizeof cell} > off_t{kMaxCells}) fail(ENOSPC, std::string("too many counters: ") + path_);
    cell = {};
    cell.kind = kShared;
    std::memcpy(cell.name, name.data(), name.size());
    write(&cell, info.st_size);
    return info.st_size;
  }

  /// The value at that place, in memory that stays.
  std::int64_t* map(off_t at) {
    const off_t page = ::sysconf(_SC_PAGESIZE);
    const off_t begin = at / page * page;
    void* mapped = ::mmap(nullptr, static_cast<std::size_t>(page), PROT_READ | PROT_WRITE, MAP_SHARED, fd_, begin);
    if (mapped == MAP_FAILED) fail(errno, std::string("cannot map ") + path_);
    return reinterpret_cast<std::int64_t*>(static_cast<char*>(mapped) + (at - begin));
  }

 private:
  int lock(short type) {
    struct flock byte {};
    byte.l_type = type;
    byte.l_whence = SEEK_SET;
    byte.l_len = 1;
    return ::fcntl(fd_, F_OFD_SETLKW, &byte);
  }
  int open() {
    constexpr int kFlags = O_RDWR | O_CLOEXEC | O_NOFOLLOW;
    while (true) {
      int fd = ::open(path_, kFlags | O_CREAT | O_EXCL, 0600);
      if (fd >= 0) {
        ::fchmod(fd, 0600);  // whatever the umask takes away
        return fd;
      }
      if (errno == EEXIST) fd = ::open(path_, kFlags);
      if (fd >= 0) return fd;
      if (errno == EINTR || (errno == ENOENT && make_directory())) continue;
      fail(errno, std::string("cannot open the counters of this attempt, ") + path_);
    }
  }
  bool make_directory() {
    const std::string path(path_);
    const auto slash = path.rfind('/');
    return slash != std::string::npos && (::mkdir(path.substr(0, slash).c_str(), 0700) == 0 || errno == EEXIST);
  }
  void write(const void* data, off_t at) {
    static_assert(sizeof(Header) == sizeof(Cell), "one size for all");
    const ssize_t n = ::pwrite(fd_, data, sizeof(Cell), at);
    if (n != ssize_t{sizeof(Cell)}) fail(n < 0 ? errno : ENOSPC, std::string("cannot write ") + path_);
  }
  [[noreturn]] void fail_and_close(const char* what) {
    const int error = errno;
    ::close(fd_);
    fail(error, std::string(what) + path_);
  }

  const char* path_;
  int fd_;
};

/// nullptr outside of a run. Once looked for, a name costs no system call any more.
inline std::int64_t* value_of(std::string_view name) {
  static std::mutex mutex;
  static std::map<std::string, std::int64_t*, std::less<>> known;
  const char* path = std::getenv("RUNNER_COUNTERS");
  if (path == nullptr || *path == '\0') return nullptr;
  const std::lock_guard<std::mutex> lock(mutex);
  auto it = known.find(name);
  if (it == known.end()) {
    Editor editor(path);
    it = known.emplace(name, editor.map(editor.find_or_append(name))).first;
  }
  return it->second;
}

}  // namespace counter_file

class Counter {
 public:
  /// Throws std::invalid_argument for a name that is none (see is_name), std::system_error where the file cannot be
  /// had. Make one and keep it: add() is much quicker.
  explicit Counter(std::string_view name) {
    if (!counter_file::is_name(name)) throw std::invalid_argument("no name for a counter: " + std::string(name));
    value_ = counter_file::value_of(name);
  }

  /// Throws std::overflow_error, and adds nothing, when the sum would not fit into 64 bits.
  void add(std::int64_t n) {
    if (value_ != nullptr && !counter_file::add(value_, n)) {
      throw std::overflow_error("a counter of this attempt would exceed 64 bits");
    }
  }
  Counter& operator++() {
    add(1);
    return *this;
  }
  Counter& operator+=(std::int64_t n) {
    add(n);
    return *this;
  }

 private:
  std::int64_t* value_ = nullptr;  ///< in memory shared with all who count; nullptr outside of a run
};

}  // namespace runner
