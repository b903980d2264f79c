// Who besides this user could change what is at a path: looked at before what is there is believed or run. Plain
// functions; what cannot be looked at is not held against it (opening it will tell).
#pragma once

#include <string>

namespace runner::util {

/// What everyone may write to, so that anybody could put something else at `path`: the file or directory itself, or a
/// directory on the way to it, as it is written and as it is with symbolic links resolved. A directory on the way with
/// the sticky bit, as /tmp, is fine. "" where there is nothing. Writing by a group is the business of who formed it.
std::string writable_by_everyone(const std::string& path);

/// The owner's name (or number), if that is neither this process' user nor root; else "".
std::string foreign_owner(const std::string& path);

/// This process acts with other rights than those of who started it: a setuid or setgid program.
bool has_borrowed_rights();

}  // namespace runner::util
