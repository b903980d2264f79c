#include "control/server.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <chrono>
#include <optional>
#include <set>

namespace runner::control {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using namespace std::chrono_literals;
using Protocol = asio::local::stream_protocol;

constexpr std::size_t kMaxClients = 64;
constexpr std::size_t kMaxHeader = 8U << 10U;
constexpr std::size_t kMaxBody = 1U << 20U;
constexpr std::size_t kMaxBuffer = 32U << 10U;    ///< not parsed yet: for a trailer of 64 KiB and more Beast throws
constexpr std::size_t kMaxWaiting = 256U << 10U;  ///< bytes of events that a client has not read
constexpr auto kPatience = 30s;                   ///< with a request, a reply, and between two requests
constexpr auto kLastWords = 2s;
constexpr auto kStatusAge = 100ms;  ///< for so long requests are answered with the same text

constexpr std::string_view kStreamHead =
    "HTTP/1.1 200 OK\r\nServer: runner\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n"
    "Connection: close\r\n\r\n";

}  // namespace

class Server::Impl : public std::enable_shared_from_this<Impl> {
 public:
  class Session;
  explicit Impl(asio::io_context& io) : acceptor_(io) {}

  void serve(Listener listener, Access access) {
    access_ = std::move(access);
    access_.status = [this, make = std::move(access_.status)] {
      const auto now = util::steady_now();
      if (!status_at_ || now - *status_at_ > kStatusAge) {
        status_ = make();
        status_at_ = now;
      }
      return status_;
    };
    acceptor_.assign(Protocol(), listener.socket.release());
    accept();
  }
  void tell(const std::string& line);
  void end();
  void forget(Session* session) { sessions_.erase(session); }
  [[nodiscard]] bool is_over() const { return over_; }
  [[nodiscard]] bool has_streams() const;
  Reply reply_to(const Request& request) {
    Reply reply = answer(request, access_);
    if (request.method == "POST") status_at_.reset();
    return reply;
  }
  void moved() { status_at_.reset(); }

 private:
  void accept();

  Protocol::acceptor acceptor_;
  Access access_;
  std::set<Session*> sessions_;
  std::string status_;
  std::optional<util::TimePoint> status_at_;
  bool over_ = false;
};

/// One client. Kept alive by what it waits for.
class Server::Impl::Session : public std::enable_shared_from_this<Session> {
 public:
  Session(Protocol::socket socket, std::shared_ptr<Impl> server, std::string user)
      : deadline_(socket.get_executor()),
        stream_(std::move(socket)),
        server_(std::move(server)),
        user_(std::move(user)),
        buffer_(kMaxBuffer) {}
  ~Session() { server_->forget(this); }
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  void read() {
    parser_.emplace();
    parser_->header_limit(kMaxHeader);
    parser_->body_limit(kMaxBody);
    close_after(kPatience);
    is_idle_ = true;
    http::async_read(stream_, buffer_, *parser_, [self = shared_from_this()](beast::error_code error, std::size_t) {
      self->is_idle_ = false;
      self->on_read(error);
    });
  }

  void refuse(const Reply& reply) {
    keep_alive_ = false;
    write(reply, 11);
  }

  void tell(const std::string& line) {
    if (!is_stream_ || is_last_) return;
    if (waiting_.size() + line.size() > kMaxWaiting) {
      waiting_.clear();
      add_chunk("{\"error\":\"dropped: what has happened was not read in time\"}\n");
      return finish_stream();
    }
    add_chunk(line);
    write_stream();
  }

  void end() {
    if (is_stream_ && !is_last_) finish_stream();
    keep_alive_ = false;
    is_idle_ ? close() : close_after(kLastWords);
  }

  [[nodiscard]] bool is_stream() const { return is_stream_; }

 private:
  void close() {
    deadline_.cancel();
    beast::error_code ignored;
    (void)stream_.close(ignored);
  }

  /// Unless it is asked for anew before.
  void close_after(std::chrono::steady_clock::duration patience) {
    deadline_.expires_after(patience);
    deadline_.async_wait([weak = weak_from_this()](beast::error_code error) {
      const auto self = weak.lock();
      if (self && !error) self->close();
    });
  }

  void on_read(beast::error_code error) {
    const bool is_malformed = error.category() == http::make_error_code(http::error::end_of_stream).category();
    if (error == http::error::end_of_stream) return;
    if (error == http::error::body_limit || error == http::error::header_limit ||
        error == http::error::buffer_overflow) {
      return refuse(error_reply(413, "the request is too long"));
    }
    if (error && is_malformed) return refuse(error_reply(400, "this is not HTTP: " + error.message()));
    if (error) return;
    const auto& message = parser_->get();
    keep_alive_ = message.keep_alive() && !server_->is_over();
    const Reply reply = server_->reply_to({.method = std::string(message.method_string()),
                                           .target = std::string(message.target()),
                                           .body = message.body(),
                                           .user = user_});
    if (reply.is_stream) return begin_stream();
    write(reply, message.version());
  }

