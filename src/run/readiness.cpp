#include "run/readiness.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <map>
#include <optional>
#include <utility>

#include "core/template.hpp"
#include "util/display.hpp"

namespace runner::run {

namespace asio = boost::asio;
using boost::system::error_code;
using namespace std::chrono_literals;

namespace {

constexpr auto kFirstPause = 50ms;
constexpr auto kLastPause = 1s;
constexpr std::uint32_t kProbes = 1U << 30U;  ///< added to the service's number: job and slot of an attempt that asks

/// Tells a file from the one that was there before.
struct FileStamp {
  dev_t device = 0;
  ino_t inode = 0;
  std::int64_t seconds = 0,
               nanoseconds = 0;  ///< of its last change; the date of its content may be set to an older one
  bool operator==(const FileStamp&) const = default;
};

std::optional<FileStamp> stamp_of(const std::string& file) {
  struct stat info {};
  if (::stat(file.c_str(), &info) != 0) return std::nullopt;
  return FileStamp{info.st_dev, info.st_ino, info.st_ctim.tv_sec, info.st_ctim.tv_nsec};
}

/// Whether another program has the port; asked without waiting.
bool is_taken(asio::io_context& io, std::uint16_t port) {
  const auto in_use = [&](const asio::ip::address& address) {
    asio::ip::tcp::acceptor probe(io);
    error_code ec;
    probe.open(address.is_v4() ? asio::ip::tcp::v4() : asio::ip::tcp::v6(), ec);
    if (!ec) probe.set_option(asio::socket_base::reuse_address(true), ec);  // connections that have ended do not count
    if (!ec) probe.bind({address, port}, ec);
    if (ec != asio::error::access_denied) return ec == asio::error::address_in_use;
    asio::ip::tcp::socket client(io);  // a port that only root may listen at; on this machine that is answered at once
    client.connect({address, port}, ec);
    return !ec;
  };
  return in_use(asio::ip::address_v4::loopback()) || in_use(asio::ip::address_v6::loopback());
}

std::uint16_t port_of(const core::ServiceSpec& service) {
  return service.ready_port != 0 ? service.ready_port : service.port.value_or(0);
}

}  // namespace

class Readiness::Impl : public std::enable_shared_from_this<Impl> {
 public:
  Impl(asio::io_context& io, exec::Executor& executor, Setup setup)
      : io_(io), executor_(executor), setup_(std::move(setup)) {}

  std::string prepare(std::uint32_t job) {
    using Ready = core::ServiceSpec::Ready;
    const core::ServiceSpec& service = *setup_.spec->jobs[job].service;
    Asked& asked = asked_.try_emplace(job, io_).first->second;
    if (service.ready == Ready::file) {
      asked.before = stamp_of(service.ready_file);
      if (asked.before) {
        setup_.notice("service " + setup_.spec->jobs[job].name + ": " + util::escape_for_display(service.ready_file) +
                      " was there before it; it is ready once that is written anew");
      }
    }
    if (service.ready != Ready::port || !is_taken(io_, port_of(service))) return {};
    return "another program has its port, " + std::to_string(port_of(service)) +
           ": end that, or give the service another port";
  }

  void begin(std::uint32_t job) {
    auto [place, is_new] = asked_.try_emplace(job, io_);
    place->second.pause = kFirstPause;
    ++place->second.round;
    asio::post(io_, [self = shared_from_this(), job, round = place->second.round] { self->ask(job, round); });
  }

  void stop(std::uint32_t job) {
    const auto found = asked_.find(job);
    if (found == asked_.end()) return;
    ++found->second.round;
    found->second.timer.cancel();
    error_code ec;
    found->second.socket.close(ec);
    if (found->second.probe_runs) executor_.signal(probe_id(job), exec::How::kill);
  }

  void stop_all() {
    for (auto& [job, asked] : asked_) stop(job);
  }

  void finished(const core::AttemptId& id, const core::Ending& ending) {
    const std::uint32_t job = id.job - kProbes;
    Asked& asked = asked_.at(job);
    asked.probe_runs = false;
    if (asked.probed_round != asked.round) {  // it was for a life that has ended; the next one waits for the slot
      if (asked.waits_for_slot) ask(job, asked.round);
      return;
    }
    answer(job, asked.round, ending.outcome == core::Outcome::succeeded);
  }

