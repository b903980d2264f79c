// Server: the control socket of a live run, HTTP/1.1 on the loop's io_context. An observer, for its stream of events.
// Never blocks, and never holds much: clients, requests and what waits to be read are bounded; one that is too slow is
// dropped. Owned by the command that runs the run; lives as long as the loop. After on_end() it lets go of the
// io_context within two seconds.
#pragma once

#include <memory>

#include "control/api.hpp"
#include "control/place.hpp"
#include "report/observer.hpp"

namespace boost::asio {
class io_context;
}

namespace runner::control {

class Server final : public report::Observer {
 public:
  /// Without a listener (there may be no place for a socket) it does nothing.
  explicit Server(boost::asio::io_context& io);
  ~Server() override;
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  void serve(Listener listener, Access access);

  void on_event(const core::Event& event, const core::RunView& view) override;
  void on_tick(const core::RunView& view, util::TimePoint now) override;
  void on_notice(const std::string& message) override;
  void on_end(const core::RunView& view) override;

 private:
  class Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace runner::control