  void write(const Reply& reply, unsigned version) {
    response_.emplace(static_cast<http::status>(reply.status), version);
    response_->set(http::field::server, "runner");
    response_->set(http::field::content_type, "application/json");
    response_->keep_alive(keep_alive_);
    response_->body() = reply.body;
    response_->prepare_payload();
    if (parser_ && parser_->get().method() == http::verb::head) response_->body().clear();
    close_after(kPatience);
    http::async_write(stream_, *response_, [self = shared_from_this()](beast::error_code error, std::size_t) {
      if (error) return;
      if (self->keep_alive_) return self->read();
      beast::error_code ignored;
      (void)self->stream_.shutdown(Protocol::socket::shutdown_send, ignored);
    });
  }

  // ---- events

  void begin_stream() {
    is_stream_ = true;
    waiting_ = kStreamHead;
    write_stream();
    await_hang_up();
  }

  /// Nothing more is expected of it: what comes is its end.
  void await_hang_up() {
    stream_.async_read_some(asio::buffer(&unexpected_, 1), [self = shared_from_this()](beast::error_code, std::size_t) {
      self->is_last_ = true;
      self->waiting_.clear();
      self->close();
    });
  }

  void add_chunk(const std::string& text) {
    std::array<char, 24> size{};
    (void)std::snprintf(size.data(), size.size(), "%zx\r\n", text.size());
    waiting_ += size.data() + text + "\r\n";
  }

  void finish_stream() {
    is_last_ = true;
    waiting_ += "0\r\n\r\n";
    write_stream();
  }

  void write_stream() {
    if (is_writing_ || waiting_.empty()) return;
    is_writing_ = true;
    writing_.swap(waiting_);
    waiting_.clear();
    close_after(is_last_ ? kLastWords : kPatience);
    asio::async_write(stream_, asio::buffer(writing_),
                      [self = shared_from_this()](beast::error_code error, std::size_t) {
                        self->is_writing_ = false;
                        if (!self->is_last_) self->deadline_.cancel();
                        if (error || (self->is_last_ && self->waiting_.empty())) return self->close();
                        self->write_stream();
                      });
  }

  asio::steady_timer deadline_;
  Protocol::socket stream_;
  std::shared_ptr<Impl> server_;
  std::string user_;
  beast::flat_buffer buffer_;
  std::optional<http::request_parser<http::string_body>> parser_;
  std::optional<http::response<http::string_body>> response_;
  bool keep_alive_ = false;
  bool is_idle_ = false;  ///< waits for a request
  bool is_stream_ = false;
  bool is_last_ = false;  ///< of the stream nothing more comes
  bool is_writing_ = false;
  std::string waiting_;  ///< of the stream, behind writing_
  std::string writing_;
  char unexpected_ = 0;
};

void Server::Impl::accept() {
  acceptor_.async_accept([self = shared_from_this()](beast::error_code error, Protocol::socket socket) {
    if (self->over_ || error == asio::error::operation_aborted) return;
    if (!error) {
      const Peer peer = peer_of(socket.native_handle());
      const bool is_full = self->sessions_.size() >= kMaxClients;
      auto session = std::make_shared<Session>(std::move(socket), self, peer.trusted ? user_name(peer.uid) : "");
      self->sessions_.insert(session.get());
      if (!peer.trusted) {
        session->refuse(error_reply(403, "this is another user's run"));
      } else if (is_full) {
        session->refuse(error_reply(503, "too many clients"));
      } else {
        session->read();
      }
    }
    self->accept();
  });
}

void Server::Impl::tell(const std::string& line) {
  const auto sessions = sessions_;
  for (Session* session : sessions) session->tell(line);
}

bool Server::Impl::has_streams() const {
  return std::ranges::any_of(sessions_, [](const Session* session) { return session->is_stream(); });
}

void Server::Impl::end() {
  over_ = true;
  beast::error_code ignored;
  (void)acceptor_.close(ignored);
  const auto sessions = sessions_;
  for (Session* session : sessions) session->end();
}

Server::Server(asio::io_context& io) : impl_(std::make_shared<Impl>(io)) {}

Server::~Server() {
  impl_->end();
}

void Server::serve(Listener listener, Access access) {
  impl_->serve(std::move(listener), std::move(access));
}

void Server::on_event(const core::Event& event, const core::RunView& /*view*/) {
  if (event.kind != core::SystemKind::slice || event.state == core::State::suspended) impl_->moved();
  if (impl_->has_streams()) impl_->tell(event_line(event));
}

void Server::on_tick(const core::RunView& /*view*/, util::TimePoint /*now*/) {}

void Server::on_notice(const std::string& /*message*/) {}

void Server::on_end(const core::RunView& /*view*/) {
  impl_->end();
}

}  // namespace runner::control
