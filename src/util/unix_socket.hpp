// The address of a Unix socket, as bind(2), connect(2) and sendto(2) want it. Plain function.
#pragma once

#include <sys/socket.h>
#include <sys/un.h>

#include <optional>
#include <string_view>

namespace runner::util {

struct UnixAddress {
  sockaddr_un value{};
  socklen_t size = 0;

  [[nodiscard]] const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&value); }
};

/// Of a path, or of "@NAME", which is in no file system (unix(7), abstract). nullopt: it is too long for one.
std::optional<UnixAddress> unix_address(std::string_view name);

}  // namespace runner::util
