// runner suspend, resume, cancel, retry, disable, enable, scale: asks a live run, by its control socket.
#include "commands.hpp"
#include "common.hpp"
#include "control/client.hpp"
#include "control/place.hpp"
#include "exit_codes.hpp"
#include "report/json_writer.hpp"
#include "util/text.hpp"

namespace runner::app {

namespace {

constexpr unsigned kOk = 200;

std::string body_of(const ControlCommand& command) {
  report::JsonWriter json;
  json.begin_object();
  if (command.n_procs) json.member("n_procs", *command.n_procs);
  if (!command.slices.empty()) {
    json.key("slices");
    json.begin_array();
    for (const std::string& text : command.slices) json.value(text);
    json.end_array();
  }
  json.end_object();
  return json.text();
}

util::Result<control::Answer> ask(const std::string& state_dir, const ControlCommand& command) {
  const auto place = control::find_place(state_dir);
  if (!place) return place.error();
  return control::ask(*place, "POST", "/v1/" + command.what, body_of(command));
}

std::string unreachable(const store::StateDir& dir, const std::string& why) {
  const auto owner = dir.owner();
  const std::string who =
      owner && owner->pid != 0 ? " (pid " + std::to_string(owner->pid) + " on " + owner->host + ")" : "";
  const std::string by_signal = who.empty() ? ""
                                            : "; by signals, there: kill -INT " + std::to_string(owner->pid) +
                                                  " starts no further slice, kill -TERM " + std::to_string(owner->pid) +
                                                  " ends what runs as well";
  return "the run is live" + who + ", but does not answer from here: " + why + by_signal;
}

}  // namespace

int control(const ControlCommand& command) {
  auto found = find_recorded_run(command.common, std::nullopt);
  if (const auto* code = std::get_if<ExitCode>(&found)) return *code;
  const RecordedRun& run = std::get<RecordedRun>(found);
  const std::string& spec_path = run.stored.info.spec_path;
  if (!run.live) {
    complain("no run of " + display_path(spec_path) + " is live; how the last one ended: runner status " +
             spec_arguments(command.common, spec_path) +
             "; to finish it: " + resume_command(command.common, spec_path));
    return kUsage;
  }
  const auto answer = ask(run.state_dir.path(), command);
  if (!answer) {
    complain(unreachable(run.state_dir, answer.error().message));
    return kUsage;
  }
  if (answer->status == kOk) return kSucceeded;  // the run itself says what was done
  complain(control::error_in(std::string(util::trim(answer->body))));
  return kUsage;
}

bool resume_live(const std::string& state_dir, const std::vector<std::string>& slices) {
  ControlCommand command;
  command.what = "resume";
  command.slices = slices;
  const auto answer = ask(state_dir, command);
  if (!answer) return false;
  if (answer->status == kOk) return true;
  complain(control::error_in(std::string(util::trim(answer->body))));
  return false;
}

}  // namespace runner::app
