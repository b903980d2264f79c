// AttemptTable: writes changes of attempts, and reads rows back. The one place that knows the columns' order.
// Private to store/; lives as long as its Database.
#pragma once

#include <cstdint>
#include <string>

#include "store/batch.hpp"
#include "store/sqlite.hpp"

namespace runner::store {

class AttemptTable {
 public:
  static util::Result<AttemptTable> prepare(Database& database);

  /// SQLITE_OK, or why not. A change of a row that is not there is SQLITE_MISUSE: the caller has a bug, and a record
  /// must not vanish in silence. `run` is run.number; `host` is noted in the rows of attempts that are seen to start.
  int write(Database& database, std::int64_t run, const std::string& host, const Change& change);

 private:
  int report(std::int64_t run, const Change& change);
  /// The counters of an attempt that succeeded, in the place of those of an earlier one of its slice.
  int write_counters(std::int64_t run, const core::AttemptId& id, const std::vector<core::Counted>& counters);

  Statement insert_;
  Statement start_;
  Statement report_;
  Statement end_;
  Statement erase_;
  Statement count_;
  Statement uncount_;
};

/// The columns that read_attempt() expects, in its order, of a file with that version of the schema; those of
/// read_success() come first.
std::string attempt_columns(int schema_version);
std::string success_columns();

/// Of the current row, of either list of columns.
[[nodiscard]] core::AttemptId read_id(const Statement& row);

/// Fills `record` from the current row; strings and the ending reuse the memory they have.
void read_attempt(const Statement& row, core::AttemptRecord& record);

/// The short form for the many: of a row that succeeded sets id, key and runtime of `record`, which has an ending, and
/// leaves the rest as it is. False: another outcome, nothing was read.
bool read_success(const Statement& row, core::AttemptRecord& record);

}  // namespace runner::store
