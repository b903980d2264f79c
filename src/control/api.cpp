#include "control/api.hpp"

#include <algorithm>
#include <boost/json/src.hpp>  // header-only, in this file alone
#include <charconv>
#include <map>
#include <optional>

#include "report/json_writer.hpp"
#include "util/text.hpp"

namespace runner::control {
namespace {

using report::JsonWriter;

constexpr std::uint64_t kPage = 100;
constexpr std::uint64_t kMaxPage = 1000;

/// The writer's text on one line: a newline in a text is escaped, so the ones that are there are its own.
std::string on_one_line(const std::string& text) {
  std::string line;
  line.reserve(text.size() + 1);
  for (std::size_t at = 0; at < text.size();) {
    const auto end = std::min(text.find('\n', at), text.size());
    line.append(text, at, end - at);
    at = text.find_first_not_of(' ', std::min(end + 1, text.size()));
  }
  return line + "\n";
}

std::optional<std::string> decoded(std::string_view text) {
  std::string plain;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      plain += text[i] == '+' ? ' ' : text[i];
      continue;
    }
    unsigned byte = 0;
    const auto* begin = text.data() + i + 1;
    if (i + 2 >= text.size() || std::from_chars(begin, begin + 2, byte, 16).ptr != begin + 2) return std::nullopt;
    plain += static_cast<char>(byte);
    i += 2;
  }
  return plain;
}

using Query = std::map<std::string, std::string>;

util::Result<Query> parse_query(std::string_view text) {
  Query query;
  while (!text.empty()) {
    const std::string_view pair = text.substr(0, text.find('&'));
    text.remove_prefix(std::min(text.size(), pair.size() + 1));
    const auto name = decoded(pair.substr(0, pair.find('=')));
    const auto value = decoded(pair.find('=') == std::string_view::npos ? "" : pair.substr(pair.find('=') + 1));
    if (!name || !value) return util::Error{"the query is not percent-encoded"};
    query[*name] = *value;
  }
  return query;
}

util::Result<std::uint64_t> number_in(const Query& query, const std::string& name, std::uint64_t otherwise) {
  const auto it = query.find(name);
  if (it == query.end()) return otherwise;
  const auto number = util::parse_int(it->second);
  if (!number || *number < 0) return util::Error{name + " is a number, not \"" + it->second + "\""};
  return static_cast<std::uint64_t>(*number);
}

core::IntervalSet running_slices(const core::JobView& job, bool suspended) {
  core::IntervalSet slices;
  for (const auto& [slice, attempt] : job.running()) {
    if (attempt.suspended == suspended) slices.insert(slice);
  }
  return slices;
}

/// In the order of the lifecycle; a slice is in one of them.
std::vector<std::pair<std::string, core::IntervalSet>> by_state(const core::JobView& job,
                                                                const core::IntervalSet& all) {
  const auto running = running_slices(job, false);
  const auto suspended = running_slices(job, true);
  const auto completed = job.succeeded_slices();
  const auto terminated = job.failed_slices();
  auto ready = all.without(running).without(suspended).without(completed).without(terminated);
  const auto disabled = job.state() == core::State::disabled ? ready : job.disabled_slices().intersect(ready);
  return {{"disabled", disabled},   {"ready", ready.without(disabled)}, {"running", running},
          {"suspended", suspended}, {"completed", completed},           {"terminated", terminated}};
}

void write_slice(JsonWriter& json, const Access& access, std::uint32_t j, std::uint64_t slice,
                 const std::string& state) {
  const core::JobView& job = access.view().jobs[j];
  json.begin_object();
  json.member("job", job.name());
  json.member("slice", slice);
  json.member("key", access.spec->jobs[j].slices.key(slice));
  json.member("state", state);
  if (const auto it = job.running().find(slice); it != job.running().end()) {
    json.member("attempt", it->second.record.id.number);
    json.member("pid", it->second.record.pid);
  }
  json.end_object();
}

/// Pages go through the jobs in order, in each through the states, in each by index.
Reply slices_page(const Query& query, const Access& access) {
  for (const auto& [name, value] : query) {
    if (name != "job" && name != "state" && name != "offset" && name != "limit") {
      return error_reply(400, "no parameter \"" + name + "\": there are job, state, offset and limit");
    }
  }
  const auto offset = number_in(query, "offset", 0);
  const auto limit = number_in(query, "limit", kPage);
  if (!offset || !limit) return error_reply(400, (!offset ? offset : limit).error().message);
  const auto job_name = query.find("job");
  const auto state = query.find("state");
  std::uint64_t left = std::min(*limit, kMaxPage);
  std::uint64_t total = 0;
  bool job_found = job_name == query.end();
  bool state_found = state == query.end();
  JsonWriter json;
  json.begin_object();
  json.key("slices");
  json.begin_array();
  for (std::uint32_t j = 0; j < access.view().jobs.size(); ++j) {
    const core::JobView& job = access.view().jobs[j];
    if (job_name != query.end() && job_name->second != job.name()) continue;
    job_found = true;
    for (const auto& [name, slices] : by_state(job, access.slices[j])) {
      if (state != query.end() && state->second != name) continue;
      state_found = true;
      for (const auto& [first, last] : slices.intervals()) {
        const std::uint64_t before = total;
        total += last - first + 1;
        std::uint64_t slice = first + (*offset > before ? std::min(*offset - before, last - first + 1) : 0);
        for (; slice <= last && left > 0; ++slice, --left) write_slice(json, access, j, slice, name);
      }
    }
  }
  if (!job_found) return error_reply(404, "no job \"" + job_name->second + "\"");
  if (!state_found) {
    return error_reply(
        400, "no state \"" + state->second + "\": disabled, ready, running, suspended, completed, terminated");
  }
  json.end_array();
  json.member("total", total);
  json.end_object();
  return {.body = on_one_line(json.text())};
}

