// The tables and views of state.db, and how older files come to have them. Private to store/.
// Times are unix seconds (REAL), so that sqlite3 and pandas need no help with them.
#pragma once

#include "store/sqlite.hpp"

namespace runner::store {

/// Raised whenever a table changes in a way that older programs would misread.
inline constexpr int kSchemaVersion = 6;

/// Creates the tables in an empty database, or brings older ones up to date, in one transaction; otherwise as
/// check_schema.
util::Result<void> create_or_upgrade_schema(Database& database);

/// The version of the schema, 1 to kSchemaVersion. An error when the file is empty (ENOENT), is not a record of runs,
/// or was written by a newer program. Changes nothing.
util::Result<int> check_schema(Database& database);

}  // namespace runner::store
