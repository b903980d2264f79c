// Place: where the control socket of a run is, and how it is found: the file `control` in the state directory holds its
// path. Plain functions; the caller has the lock of the state directory, so a socket that is there is stale.
#pragma once

#include <string>

#include "util/fd.hpp"

namespace runner::control {

struct Listener {
  util::Fd socket;   ///< listening, CLOEXEC, not blocking
  std::string path;  ///< of the socket
};

/// In $XDG_RUNTIME_DIR/runner, else in the state directory, else (the path is too long, or sockets cannot be there) in
/// /tmp/runner-<uid>, all 0700; the socket 0600.
util::Result<Listener> listen_for(const std::string& state_dir);
/// Removes both.
void remove_place(const std::string& state_dir, const std::string& path);
/// The path of the socket; an error (ENOENT) where no run says that it listens.
util::Result<std::string> find_place(const std::string& state_dir);

/// Whether who is at the other end of `socket` is this user or root; its uid.
struct Peer {
  bool trusted = false;
  unsigned uid = 0;
};
Peer peer_of(int socket);
/// "ada", by /etc/passwd alone (no name service can keep us waiting); "uid 1000" where it is not there.
std::string user_name(unsigned uid);

}  // namespace runner::control
