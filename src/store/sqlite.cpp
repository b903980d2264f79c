#include "store/sqlite.hpp"

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>

#include <cerrno>
#include <system_error>
#include <utility>

#include "util/private_file.hpp"
#include "util/text.hpp"

namespace runner::store {

void Statement::Finalize::operator()(sqlite3_stmt* statement) const {
  sqlite3_finalize(statement);
}

int Statement::step() {
  errno = 0;
  return sqlite3_step(statement_.get());
}

void Statement::reset() {
  sqlite3_reset(statement_.get());
}

int Statement::finish() {
  int code = SQLITE_ROW;
  while (code == SQLITE_ROW) code = step();
  const int reset_code = sqlite3_reset(statement_.get());
  return code == SQLITE_DONE ? SQLITE_OK : reset_code;
}

bool Statement::is_null(int column) const {
  return sqlite3_column_type(statement_.get(), column) == SQLITE_NULL;
}

std::int64_t Statement::integer(int column) const {
  return sqlite3_column_int64(statement_.get(), column);
}

double Statement::real(int column) const {
  return sqlite3_column_double(statement_.get(), column);
}

std::string_view Statement::text(int column) const {
  // As a blob, which for text means: the bytes as they are, without the copy that ends them in a NUL.
  const auto* data = static_cast<const char*>(sqlite3_column_blob(statement_.get(), column));
  if (data == nullptr) return {};
  return {data, static_cast<std::size_t>(sqlite3_column_bytes(statement_.get(), column))};
}

// A bind fails only for a position that does not exist (a bug) or a string over 1 GB; the step then fails or the
// column stays NULL, so the codes are not looked at.
void Statement::bind_integer(int position, std::int64_t value) {
  sqlite3_bind_int64(statement_.get(), position, value);
}

void Statement::bind_real(int position, double value) {
  sqlite3_bind_double(statement_.get(), position, value);
}

void Statement::bind_text(int position, std::string_view value) {
  const char* data = value.data() == nullptr ? "" : value.data();  // a null pointer would bind NULL
  sqlite3_bind_text64(statement_.get(), position, data, value.size(), SQLITE_STATIC, SQLITE_UTF8);
}

void Statement::bind_null(int position) {
  sqlite3_bind_null(statement_.get(), position);
}

void Statement::bind_value(int position, const std::optional<int>& value) {
  value ? bind_integer(position, *value) : bind_null(position);
}

void Statement::bind_value(int position, const std::optional<double>& value) {
  value ? bind_real(position, *value) : bind_null(position);
}

void Statement::bind_value(int position, const std::optional<std::string_view>& value) {
  value ? bind_text(position, *value) : bind_null(position);
}

namespace {

/// As SQLite's URI form wants it: only what would end or change the path is escaped.
std::string to_uri(const std::string& path, std::string_view query) {
  std::string uri = "file:";
  for (const char c : path) {
    switch (c) {
      case '%':
        uri += "%25";
        break;
      case '?':
        uri += "%3f";
        break;
      case '#':
        uri += "%23";
        break;
      default:
        uri += c;
    }
  }
  uri += query;
  return uri;
}

/// SQLite would create the file with the umask's permissions; -wal and -shm take over the ones it has. An existing file
/// is not opened here: closing it would drop the locks that this process' other connections hold.
util::Result<void> create_private(const std::string& path) {
  auto fd = util::open_private(path, O_RDWR | O_EXCL);
  if (!fd && fd.error().errno_value != EEXIST) return fd.error();
  return {};
}

}  // namespace

void Database::Close::operator()(sqlite3* handle) const {
  sqlite3_close_v2(handle);
}

util::Result<Database> Database::open(const std::string& path, Access access) {
  std::string name = path;
  int flags = SQLITE_OPEN_READONLY;
  switch (access) {
    case Access::read_write:
      if (auto created = create_private(path); !created) return created.error();
      flags = SQLITE_OPEN_READWRITE;
      break;
    case Access::read_only:
      // SQLite's own read-only connections cannot roll back what a crash left half done, and never remove the -wal and
      // -shm files that they make. It opens read-only by itself what may not be written.
      flags = SQLITE_OPEN_READWRITE;
      break;
    case Access::immutable:
      name = to_uri(path, "?immutable=1");
      flags |= SQLITE_OPEN_URI;
      break;
  }
  constexpr int kAlways = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE | SQLITE_OPEN_NOFOLLOW;
  sqlite3* handle = nullptr;
  errno = 0;
  const int code = sqlite3_open_v2(name.c_str(), &handle, flags | kAlways, nullptr);
  Database database;
  database.path_ = path;
  database.handle_.reset(handle);
  if (code != SQLITE_OK) return database.error();
  sqlite3_busy_timeout(handle, 5000);
  // The file may come from anywhere: what its views and triggers say is not to be trusted.
  sqlite3_db_config(handle, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  sqlite3_db_config(handle, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
  if (access == Access::read_only) database.execute("PRAGMA query_only=1");
  return database;
}

int Database::execute(const char* sql) {
  errno = 0;
  return sqlite3_exec(handle_.get(), sql, nullptr, nullptr, nullptr);
}

util::Result<Statement> Database::prepare(std::string_view sql) {
  sqlite3_stmt* statement = nullptr;
  errno = 0;
  const int code = sqlite3_prepare_v3(handle_.get(), sql.data(), static_cast<int>(sql.size()),
                                      SQLITE_PREPARE_PERSISTENT, &statement, nullptr);
  if (code != SQLITE_OK) return error();
  return Statement(statement);
}

util::Result<std::optional<std::string>> Database::query_text(std::string_view sql) {
  auto statement = prepare(sql);
  if (!statement) return statement.error();
  std::optional<std::string> text;
  int code = statement->step();
  if (code == SQLITE_ROW) {
    text = statement->text(0);
    code = statement->step();  // a PRAGMA that writes does so here
  }
  return code == SQLITE_ROW || code == SQLITE_DONE ? util::Result<std::optional<std::string>>(std::move(text))
                                                   : error();
}

util::Error Database::error() const {
  return describe_failure(path_, code(), system_errno(), sqlite3_errmsg(handle_.get()));
}

int Database::code() const {
  return sqlite3_extended_errcode(handle_.get());
}

int Database::system_errno() const {
  // sqlite3_system_errno() alone will not do: SQLite 3.40 does not set it when a COMMIT fails, and keeps the value of
  // an earlier failure. Every call into SQLite here starts with errno = 0, so that what is left in it is this
  // failure's.
  const int kind = code() & 0xff;
  if (kind != SQLITE_IOERR && kind != SQLITE_CANTOPEN) return 0;
  return errno != 0 ? errno : sqlite3_system_errno(handle_.get());
}

void Database::rollback() {
  if (sqlite3_get_autocommit(handle_.get()) == 0) execute("ROLLBACK");
}

std::int64_t Database::changes() const {
  return sqlite3_changes64(handle_.get());
}

std::optional<Database::LostFile> Database::lost_file() {
  int moved = 0;
  if (sqlite3_file_control(handle_.get(), "main", SQLITE_FCNTL_HAS_MOVED, &moved) == SQLITE_OK && moved != 0)
    return LostFile{path_, "removed or replaced"};
  // SQLite does not look after the WAL. It is one file as long as a connection is open, ours.
  const std::string wal = path_ + "-wal";
  struct stat info {};
  const bool is_there = ::stat(wal.c_str(), &info) == 0;
  if (!wal_ && is_there) wal_ = info.st_ino;
  if (wal_ && (!is_there || info.st_ino != *wal_)) return LostFile{wal, "removed or replaced", true};
  const bool wal_shrank = is_there && info.st_size < std::exchange(wal_size_, info.st_size);
  const bool shrank = ::stat(path_.c_str(), &info) == 0 && info.st_size < std::exchange(size_, info.st_size);
  const bool is_empty = shrank && size_ == 0;  // SQLite throws a WAL away that belongs to an empty file
  if (is_empty || ((shrank || wal_shrank) && !is_whole())) return LostFile{shrank ? path_ : wal, "cut short"};
  return std::nullopt;
}

/// What somebody cut off reads as zeros or not at all; what VACUUM or a checkpoint of another program cut is not
/// missed.
bool Database::is_whole() {
  sqlite3_db_release_memory(handle_.get());  // what is in memory says nothing of the file
  const auto checked = query_text("PRAGMA quick_check(1)");
  return checked && *checked == "ok";
}

bool is_failed_sync(int code) {
  return code == SQLITE_IOERR_FSYNC || code == SQLITE_IOERR_DIR_FSYNC;
}

bool may_pass(int code, int errno_value) {
  // A failed fsync never passes: the kernel may have dropped the pages and report success the next time.
  if (is_failed_sync(code)) return false;
  switch (code & 0xff) {
    case SQLITE_FULL:
    case SQLITE_BUSY:
      return true;
    case SQLITE_IOERR:
      return errno_value == ENOSPC || errno_value == EDQUOT;
    default:
      return false;
  }
}

util::Error describe_failure(const std::string& path, int code, int errno_value, std::string_view message) {
  const std::string sqlite_message = util::escape_for_display(message);  // it may quote what is in the file
  const std::string cause = errno_value != 0 ? std::generic_category().message(errno_value) : sqlite_message;
  const auto say = [&](const std::string& text) { return util::Error{path + ": " + text, errno_value}; };
  if (is_failed_sync(code)) {
    return say(
        "the disk did not take the record (fsync: " + cause +
        "); what was not acknowledged before cannot be trusted: check the disk and the kernel's log, then resume");
  }
  if (code == SQLITE_CANTOPEN_SYMLINK || ((code & 0xff) == SQLITE_CANTOPEN && errno_value == ELOOP)) {
    return util::Error{path + ": it, its -wal or its -shm is a symbolic link, and runner follows none there: remove it",
                       ELOOP};
  }
  switch (code & 0xff) {
    case SQLITE_FULL:
      return util::Error{path + ": no space left on the disk: free some", ENOSPC};
    case SQLITE_BUSY:
      return say("locked by another program: end it, or wait until it is done");
    case SQLITE_CORRUPT:
      return say("the database is damaged (" + sqlite_message +
                 "): keep a copy, try `sqlite3 state.db .recover`, or move the directory away and start anew");
    case SQLITE_NOTADB:
      return say("not a database of runner: move it away and start anew");
    case SQLITE_READONLY:
      return say("cannot be written (" + sqlite_message + "): check its permissions");
    case SQLITE_CANTOPEN:
      return say("cannot be opened (" + cause + ")");
    case SQLITE_IOERR:
      if (errno_value == EDQUOT || errno_value == ENOSPC) return say(cause + ": free some space");
      return say("I/O error (" + cause + "): check the disk and the kernel's log, then resume");
    default:
      return say(sqlite_message);
  }
}

}  // namespace runner::store
