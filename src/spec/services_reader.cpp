#include "spec/services_reader.hpp"

#include <algorithm>
#include <chrono>
#include <optional>
#include <set>
#include <utility>

#include "spec/attached_job.hpp"
#include "spec/jobs_reader.hpp"
#include "spec/limits.hpp"
#include "util/text.hpp"

namespace runner::spec {
namespace {

constexpr std::int64_t kMaxRestarts = 1'000'000;
constexpr std::int64_t kMaxPort = 65'535;

const std::vector<std::string> kKeys = {"command",  "ready",         "port",  "needs", "restart",
                                        "restarts", "restart_delay", "grace", "env",   "workdir"};

class ServicesReader {
 public:
  ServicesReader(const Node& map, const Node& root, const JobContext& context, core::Spec& spec, Reader& reader)
      : map_(map),
        around_(root),
        context_(context),
        spec_(spec),
        reader_(reader),
        first_(static_cast<std::uint32_t>(spec.jobs.size())) {
    std::set<std::string> names;
    for (const core::JobSpec& job : spec.jobs) {
      for (std::string& name : job.slices.variable_names()) names.insert(std::move(name));
    }
    slice_variables_.assign(names.begin(), names.end());
  }

  void read() {
    if (!reader_.is_map(map_, "services", "{db: {command: ./serve, ready: {port: 6379}}}")) return;
    if (!reader_.is_within(map_, "services", kMaxNames)) return;
    for (std::size_t i = 0; i < map_.keys.size(); ++i) read_one(map_.keys[i], map_.items[i]);
    for (std::uint32_t j = 0; j < first_; ++j) {
      for (std::uint32_t s = first_; s < spec_.jobs.size(); ++s)
        spec_.jobs[j].needs.push_back({.job = s, .after = core::Need::After::up});
    }
  }

 private:
  void read_one(const Node& key, const Node& node) {
    const std::string name = key.value;
    if (const std::string wrong = wrong_name(name); !wrong.empty())
      reader_.error(key, "the name of a service " + wrong);
    const bool taken =
        name == spec_.name || std::ranges::find(spec_.jobs, name, &core::JobSpec::name) != spec_.jobs.end();
    if (taken)
      reader_.error(key, "`" + name + "` is the name of the run, or of a job: call the service something else");
    core::ServiceSpec service;
    const bool is_map = node.kind == Node::Kind::map;
    if (const Node* port = is_map ? node.find("port") : nullptr) read_port(*port, service);
    JobContext context = context_;
    context.name = name;
    const Surroundings around{around_, slice_variables_, service.port.has_value()};
    core::JobSpec job = read_attached_job(node, "services." + name, kKeys, around, context, reader_);
    job.kind = core::JobKind::service;
    job.retry.retries = 0;
    if (is_map) {
      if (const Node* ready = node.find("ready")) read_ready(*ready, name, around, service);
      read_restart(node, job);
      if (const Node* needs = node.find("needs")) read_needs(*needs, job);
    }
    job.timeout = service.ready_timeout;  // until it is ready
    job.service = std::move(service);
    spec_.jobs.push_back(std::move(job));
  }

  void read_port(const Node& node, core::ServiceSpec& service) {
    if (node.kind == Node::Kind::scalar && node.value == "auto") {
      service.port = 0;
    } else if (const auto port = reader_.integer(node, "port", {1, kMaxPort})) {
      service.port = static_cast<std::uint16_t>(*port);
    }
  }

  /// `ready: port`, `ready: {port: 6379}`, `{file: up}`, `{command: ...}`, each with a timeout.
  void read_ready(const Node& node, const std::string& name, const Surroundings& around, core::ServiceSpec& service) {
    using Ready = core::ServiceSpec::Ready;
    if (node.kind == Node::Kind::scalar) {
      if (node.value != "port" || !service.port)
        return reader_.error(
            node, "`ready` wants {command: ...}, {port: 6379}, {file: up}, or just port where the service has one");
      service.ready = Ready::port;
      return;
    }
    if (!reader_.is_map(node, "ready", "{port: 6379, timeout: 30s}")) return;
    reader_.check_keys(node, "ready", {"command", "port", "file", "timeout"});
    if (const Node* timeout = node.find("timeout")) {
      if (const auto value = reader_.duration(*timeout, "ready.timeout", false)) service.ready_timeout = *value;
    }
    const Node* command = node.find("command");
    const Node* port = node.find("port");
    const Node* file = node.find("file");
    if ((command != nullptr) + (port != nullptr) + (file != nullptr) != 1)
      return reader_.error(node, "`ready` wants one of command, port and file");
    if (port != nullptr) {
      service.ready = Ready::port;
      if (const auto number = reader_.integer(*port, "ready.port", {1, kMaxPort}))
        service.ready_port = static_cast<std::uint16_t>(*number);
    } else if (file != nullptr) {
      service.ready = Ready::file;
      service.ready_file = reader_.path(*file, "ready.file", spec_.spec_dir).value_or("");
    } else {
      service.ready = Ready::command;
      JobContext context = context_;
      context.name = name + ":ready";
      service.probe.push_back(read_attached_job(*command, "ready", {}, around, context, reader_));
    }
  }

  void read_restart(const Node& node, core::JobSpec& job) {
    const Node* restart = node.find("restart");
    const auto word = restart == nullptr ? std::optional<std::string>("never")
                                         : reader_.word(*restart, "restart", {"never", "on-failure"});
    if (!word) return;
    if (*word == "never") {
      for (const char* key : {"restarts", "restart_delay"}) {
        if (const Node* unused = node.find(key))
          reader_.error(*unused, quoted(key) + " says nothing without restart: on-failure");
      }
      return;
    }
    job.retry.retries = 3;
    job.retry.delay = std::chrono::seconds(1);
    if (const Node* count = node.find("restarts")) {
      if (const auto n = reader_.integer(*count, "restarts", {1, kMaxRestarts}))
        job.retry.retries = static_cast<std::uint32_t>(*n);
    }
    if (const Node* delay = node.find("restart_delay")) {
      if (const auto value = reader_.duration(*delay, "restart_delay", true)) job.retry.delay = *value;
      job.retry.delay_max = std::max(job.retry.delay_max, job.retry.delay);
    }
  }

  /// Other services, of those before it in the file: an order without circles.
  void read_needs(const Node& node, core::JobSpec& job) {
    std::vector<const Node*> names;
    if (node.kind == Node::Kind::list) {
      for (const Node& item : node.items) names.push_back(&item);
    } else {
      names.push_back(&node);
    }
    for (const Node* name : names) {
      const auto text = reader_.text(*name, "needs");
      if (!text) continue;
      const auto found = std::find_if(spec_.jobs.begin() + first_, spec_.jobs.end(),
                                      [&](const core::JobSpec& other) { return other.name == *text; });
      if (found == spec_.jobs.end()) {
        reader_.error(*name, "`needs` names `" + util::escape_for_display(*text, 60) +
                                 "`, but no service of that name stands before this one");
        continue;
      }
      job.needs.push_back(
          {.job = static_cast<std::uint32_t>(found - spec_.jobs.begin()), .after = core::Need::After::up});
    }
  }

  const Node& map_;
  JobMap around_;
  const JobContext& context_;
  core::Spec& spec_;
  Reader& reader_;
  std::uint32_t first_;  ///< service, by its place in spec_.jobs
  std::vector<std::string> slice_variables_;
};

}  // namespace

void read_services(const Node& root, const JobContext& context, core::Spec& spec, Reader& reader) {
  if (const Node* map = root.find("services")) ServicesReader(*map, root, context, spec, reader).read();
}

}  // namespace runner::spec
