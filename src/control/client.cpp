#include "control/client.hpp"

#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <array>
#include <boost/json/parse.hpp>
#include <cerrno>

#include "util/fd.hpp"
#include "util/text.hpp"
#include "util/unix_socket.hpp"

namespace runner::control {

util::Result<Answer> ask(const std::string& path, const std::string& method, const std::string& target,
                         const std::string& body) {
  const auto address = util::unix_address(path);
  if (!address) return util::errno_error(path, ENAMETOOLONG);
  const util::Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket) return util::errno_error("control socket", errno);
  const timeval patience{.tv_sec = 30, .tv_usec = 0};
  for (const int direction : {SO_RCVTIMEO, SO_SNDTIMEO}) {
    (void)::setsockopt(socket.get(), SOL_SOCKET, direction, &patience, sizeof patience);
  }
  if (::connect(socket.get(), address->get(), address->size) != 0) {
    return util::errno_error(path, errno);
  }
  const std::string request = method + " " + target +
                              " HTTP/1.0\r\nHost: runner\r\nContent-Type: application/json\r\n" +
                              "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
  if (auto sent = util::write_all(socket.get(), request, path); !sent) return sent.error();
  std::string text;
  std::array<char, 4096> part{};
  while (true) {
    const ssize_t n = ::read(socket.get(), part.data(), part.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return util::errno_error("no answer on " + path, errno);
    if (n == 0) break;
    text.append(part.data(), static_cast<std::size_t>(n));
  }
  const auto head_end = text.find("\r\n\r\n");
  const auto status = text.size() > 12 ? util::parse_int(text.substr(9, 3)) : std::nullopt;
  if (head_end == std::string::npos || !status) return util::Error{"no answer on " + path};
  return Answer{static_cast<unsigned>(*status), text.substr(head_end + 4)};
}

std::string error_in(const std::string& body) {
  boost::system::error_code error;
  const auto value = boost::json::parse(body, error);
  const auto* object = error ? nullptr : value.if_object();
  const auto* text = object == nullptr ? nullptr : object->if_contains("error");
  return text != nullptr && text->is_string() ? std::string(text->get_string()) : body;
}

}  // namespace runner::control
