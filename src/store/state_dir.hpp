// StateDir: the directory <spec dir>/.runner/<name> - its layout, its lock and its clean-up.
//   state.db  lock  latest -> runs/<newest>  runs/<run-id>/{spec.yaml, run.log, slices/<shard>/<key>.<attempt>.log}
// Created 0700, its files 0600. The lock says that a run is live; it is held as long as the StateLock lives, and by
// this process only (an open file description lock, see fcntl(2): others can ask who has it without taking it; it works
// over NFS). Some shared file systems grant such a lock on every host: there the holder gives signs of life, and is
// believed dead without them.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "core/attempt.hpp"
#include "util/fd.hpp"
#include "util/result.hpp"

namespace runner::store {

/// Who holds a state directory's lock, by the note in the file. All empty in the instant before it is written.
struct LockOwner {
  std::string host;
  int pid = 0;             ///< on that host
  std::string started_at;  ///< local time, for people
};

class StateLock {
 public:
  struct Held;
  explicit StateLock(std::unique_ptr<Held> held);
  ~StateLock();
  StateLock(const StateLock&) = delete;
  StateLock& operator=(const StateLock&) = delete;
  StateLock(StateLock&&) noexcept;
  StateLock& operator=(StateLock&&) noexcept;

  /// Names the lock's file by its inode: a copy of the directory has another one.
  [[nodiscard]] std::string place() const;
  /// An error once the lock holds nobody back any more: its file was removed or replaced, or another host has taken
  /// it over. Gives the sign of life. A few system calls; from any thread, one at a time; call it once a second.
  [[nodiscard]] util::Result<void> keep();

 private:
  std::unique_ptr<Held> held_;
};

struct LockOptions {
  bool shared = false;                                ///< on local file systems too: as where locks may not reach hosts
  util::Duration beat = std::chrono::seconds(2);      ///< between signs of life
  util::Duration silence = std::chrono::seconds(30);  ///< after which a holder on another host is believed dead
  /// That long the caller will wait now, for a sign of life of this one.
  std::function<void(const LockOwner&, util::Duration)> waits = {};
};

class StateDir {
 public:
  /// Symbolic links above the directory are resolved here and now. The directory itself, and all in it, is reached
  /// through none.
  explicit StateDir(const std::string& path);

  /// Makes the directory (0700 whatever the umask) and its parents (as the umask has it, but never writable by
  /// everyone); a new `.runner` gets a .gitignore. Refuses a place where another user could exchange what is in it.
  [[nodiscard]] util::Result<void> create() const;
  /// Something is there; whether it can be used is for create() to say.
  [[nodiscard]] bool exists() const;
  /// The lock, or who has it, or why it cannot be had.
  [[nodiscard]] util::Result<std::variant<StateLock, LockOwner>> lock(const LockOptions& options = {}) const;
  /// Who holds the lock now, without taking it; nullopt: nobody, no run is live.
  [[nodiscard]] std::optional<LockOwner> owner() const;

  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] std::string database() const { return path_ + "/state.db"; }
  [[nodiscard]] std::string run_dir(std::string_view run_id) const;
  /// Makes runs/<id>/ with a copy of the spec; replaces the copy where there is one (resume).
  [[nodiscard]] util::Result<void> create_run_dir(std::string_view run_id, std::string_view spec_text) const;
  /// Points `latest` at that run's directory: once all is there that the run needs to begin.
  [[nodiscard]] util::Result<void> set_latest(std::string_view run_id) const;
  /// Removes what a runner that was killed left unfinished in a run's directory: drafts, sockets, counters, and slots'
  /// logs with nothing in them. One with something in it is the output of an attempt that was lost, and stays.
  void tidy(std::string_view run_id) const;
  /// Removes the directories of the oldest runs beyond `keep` (at least the newest stays); returns the ids that are
  /// gone now, for Writer::remove_runs.
  [[nodiscard]] std::vector<std::string> prune(const std::vector<std::string>& run_ids_newest_first,
                                               std::uint32_t keep) const;
  /// True: it is not there any more.
  [[nodiscard]] bool remove_run_dir(const std::string& run_id) const;

 private:
  std::string path_;
};

/// "slices/0012/<key>.<attempt>.log", relative to the run directory: the shard is index / 1000. The key is a file name
/// by encode_key().
std::string slice_log_path(std::string_view job, std::uint64_t index, std::string_view key, std::uint32_t attempt);

/// A slice's key as (the start of) a file name, at most 200 bytes, different for different slices, also where the file
/// system does not tell capitals from small letters: bytes outside [A-Za-z0-9._,=+@-], and a '.' or '-' that comes
/// first, are percent-encoded; behind a key with capitals stands '~' and which letters they are; what is longer is cut
/// and ends in '~', a hash of the whole key, '~' and the index. No key at all is "%".
std::string encode_key(std::string_view key, std::uint64_t index);
/// The key again; nullopt for what encode_key() does not make, and for a cut name (the record has its key).
std::optional<std::string> decode_key(std::string_view name);

/// A new run id: local time and four random letters, "20261121-164328-k3xa"; sorts by time.
std::string new_run_id(util::WallTime now);

}  // namespace runner::store
