// Database and Statement: SQLite's C interface with owners, and errors that name the file and the next step.
// Private to store/. Calls return SQLite's extended result codes, because the writer must tell a full disk from a
// broken one; Database::error() makes a message of the last failure. Neither class is thread-safe.
#pragma once

#include <concepts>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "util/result.hpp"

struct sqlite3;
struct sqlite3_stmt;

namespace runner::store {

/// A prepared statement. Lives shorter than its Database.
class Statement {
 public:
  Statement() = default;
  explicit Statement(sqlite3_stmt* statement) : statement_(statement) {}

  /// Binds parameters 1, 2, ... in order: integers, floating point, strings, optionals of these, nullptr for NULL.
  /// Strings are borrowed: they must live until reset() or the end of run().
  template <class... Values>
  void bind(const Values&... values) {
    int position = 0;
    (bind_value(++position, values), ...);
  }
  /// Binds, executes to the end and resets. SQLITE_OK, or why not.
  template <class... Values>
  int run(const Values&... values) {
    bind(values...);
    return finish();
  }
  /// SQLITE_ROW, SQLITE_DONE, or why not.
  int step();
  void reset();

  // Columns of the current row, from 0. NULL reads as 0 or "". Text lives until the next step or reset.
  [[nodiscard]] bool is_null(int column) const;
  [[nodiscard]] std::int64_t integer(int column) const;
  [[nodiscard]] double real(int column) const;
  [[nodiscard]] std::string_view text(int column) const;

 private:
  template <class T>
  void bind_value(int position, const T& value) {
    if constexpr (std::integral<T>) {
      bind_integer(position, static_cast<std::int64_t>(value));
    } else if constexpr (std::floating_point<T>) {
      bind_real(position, value);
    } else {
      bind_text(position, value);
    }
  }
  void bind_value(int position, const std::optional<int>& value);
  void bind_value(int position, const std::optional<double>& value);
  void bind_value(int position, const std::optional<std::string_view>& value);
  void bind_value(int position, std::nullptr_t) { bind_null(position); }
  void bind_integer(int position, std::int64_t value);
  void bind_real(int position, double value);
  void bind_text(int position, std::string_view value);
  void bind_null(int position);
  int finish();

  struct Finalize {
    void operator()(sqlite3_stmt* statement) const;
  };
  std::unique_ptr<sqlite3_stmt, Finalize> statement_;
};

/// How to open. `read_only` changes nothing that is recorded, but puts in order what a crash left, where it may write;
/// `immutable` trusts that nobody writes, takes no locks and needs no -shm file.
enum class Access : std::uint8_t { read_write, read_only, immutable };

/// One connection.
class Database {
 public:
  /// read_write creates the file (0600) where there is none.
  static util::Result<Database> open(const std::string& path, Access access);

  /// Runs statements that return no rows.
  int execute(const char* sql);
  util::Result<Statement> prepare(std::string_view sql);
  /// The first column of the only row; nullopt when there is no row.
  util::Result<std::optional<std::string>> query_text(std::string_view sql);

  /// The last failure: what it means, which file, what to do.
  [[nodiscard]] util::Error error() const;
  [[nodiscard]] int code() const;          ///< its extended result code
  [[nodiscard]] int system_errno() const;  ///< the errno behind it, 0 if none; ask right after the failure
  /// Ends a transaction that failed, if one is open.
  void rollback();
  /// Rows that the last statement changed.
  [[nodiscard]] std::int64_t changes() const;
  struct LostFile {
    std::string path;
    std::string_view what;           ///< has become of it
    bool can_still_be_read = false;  ///< by this connection
  };
  /// A file of the database where nobody will find what is committed: its path names another file by now, or none, or a
  /// part of it is gone.
  [[nodiscard]] std::optional<LostFile> lost_file();
  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] sqlite3* handle() const { return handle_.get(); }

 private:
  struct Close {
    void operator()(sqlite3* handle) const;
  };
  [[nodiscard]] bool is_whole();

  std::string path_;
  std::unique_ptr<sqlite3, Close> handle_;
  std::optional<std::uint64_t> wal_;  ///< the WAL's inode, once it was seen
  std::int64_t wal_size_ = 0;         ///< when it was looked at last
  std::int64_t size_ = 0;
};

/// What an extended result code means for people: the file, the cause and the next step.
util::Error describe_failure(const std::string& path, int code, int errno_value, std::string_view sqlite_message);

/// True for an fsync that failed.
bool is_failed_sync(int code);

/// True for a failure that may pass by itself or by somebody's help: no space, over quota, locked by another program.
bool may_pass(int code, int errno_value);

}  // namespace runner::store
