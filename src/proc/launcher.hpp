// Launcher: Boost.Process v2's custom launcher over spawn(): honours the initializers (process_stdio,
// process_start_dir, process_environment, posix::bind_fd) and returns a basic_process, or, for callers that wait
// themselves, the bare pid and pidfd. Owned by whoever launches, reusable, not thread-safe. Heavy: include it from .cpp
// files only.
#pragma once

// v2 uses boost_filesystem unless told so, and (1.81) then misses what came along with it.
#define BOOST_PROCESS_USE_STD_FS 1
#include <boost/optional.hpp>
#include <boost/type_traits.hpp>
#include <memory>

#include <algorithm>
#include <array>
#include <boost/process/v2/environment.hpp>
#include <boost/process/v2/posix/bind_fd.hpp>
#include <boost/process/v2/posix/default_launcher.hpp>
#include <boost/process/v2/process.hpp>
#include <boost/process/v2/start_dir.hpp>
#include <boost/process/v2/stdio.hpp>
#include <cerrno>
#include <filesystem>
#include <type_traits>
#include <utility>
#include <vector>

#include "proc/spawn.hpp"

namespace runner::proc {

class Launcher : public boost::process::v2::posix::default_launcher {
 public:
  using error_code = boost::process::v2::error_code;
  using Argv = const char* const*;

  std::optional<mode_t> umask;
  std::optional<std::uint64_t> descriptor_limit;  ///< as SpawnPlan's
  const char* workdir = nullptr;  ///< as process_start_dir, without a copy, and a failure is told as Stage::workdir
  bool use_pidfd = true;

  /// Starts `executable` with exactly `argv` (argv[0] included). A script without "#!" is run by /bin/sh, as execvp
  /// does. The child is the caller's to reap.
  template <class... Inits>
  Spawned launch(const std::filesystem::path& executable, Argv argv, Inits&&... inits);

  /// The interface v2 asks of a launcher. The returned object kills and reaps the child unless detached.
  template <class Executor, class Args, class... Inits>
  requires boost::asio::execution::is_executor<Executor>::value || boost::asio::is_executor<Executor>::value auto
  operator()(Executor executor, error_code& ec, const std::filesystem::path& executable, Args&& args, Inits&&... inits)
      -> boost::process::v2::basic_process<Executor>;
  template <class Context, class Args, class... Inits>
  requires std::is_convertible_v<Context&, boost::asio::execution_context&>
  auto operator()(Context& context, error_code& ec, const std::filesystem::path& executable, Args&& args,
                  Inits&&... inits) {
    return (*this)(context.get_executor(), ec, executable, std::forward<Args>(args), std::forward<Inits>(inits)...);
  }
  /// The same, throwing system_error.
  template <class Where, class Args, class... Inits>
  requires(!std::is_same_v<std::decay_t<Args>, error_code> && !std::is_convertible_v<Args, std::filesystem::path>) auto
  operator()(Where&& where, const std::filesystem::path& executable, Args&& args, Inits&&... inits) {
    error_code ec;
    auto process = (*this)(where, ec, executable, std::forward<Args>(args), std::forward<Inits>(inits)...);
    if (ec) throw boost::process::v2::system_error(ec, "cannot execute " + executable.string());
    return process;
  }

  /// Which step of the last launch failed.
  [[nodiscard]] Stage failed_stage() const { return failed_; }

 private:
  template <class Init>
  error_code on_setup(const std::filesystem::path& executable, Argv& argv, Init& init);
  template <class Init>
  static void on_failure(Launcher& self, const std::filesystem::path& executable, Argv argv, Stage stage,
                         const error_code& ec, Init& init);
  template <class... Inits>
  Spawned spawn_with(const std::filesystem::path& executable, Argv argv, Inits&... inits);

