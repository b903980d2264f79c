#include "exec/capture.hpp"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <cerrno>
#include <utility>

namespace runner::exec {

namespace asio = boost::asio;
using boost::system::error_code;

/// Shared with the handlers that wait: one may run after the pipes are closed.
struct Capture::Impl : std::enable_shared_from_this<Impl> {
  struct Pipe {
    Pipe(asio::io_context& io, core::Stream which) : descriptor(io), stream(which) {}
    asio::posix::stream_descriptor descriptor;
    core::Stream stream;
    bool waiting = false;
  };

  Impl(asio::io_context& io, core::OutputTap& to, SlotLog& file, Source of)
      : tap(to), log(file), source(std::move(of)), pipes{Pipe(io, core::Stream::out), Pipe(io, core::Stream::err)} {}

  void open(Pipe& pipe, util::Fd fd) {
    if (!fd) return;
    ::fcntl(fd.get(), F_SETFL, O_RDONLY | O_NONBLOCK);
    pipe.descriptor.assign(fd.release());
    wait(pipe);
  }

  void wait(Pipe& pipe) {
    if (pipe.waiting || !pipe.descriptor.is_open() || !tap.ready()) return;
    pipe.waiting = true;
    pipe.descriptor.async_wait(asio::posix::stream_descriptor::wait_read,
                               [self = shared_from_this(), &pipe](const error_code& ec) {
                                 pipe.waiting = false;
                                 if (ec || !pipe.descriptor.is_open()) return;
                                 if (self->tap.ready() && self->read(pipe) > 0) self->wait(pipe);
                               });
  }

  /// One read, up to 64 KiB. What came; 0 at the end, which also closes the pipe; 1 if there was nothing to read.
  std::size_t read(Pipe& pipe) {
    std::array<char, std::size_t{64} << 10U> buffer;  // NOLINT(cppcoreguidelines-pro-type-member-init): filled by read
    const ssize_t n = ::read(pipe.descriptor.native_handle(), buffer.data(), buffer.size());
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return 1;
    if (n <= 0) {
      close(pipe);
      return 0;
    }
    const std::string_view piece(buffer.data(), static_cast<std::size_t>(n));
    log.append(piece);
    tap.data(source.id, source.key, pipe.stream, piece);
    return piece.size();
  }

  /// Only what is there now: somebody may go on writing for ever.
  void drain(Pipe& pipe) {
    int left = 0;
    if (!pipe.descriptor.is_open() || ::ioctl(pipe.descriptor.native_handle(), FIONREAD, &left) != 0) return;
    while (left > 0 && pipe.descriptor.is_open()) {
      const auto n = read(pipe);
      if (n == 0) break;
      left -= static_cast<int>(n);
    }
    close(pipe);
  }

  static void close(Pipe& pipe) {
    error_code ec;
    pipe.descriptor.close(ec);
  }

  core::OutputTap& tap;
  SlotLog& log;
  Source source;
  std::array<Pipe, 2> pipes;
};

Capture::Capture(asio::io_context& io, core::OutputTap& tap, SlotLog& log, Source source, util::Fd out, util::Fd err)
    : impl_(std::make_shared<Impl>(io, tap, log, std::move(source))) {
  impl_->open(impl_->pipes[0], std::move(out));
  impl_->open(impl_->pipes[1], std::move(err));
}

Capture::~Capture() {
  for (auto& pipe : impl_->pipes) Impl::close(pipe);
}

void Capture::resume() {
  for (auto& pipe : impl_->pipes) impl_->wait(pipe);
}

void Capture::finish() {
  for (auto& pipe : impl_->pipes) impl_->drain(pipe);
  impl_->tap.closed(impl_->source.id);
}

}  // namespace runner::exec
