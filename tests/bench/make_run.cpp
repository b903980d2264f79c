// Makes the state directory of a run whose last LEFT slices failed and all others succeeded, in seconds, by the real
// session, loop, store and log with an executor that starts nothing.
//   make_run SPEC LEFT
#include <boost/asio/io_context.hpp>
#include <cstdlib>
#include <iostream>

#include "instant_executor.hpp"
#include "log/logger.hpp"
#include "run/loop.hpp"
#include "run/session.hpp"
#include "spec/loader.hpp"

using namespace runner;

namespace {

[[noreturn]] void fail(const std::string& message) {
  std::cerr << "make_run: " << message << '\n';
  std::exit(2);
}

core::Spec load(const std::string& path) {
  auto loaded = spec::load(path);
  if (auto* problems = std::get_if<std::vector<spec::Problem>>(&loaded)) fail(spec::to_string(problems->front()));
  return std::get<core::Spec>(std::move(loaded));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) fail("usage: make_run SPEC LEFT");
  const core::Spec spec = load(argv[1]);
  run::SessionRequest request;
  request.spec = &spec;
  auto opened = run::open_session(request);
  if (auto* refusal = std::get_if<run::Refusal>(&opened)) fail(refusal->message);
  auto& session = std::get<run::Session>(opened);
  log::RunLog log;
  boost::asio::io_context io;
  run::LoopSetup setup;
  setup.spec = &spec;
  setup.capacity = {.slots = 64, .cpus_milli = 64'000, .memory = 1ULL << 40U};
  setup.plans = session.plans;
  setup.view = session.view;
  setup.log = &log;
  run::Loop loop(io, std::move(setup));
  auto writer = store::Writer::open(session.state_dir.database(), loop);
  if (!writer) fail(writer.error().message);
  if (auto recorded = session.record(**writer); !recorded) fail(recorded.error().message);
  if (auto made = session.state_dir.create_run_dir(session.run.id, spec.text); !made) fail(made.error().message);
  if (auto open = log.open(session.state_dir.run_dir(session.run.id) + "/run.log", spec.log, spec.name); !open)
    fail(open.error().message);
  const std::uint64_t slices = spec.jobs.front().slices.size();
  bench::InstantExecutor executor(io, loop, slices - std::strtoull(argv[2], nullptr, 10));
  const auto began = util::steady_now();
  const auto result = loop.run(**writer, executor);
  if (!result.record_failed.empty()) fail(result.record_failed);
  const double seconds = util::seconds(util::steady_now() - began);
  std::cout << "slices_per_s " << static_cast<double>(slices) / seconds << '\n';
  return 0;
}
