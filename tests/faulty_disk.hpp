// FaultyDisk: a disk that fails on demand, under SQLite only - its default VFS with the calls that write and sync
// replaced - and that knows which files have been written to and not synced since. One at a time, made before the
// database is opened and destroyed after it is closed.
#pragma once

#include <sqlite3.h>

#include <atomic>
#include <cerrno>
#include <climits>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <utility>

namespace runner::store::testing {

class FaultyDisk {
 public:
  FaultyDisk() : real_(sqlite3_vfs_find(nullptr)), vfs_(*real_) {
    current() = this;
    vfs_.zName = "faulty";
    vfs_.pNext = nullptr;
    vfs_.xOpen = &FaultyDisk::open;
    sqlite3_vfs_register(&vfs_, 1);
  }
  ~FaultyDisk() {
    sqlite3_vfs_unregister(&vfs_);
    sqlite3_vfs_register(real_, 1);
    current() = nullptr;
  }
  FaultyDisk(const FaultyDisk&) = delete;
  FaultyDisk& operator=(const FaultyDisk&) = delete;

  std::atomic<int> write_errno = 0;            ///< every write fails with this errno while it is not 0
  std::atomic<int> sync_errno = 0;             ///< every sync, too
  std::atomic<bool> spare_wal = false;         ///< but not those of a WAL
  std::atomic<int> syncs_that_fail = INT_MAX;  ///< after so many failures they succeed again

  void wait_for_failed_writes(int count) {
    int seen = 0;
    while ((seen = failed_writes_) < count) failed_writes_.wait(seen);
  }
  /// Files with data that a power cut would take.
  std::set<std::string> unsynced() {
    const std::lock_guard lock(mutex_);
    return unsynced_;
  }

 private:
  static FaultyDisk*& current() {
    static FaultyDisk* disk = nullptr;
    return disk;
  }

  static int open(sqlite3_vfs* /*vfs*/, const char* name, sqlite3_file* file, int flags, int* out_flags) {
    FaultyDisk& disk = *current();
    const int code = disk.real_->xOpen(disk.real_, name, file, flags, out_flags);
    if (code != SQLITE_OK || file->pMethods == nullptr) return code;
    const std::lock_guard lock(disk.mutex_);
    const sqlite3_io_methods* original = file->pMethods;
    disk.files_[file] = {name == nullptr ? "" : name, original};
    sqlite3_io_methods& patched = disk.patched_.try_emplace(original, *original).first->second;
    patched.xWrite = &FaultyDisk::write;
    patched.xTruncate = &FaultyDisk::truncate;
    patched.xSync = &FaultyDisk::sync;
    file->pMethods = &patched;
    return code;
  }
  static int write(sqlite3_file* file, const void* data, int size, sqlite3_int64 offset) {
    FaultyDisk& disk = *current();
    if (const int failure = disk.write_errno; failure != 0) {
      ++disk.failed_writes_;
      disk.failed_writes_.notify_all();
      errno = failure;
      return failure == ENOSPC ? SQLITE_FULL : SQLITE_IOERR_WRITE;  // as os_unix.c has it
    }
    return disk.note(file, true)->xWrite(file, data, size, offset);
  }
  static int truncate(sqlite3_file* file, sqlite3_int64 size) {
    return current()->note(file, true)->xTruncate(file, size);
  }
  static int sync(sqlite3_file* file, int flags) {
    FaultyDisk& disk = *current();
    const int failure = disk.sync_errno;
    if (failure != 0 && !(disk.spare_wal && disk.is_wal(file)) && disk.syncs_that_fail-- > 0) {
      errno = failure;
      return SQLITE_IOERR_FSYNC;
    }
    // Marked first: what is written meanwhile is not covered.
    return disk.note(file, false)->xSync(file, flags);
  }
  bool is_wal(sqlite3_file* file) {
    const std::lock_guard lock(mutex_);
    return files_[file].first.ends_with("-wal");
  }
  /// The file's own methods, after noting whether it has unsynced data now.
  const sqlite3_io_methods* note(sqlite3_file* file, bool dirty) {
    const std::lock_guard lock(mutex_);
    const auto& [name, methods] = files_[file];
    if (dirty) {
      unsynced_.insert(name);
    } else {
      unsynced_.erase(name);
    }
    return methods;
  }

  sqlite3_vfs* real_;
  sqlite3_vfs vfs_;
  std::atomic<int> failed_writes_ = 0;
  std::mutex mutex_;
  std::map<const sqlite3_io_methods*, sqlite3_io_methods> patched_;  ///< original -> the same with our calls
  std::map<sqlite3_file*, std::pair<std::string, const sqlite3_io_methods*>> files_;
  std::set<std::string> unsynced_;
};

}  // namespace runner::store::testing