/// {"slices": "A/3,7-9"} or a list of such, {"job": "A"} with slices of that job or alone; nothing: the whole run.
util::Result<std::vector<std::string>> slices_in(const boost::json::object& body) {
  std::vector<std::string> texts;
  std::optional<std::string> job;
  for (const auto& [name, value] : body) {
    if (name == "job" && value.is_string()) {
      job = std::string(value.get_string());
    } else if (name == "slices" && value.is_string()) {
      texts.emplace_back(value.get_string());
    } else if (name == "slices" && value.is_array()) {
      for (const auto& one : value.get_array()) {
        if (one.is_string()) {
          texts.emplace_back(one.get_string());
        } else if (one.is_int64()) {
          texts.push_back(std::to_string(one.get_int64()));
        } else {
          return util::Error{"\"slices\" holds texts such as \"3,7-9\", or numbers"};
        }
      }
      if (texts.empty()) return util::Error{"\"slices\" is empty: leave it out to mean all"};
    } else {
      return util::Error{"\"" + std::string(name) + "\" is not known, or of the wrong type: there are job and slices"};
    }
  }
  if (job && texts.empty()) return std::vector{*job};
  if (job) std::ranges::for_each(texts, [&](std::string& text) { text.insert(0, *job + "/"); });
  return texts;
}

util::Result<boost::json::object> object_in(const std::string& body) {
  if (util::trim(body).empty()) return boost::json::object();
  boost::system::error_code error;
  boost::json::parse_options options;
  options.max_depth = 4;
  auto value = boost::json::parse(body, error, {}, options);
  if (error || !value.is_object()) return util::Error{"the body is no JSON object"};
  return std::move(value.get_object());
}

Reply steer(core::Steering what, const Request& request, const Access& access) {
  const auto body = object_in(request.body);
  if (!body) return error_reply(400, body.error().message);
  const auto slices = slices_in(*body);
  if (!slices) return error_reply(400, slices.error().message);
  const auto done = access.steer(what, *slices, request.user);
  if (!done) return error_reply(409, done.error().message);
  JsonWriter json;
  json.begin_object();
  json.member("slices", *done);
  json.end_object();
  return {.body = on_one_line(json.text())};
}

Reply scale(const Request& request, const Access& access) {
  const auto body = object_in(request.body);
  if (!body) return error_reply(400, body.error().message);
  const auto* n_procs = body->if_contains("n_procs");
  if (n_procs == nullptr || !n_procs->is_int64() || n_procs->get_int64() < 0 || n_procs->get_int64() > UINT32_MAX) {
    return error_reply(400, "wanted: {\"n_procs\": N}");
  }
  const auto done = access.scale(static_cast<std::uint32_t>(n_procs->get_int64()), request.user);
  if (!done) return error_reply(409, done.error().message);
  JsonWriter json;
  json.begin_object();
  json.member("n_procs", n_procs->get_int64());
  json.end_object();
  return {.body = on_one_line(json.text())};
}

}  // namespace

Reply error_reply(unsigned status, std::string_view message) {
  JsonWriter json;
  json.begin_object();
  json.member("error", message);
  json.end_object();
  return {.status = status, .body = on_one_line(json.text())};
}

Reply answer(const Request& request, const Access& access) {
  const auto query_at = request.target.find('?');
  const std::string path = request.target.substr(0, query_at);
  const auto query = parse_query(query_at == std::string::npos ? std::string_view()
                                                               : std::string_view(request.target).substr(query_at + 1));
  if (!query) return error_reply(400, query.error().message);
  constexpr std::string_view kVersion = "/v1/";
  const std::string name = path.starts_with(kVersion) ? path.substr(kVersion.size()) : "";
  const auto steering = core::steering_from(name);
  const bool is_post = steering || name == "scale";
  if (!is_post && name != "run" && name != "slices" && name != "events") {
    return error_reply(404,
                       "there are GET /v1/run, /v1/slices, /v1/events and POST /v1/suspend, /v1/resume, "
                       "/v1/cancel, /v1/retry, /v1/disable, /v1/enable, /v1/scale");
  }
  if (request.method != (is_post ? "POST" : "GET")) {
    return error_reply(405, path + " wants " + (is_post ? "POST" : "GET"));
  }
  if (steering) return steer(*steering, request, access);
  if (name == "scale") return scale(request, access);
  if (name == "slices") return slices_page(*query, access);
  if (name == "events") return {.is_stream = true};
  return {.body = access.status()};
}

std::string event_line(const core::Event& event) {
  JsonWriter json;
  json.begin_object();
  json.key("at");
  json.value(util::unix_seconds(event.at), 6);
  const bool is_slice = event.kind == core::SystemKind::slice;
  json.member("system", is_slice ? "slice" : event.kind == core::SystemKind::job ? "job" : "run");
  json.member("name", event.name);
  json.member("state", core::name(event.state));
  json.member("pid", event.pid);
  if (is_slice) {
    json.member("slice", event.id.slice);
    json.member("key", event.key);
    json.member("attempt", event.id.number);
  }
  if (event.ending) {
    json.member("outcome", core::name(event.ending->outcome));
    json.member("exit_code", event.ending->exit_code);
    json.member("signal", event.ending->signal);
    json.key("runtime_s");
    json.value(util::seconds(event.ending->runtime), 6);
    json.member("again", event.retry_in.has_value());
  }
  if (!event.reason.empty()) json.member("reason", event.reason);
  json.end_object();
  return on_one_line(json.text());
}

}  // namespace runner::control
