// The tables and views of state.db, and the check that a file has the ones this program knows. Private to store/.
// Times are unix seconds (REAL), so that sqlite3 and pandas need no help with them.
#pragma once

#include "store/sqlite.hpp"

namespace runner::store {

/// Raised whenever a table changes in a way that older programs would misread.
inline constexpr int kSchemaVersion = 1;

/// Creates the tables in an empty database; otherwise as check_schema.
util::Result<void> create_or_check_schema(Database& database);

/// An error when the file is empty, is not a record of runs, or has another version of the schema.
util::Result<void> check_schema(Database& database);

}  // namespace runner::store
