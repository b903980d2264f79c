#include "exec/starter.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <filesystem>
#include <string_view>
#include <utility>
#include <vector>

#include "exec/attempt_files.hpp"
#include "exec/cookie.hpp"
#include "exec/counter_files.hpp"
#include "proc/child.hpp"
#include "proc/environment.hpp"
#include "proc/launcher.hpp"
#include "proc/program.hpp"

namespace runner::exec {
namespace {

/// What the child gets as 0, 1 and 2, and our ends of its pipes.
struct Streams {
  util::Fd in_file, out_file;
  util::Pipe out_pipe, err_pipe;
  int in = -1, out = -1, err = -1;
};

/// The program that was started last: most runs start one program a million times.
struct Found {
  std::string name, path_value, workdir;
  std::filesystem::path path;
};

/// A full disk is worth waiting for: else every slice that is left would be not_started within a second.
util::Error shortage_if_full(util::Error error) {
  if (error.errno_value == ENOSPC || error.errno_value == EDQUOT) error.errno_value = EAGAIN;
  return error;
}

/// The same for every slice. NOTIFY_SOCKET replaces one of our own: that is for us to speak to.
std::vector<std::string> handed_down(const Starter::Options& options) {
  return {"RUNNER_SEM_DIR=" + options.run_dir + "/sem", "NOTIFY_SOCKET=" + options.notify_address};
}

}  // namespace

struct Starter::Impl {
  explicit Impl(Options given)
      : options(std::move(given)),
        environment(::environ, handed_down(options)),
        counters(options.run_dir, options.cookie_prefix) {
    launcher.use_pidfd = options.use_pidfd;
    launcher.umask = options.umask;
    launcher.descriptor_limit = options.descriptor_limit;
    std::error_code error;
    workdir = std::filesystem::current_path(error).native();
  }

  util::Result<Streams> open_streams(const LaunchRequest& request, SlotLog& log);
  util::Result<const std::filesystem::path*> program(const core::ExpandedAttempt& attempt);
  util::Result<proc::Spawned> spawn(const LaunchRequest& request, const Streams& streams);

  Options options;
  proc::Launcher launcher;
  proc::Environment environment;
  CounterFiles counters;
  util::Fd null;
  std::array<std::string, 2> marks;  ///< what no `env` of the spec replaces
  std::string workdir;               ///< ours: a child that is to work here is here already
  std::vector<const char*> argv;
  Found last;
};

util::Result<Streams> Starter::Impl::open_streams(const LaunchRequest& request, SlotLog& log) {
  Streams streams;
  const auto fd = log.open(request.id, request.new_draft);
  if (!fd) return shortage_if_full({"cannot open a log: " + fd.error().message, fd.error().errno_value});
  streams.out = streams.err = *fd;
  if (!request.attempt.stdin_path.empty()) {
    auto file = open_stdin(request.attempt);
    if (!file) return std::move(file.error());
    streams.in_file = std::move(*file);
    streams.in = streams.in_file.get();
  } else {
    if (!null) {
      auto opened = util::open_file("/dev/null", O_RDONLY);
      if (!opened) return std::move(opened.error());
      null = std::move(*opened);
    }
    streams.in = null.get();
  }
  if (options.capture) {
    for (auto* pipe : {&streams.out_pipe, &streams.err_pipe}) {
      auto made = util::make_pipe();
      if (!made) return std::move(made.error());
      *pipe = std::move(*made);
    }
    streams.out = streams.out_pipe.write.get();
    streams.err = streams.err_pipe.write.get();
  }
  if (!request.attempt.stdout_path.empty()) {
    auto file = open_stdout(request.attempt);
    if (!file) return shortage_if_full(std::move(file.error()));
    streams.out_file = std::move(*file);
    streams.out = streams.out_file.get();
    streams.out_pipe = {};
  }
  return streams;
}

util::Result<const std::filesystem::path*> Starter::Impl::program(const core::ExpandedAttempt& attempt) {
  const std::string& name = attempt.command.argv.front();
  const char* path = environment.find("PATH");
  const std::string_view path_value = path == nullptr ? "" : path;
  if (last.name != name || last.path_value != path_value || last.workdir != attempt.workdir) {
    auto found = proc::find_program(name, path, attempt.workdir);
    if (!found) return std::move(found.error());
    last = {name, std::string(path_value), attempt.workdir, std::move(*found)};
  }
  return &last.path;
}

util::Result<proc::Spawned> Starter::Impl::spawn(const LaunchRequest& request, const Streams& streams) {
  const core::ExpandedAttempt& attempt = request.attempt;
  if (attempt.command.argv.empty()) return util::Error{"cannot execute: the command is empty"};
  marks[0] = cookie_of(options.cookie_prefix, request.id);
  marks[1] = "RUNNER_COUNTERS=" + counters.path(request.id);
  launcher.env = environment.with(attempt.env, marks);
  const bool is_here = attempt.workdir.empty() || attempt.workdir == workdir;
  launcher.workdir = is_here ? nullptr : attempt.workdir.c_str();
  argv.clear();
  for (const auto& argument : attempt.command.argv) argv.push_back(argument.c_str());
  argv.push_back(nullptr);
  while (true) {
    const bool searched = last.name != attempt.command.argv.front();
    const auto executable = program(attempt);
    if (!executable) return executable.error();
    auto spawned = launcher.launch(**executable, argv.data(),
                                   boost::process::v2::process_stdio{streams.in, streams.out, streams.err});
    if (spawned.failed == proc::Stage::none) return spawned;
    const auto error =
        proc::describe_failure(spawned, attempt.command.argv.front(), last.path.native(), attempt.workdir);
    last.name.clear();
    const bool may_have_moved = spawned.failed == proc::Stage::exec && !searched;
    if (!may_have_moved || is_shortage(error)) return error;
  }
}

Starter::Starter(Options options) : impl_(std::make_unique<Impl>(std::move(options))) {}

Starter::~Starter() = default;

util::Result<Starter::Child> Starter::start(const LaunchRequest& request, SlotLog& log) {
  auto streams = impl_->open_streams(request, log);
  if (!streams) return std::move(streams.error());
  auto spawned = impl_->spawn(request, *streams);
  if (!spawned) return std::move(spawned.error());
  return Child{spawned->pid, std::move(spawned->pidfd), std::move(streams->out_pipe.read),
               std::move(streams->err_pipe.read)};
}

void Starter::settle_counters(const core::AttemptId& id, core::Ending& ending) {
  impl_->counters.settle(id, ending);
}

bool Starter::is_shortage(const util::Error& error) {
  switch (error.errno_value) {
    case EAGAIN:
    case ENOMEM:
    case EMFILE:
    case ENFILE:
      return true;
    default:
      return false;
  }
}

}  // namespace runner::exec
