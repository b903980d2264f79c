#include "util/unix_socket.hpp"

#include <cstddef>
#include <cstring>

namespace runner::util {

std::optional<UnixAddress> unix_address(std::string_view name) {
  UnixAddress address;
  address.value.sun_family = AF_UNIX;
  if (name.size() >= sizeof address.value.sun_path) return std::nullopt;
  std::memcpy(address.value.sun_path, name.data(), name.size());
  const bool is_abstract = name.starts_with('@');
  if (is_abstract) address.value.sun_path[0] = '\0';
  address.size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size() + (is_abstract ? 0 : 1));
  return address;
}

}  // namespace runner::util