 private:
  struct Asked {
    explicit Asked(asio::io_context& io) : timer(io), socket(io) {}
    asio::steady_timer timer;
    asio::ip::tcp::socket socket;
    std::optional<FileStamp> before;  ///< the file, when the service was not started yet
    util::Duration pause{};
    std::uint64_t round = 0;  ///< of the service's life; what belongs to an earlier one is ignored
    std::uint64_t probed_round = 0;
    std::uint32_t probes = 0;
    bool probe_runs = false;
    bool waits_for_slot = false;
  };

  core::AttemptId probe_id(std::uint32_t job) const {
    return {.job = kProbes + job, .slice = 0, .number = asked_.at(job).probes};
  }

  void ask(std::uint32_t job, std::uint64_t round) {
    using Ready = core::ServiceSpec::Ready;
    Asked& asked = asked_.at(job);
    if (asked.round != round) return;
    const core::ServiceSpec& service = *setup_.spec->jobs[job].service;
    switch (service.ready) {
      case Ready::at_once:
        return answer(job, round, true);
      case Ready::file: {
        const auto now = stamp_of(service.ready_file);
        return answer(job, round, now && now != asked.before);
      }
      case Ready::port:
        return connect(job, round, port_of(service));
      case Ready::command:
        return run_probe(job, service.probe.front());
    }
  }

  void answer(std::uint32_t job, std::uint64_t round, bool is_ready) {
    Asked& asked = asked_.at(job);
    if (asked.round != round) return;
    if (is_ready) return setup_.ready(job);
    asked.timer.expires_after(asked.pause);
    asked.pause = std::min<util::Duration>(asked.pause * 2, kLastPause);
    asked.timer.async_wait([self = shared_from_this(), job, round](const error_code& ec) {
      if (!ec) self->ask(job, round);
    });
  }

  /// By IPv4, and where nobody listens there by IPv6. A connection that hangs is ended with the service, by the time it
  /// has to become ready.
  void connect(std::uint32_t job, std::uint64_t round, std::uint16_t port,
               const asio::ip::address& address = asio::ip::address_v4::loopback()) {
    Asked& asked = asked_.at(job);
    asked.socket = asio::ip::tcp::socket(io_);
    const bool is_first = address.is_v4();
    asked.socket.async_connect({address, port}, [self = shared_from_this(), job, round, port, is_first](error_code ec) {
      Asked& now = self->asked_.at(job);
      if (now.round != round) return;
      error_code ignored;
      now.socket.close(ignored);
      if (ec && is_first) return self->connect(job, round, port, asio::ip::address_v6::loopback());
      self->answer(job, round, !ec);
    });
  }

  void run_probe(std::uint32_t job, const core::JobSpec& probe) {
    Asked& asked = asked_.at(job);
    asked.waits_for_slot = asked.probe_runs;
    if (asked.probe_runs) return;
    auto expanded =
        core::expand_attempt(*setup_.spec, probe, {.slice = 0, .attempt = 1, .slot = 0, .run_id = setup_.run_id});
    if (!expanded) return setup_.notice(probe.name + ": " + expanded.error().message);
    // It says nothing but its exit code: what it writes, ten times a second, is no log.
    const std::string quiet = "exec >/dev/null 2>&1; " + core::to_shell_line(expanded->command);
    expanded->command = {.argv = {"/bin/sh", "-c", quiet}, .through_shell = true};
    asked.probed_round = asked.round;
    ++asked.probes;
    asked.probe_runs = true;
    executor_.launch({.id = probe_id(job),
                      .slot = kProbes + job,
                      .attempt = std::move(*expanded),
                      .key = probe.name,
                      .log = "slices/" + probe.name + ".log",
                      .job = nullptr});
  }

  asio::io_context& io_;
  exec::Executor& executor_;
  Setup setup_;
  std::map<std::uint32_t, Asked> asked_;
};

Readiness::Readiness(asio::io_context& io, exec::Executor& executor, Setup setup)
    : impl_(std::make_shared<Impl>(io, executor, std::move(setup))) {}

Readiness::~Readiness() = default;

std::string Readiness::prepare(std::uint32_t job) {
  return impl_->prepare(job);
}

void Readiness::begin(std::uint32_t job) {
  impl_->begin(job);
}

void Readiness::stop(std::uint32_t job) {
  impl_->stop(job);
}

void Readiness::stop_all() {
  impl_->stop_all();
}

bool Readiness::is_probe(const core::AttemptId& id) {
  return id.job >= kProbes;
}

void Readiness::finished(const core::AttemptId& id, const core::Ending& ending) {
  impl_->finished(id, ending);
}

}  // namespace runner::run
