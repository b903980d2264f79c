// Which file systems cannot carry SQLite's WAL: its index is shared memory, which other hosts and some servers do not
// see. Private to store/.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "util/result.hpp"

namespace runner::store {

/// The name of a file system that needs a rollback journal ("NFS"), by statfs(2)'s f_type; nullopt: a local one.
std::optional<std::string_view> shared_file_system(std::uint32_t magic);

/// The same for the file system that holds `path`.
util::Result<std::optional<std::string_view>> shared_file_system_of(const std::string& path);

}  // namespace runner::store