  SpawnContext context_;
  Stage failed_ = Stage::none;
};

// Hooks are called only where an initializer has them. Boost's own dispatch (1.81) looks for on_error & co. with a
// parameter list that none can have.

template <class Init>
auto Launcher::on_setup(const std::filesystem::path& executable, Argv& argv, Init& init) -> error_code {
  if constexpr (std::is_same_v<std::remove_cv_t<Init>, boost::process::v2::posix::bind_fd>) {
    fd_whitelist.push_back(init.target);  // its own on_setup (1.81) does this and then returns nothing: undefined
    return {};
  } else if constexpr (std::is_same_v<std::remove_cv_t<Init>, boost::process::v2::process_environment>) {
    env = init.env.data();  // its own on_setup (1.81) is not defined where Boost is used header-only
    return {};
  } else if constexpr (requires { init.on_setup(*this, executable, argv); }) {
    return init.on_setup(*this, executable, argv);
  } else {
    return {};
  }
}

template <class Init>
void Launcher::on_failure(Launcher& self, const std::filesystem::path& executable, Argv argv, Stage stage,
                          const error_code& ec, Init& init) {
  if (stage == Stage::clone) {
    if constexpr (requires { init.on_fork_error(self, executable, argv, ec); })
      init.on_fork_error(self, executable, argv, ec);
  }
  if constexpr (requires { init.on_error(self, executable, argv, ec); }) init.on_error(self, executable, argv, ec);
}

template <class... Inits>
Spawned Launcher::spawn_with(const std::filesystem::path& executable, Argv argv, Inits&... inits) {
  auto in_child = [&]() noexcept -> int {
    error_code ec;
    [[maybe_unused]] const auto run = [&](auto& init) {
      if constexpr (requires { init.on_exec_setup(*this, executable, argv); })
        ec = init.on_exec_setup(*this, executable, argv);
      return !ec;
    };
    (void)(run(inits) && ...);
    return ec.value();
  };
  SpawnPlan plan;
  plan.executable = executable.c_str();
  plan.argv = argv;
  plan.env = env;
  plan.umask = umask;
  plan.descriptor_limit = descriptor_limit;
  plan.workdir = workdir;
  plan.setup = [](void* data) { return (*static_cast<decltype(in_child)*>(data))(); };
  plan.setup_data = &in_child;
  plan.keep_fds = fd_whitelist;
  plan.pidfd = use_pidfd;
  return spawn(plan, context_);
}

template <class... Inits>
Spawned Launcher::launch(const std::filesystem::path& executable, Argv argv, Inits&&... inits) {
  fd_whitelist.clear();
  const auto usual_env = env;  // process_environment lends us its own for this launch only
  Spawned result;
  error_code ec;
  (void)((ec = on_setup(executable, argv, inits), !ec) && ...);
  if (ec) {
    result.failed = Stage::setup;
    result.error = ec.value();
  } else {
    std::sort(fd_whitelist.begin(), fd_whitelist.end());
    result = spawn_with(executable, argv, inits...);
    if (result.failed == Stage::exec && result.error == ENOEXEC) {
      std::vector<const char*> script = {"/bin/sh", executable.c_str()};
      for (Argv arg = argv; *arg != nullptr; ++arg) {
        if (arg != argv) script.push_back(*arg);
      }
      script.push_back(nullptr);
      result = spawn_with("/bin/sh", script.data(), inits...);
    }
  }
  env = usual_env;
  failed_ = result.failed;
  pid = result.pid;
  if (result.failed != Stage::none) {
    ec.assign(result.error, boost::process::v2::system_category());
    (on_failure(*this, executable, argv, result.failed, ec, inits), ...);
  } else {
    [[maybe_unused]] const auto tell = [&](auto& init) {
      if constexpr (requires { init.on_success(*this, executable, argv); }) init.on_success(*this, executable, argv);
    };
    (tell(inits), ...);
  }
  return result;
}

template <class Executor, class Args, class... Inits>
requires boost::asio::execution::is_executor<Executor>::value || boost::asio::is_executor<Executor>::value auto
Launcher::operator()(Executor executor, error_code& ec, const std::filesystem::path& executable, Args&& args,
                     Inits&&... inits) -> boost::process::v2::basic_process<Executor> {
  using Process = boost::process::v2::basic_process<Executor>;
  argv_.clear();  // the base class (1.81) appends to what an earlier launch left
  argv_buffer_.clear();
  Spawned spawned = launch(executable, this->build_argv_(executable, std::forward<Args>(args)), inits...);
  ec.clear();
  if (spawned.failed != Stage::none) {
    ec.assign(spawned.error, boost::process::v2::system_category());
    return Process{executor};
  }
  if (!spawned.pidfd.is_open()) return Process{executor, spawned.pid};
  return Process{executor, spawned.pid, spawned.pidfd.release()};
}

}  // namespace runner::proc
