// Api: what the control socket answers, without the socket: a request in, a reply out. Knows HTTP's methods, paths and
// status codes and nothing of bytes or connections, so that it is tested as it is. What it may do with the run comes as
// functions. Single-threaded, on the loop's thread.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "core/event.hpp"
#include "core/run_view.hpp"
#include "core/spec.hpp"
#include "core/steer.hpp"
#include "util/result.hpp"

namespace runner::control {

/// The run, as the api may see and steer it. All of it outlives the server.
struct Access {
  const core::Spec* spec = nullptr;
  std::vector<core::IntervalSet> slices;  ///< by job: those the run is about
  std::function<const core::RunView&()> view;
  std::function<std::string()> status;  ///< as `runner status --json` writes it
  std::function<util::Result<std::uint64_t>(core::Steering, const std::vector<std::string>&, const std::string& by)>
      steer;
  std::function<util::Result<void>(std::uint32_t slots, const std::string& by)> scale;
};

struct Request {
  std::string method;
  std::string target;  ///< path and query
  std::string body;
  std::string user;
};

struct Reply {
  unsigned status = 200;
  std::string body{};      ///< JSON
  bool is_stream = false;  ///< the events from now on, instead of a body
};

Reply answer(const Request& request, const Access& access);

/// {"error": "..."}
Reply error_reply(unsigned status, std::string_view message);
/// One line of JSON, newline included.
std::string event_line(const core::Event& event);

}  // namespace runner::control
