// What good specs become, and what the command line changes in them. (What wrong ones give: test_spec_wrong_specs.cpp.)
#include <doctest/doctest.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>

#include "spec_fixture.hpp"

using namespace runner;
using namespace std::chrono_literals;
using test::load_good;
using test::load_wrong;

namespace {

const std::string kBase = "slices: 0-9\ncommand: echo {slice}\n";

std::string var(const core::Spec& spec, std::size_t i) {
  return spec.jobs.at(0).vars.at(i).second.text();
}

}  // namespace

TEST_CASE("the smallest spec gets every default") {
  const core::Spec spec = load_good(kBase);
  CHECK(spec.name == "spec");
  CHECK(spec.path == "/tmp/spec.yaml");
  CHECK(spec.spec_dir == "/tmp");
  CHECK(spec.text == kBase);
  CHECK(spec.n_procs.kind == core::ProcCount::Kind::automatic);
  CHECK(spec.state_dir == "/tmp/.runner/spec");
  CHECK(spec.keep_runs == 30);
  REQUIRE(spec.jobs.size() == 1);
  const core::JobSpec& job = spec.jobs[0];
  CHECK(job.name == "spec");
  CHECK(job.slices.size() == 10);
  CHECK(job.command.text() == "echo {slice}");
  CHECK(job.workdir == "/tmp");
  CHECK(!job.stdin_path);
  CHECK(!job.stdout_path);
  CHECK(!job.timeout);
  CHECK(job.grace == 10s);
  CHECK(job.retry.retries == 0);
  CHECK(job.retry.delay == 5s);
  CHECK(job.retry.delay_max == 5min);
  CHECK(job.retry.exit_codes.empty());
  CHECK(job.success_codes == std::vector{0});
  CHECK(!job.max_failed);
  CHECK(!job.log_limit);
  CHECK(!job.cpus_milli);
  CHECK(!job.memory);
  CHECK(!job.env_compat_slurm);
}

TEST_CASE("every key arrives where it belongs") {
  const test::TemporaryDirectory dir;
  std::filesystem::create_directory(dir.path() + "/work");
  const core::Spec spec = test::good(spec::load(dir.write("x.yaml", R"(
name: correlate
slices: 0-99
n_procs: 50%
command: [prog, "{slice}", ""]
vars: {file_2: b.h5, m_factor: 1.10}
env: {OMP_NUM_THREADS: 1, WHICH: "{slice}"}
workdir: ./work/
stdin: in/{slice}.dat
stdout: out/{slice}.csv
timeout: 1h30m
grace: 0
retries: 2
retry_delay: 500ms
retry_delay_max: 1m
retry_on: [75, 99]
success_codes: [0, 3]
outputs: ["out/{slice}.csv"]
max_failed: 2.5%
on_halt: kill
log_limit: 100M
cpus: 0.5
memory: 2G
env_compat: slurm
state_dir: state
keep_runs: 7
log: {level: debug, pattern: "%v", max_size: 0, max_files: 3}
)")));
  CHECK(spec.name == "correlate");
  CHECK(spec.n_procs.kind == core::ProcCount::Kind::percent);
  CHECK(spec.n_procs.value == 50);
  CHECK(spec.state_dir == dir.path() + "/state");
  CHECK(spec.keep_runs == 7);
  CHECK(spec.log.level == "debug");
  CHECK(spec.log.pattern == "%v");
  CHECK(spec.log.max_size == 0);
  CHECK(spec.log.max_files == 3);
  const core::JobSpec& job = spec.jobs.at(0);
  CHECK(job.name == "correlate");
  CHECK(job.vars.at(0).first == "file_2");
  CHECK(var(spec, 1) == "1.10");
  CHECK(job.env.at(1).second.text() == "{slice}");
  CHECK(job.workdir == dir.path() + "/work");
  CHECK(job.stdin_path->text() == "in/{slice}.dat");
  CHECK(job.stdout_path->text() == "out/{slice}.csv");
  CHECK(job.timeout == 90min);
  CHECK(job.grace == 0s);
  CHECK(job.retry.retries == 2);
  CHECK(job.retry.delay == 500ms);
  CHECK(job.retry.delay_max == 1min);
  CHECK(job.retry.exit_codes == std::vector{75, 99});
  CHECK(job.success_codes == std::vector{0, 3});
  CHECK(job.outputs.size() == 1);
  CHECK(job.max_failed->is_percent);
  CHECK(job.max_failed->value == doctest::Approx(2.5));
  CHECK(job.on_halt == core::OnHalt::kill);
  CHECK(job.log_limit == 100ULL << 20U);
  CHECK(job.cpus_milli == 500);
  CHECK(job.memory == 2ULL << 30U);
  CHECK(job.env_compat_slurm);
}

TEST_CASE("values stay exactly as they are written") {
  const core::Spec spec = load_good(kBase + R"(vars:
  price: 1.10
  one: 1
  tolerance: 1e-5
  truth: true
  date: 2026-11-21
  axis: y
  quoted: "no"
  empty: ''
  negative: -0.50
)");
  const std::vector<std::string> expected = {"1.10", "1", "1e-5", "true", "2026-11-21", "y", "no", "", "-0.50"};
  for (std::size_t i = 0; i < expected.size(); ++i) CHECK(var(spec, i) == expected[i]);
}

TEST_CASE("retry_on takes outcomes, and a long first delay raises the longest") {
  const core::JobSpec job = load_good(kBase + "retry_on: [timed_out, missing_output]\nretry_delay: 10m\n").jobs.at(0);
  CHECK(job.retry.outcomes == std::vector{core::Outcome::timed_out, core::Outcome::missing_output});
  CHECK(job.retry.delay_max == 10min);
}

TEST_CASE("a byte order mark and CRLF line ends do no harm") {
  const core::Spec spec = load_good("\xEF\xBB\xBFslices: 0-9\r\ncommand: |\r\n  echo a\r\n  echo b\r\n");
  CHECK(spec.jobs.at(0).command.text() == "echo a\necho b");
}

TEST_CASE("the options of the command line win over the spec") {
  const std::string text = kBase + "n_procs: 3\nstate_dir: here\nvars: {a: 1, b: 2}\n";
  spec::Overrides overrides;
  overrides.n_procs = "auto";
  overrides.state_dir = "/var/tmp/there";
  overrides.set = {{"b", "x{slice}"}, {"a", "first"}, {"a", "last"}};
  const core::Spec spec = load_good(text, overrides);
  CHECK(spec.n_procs.kind == core::ProcCount::Kind::automatic);
  CHECK(spec.state_dir == "/var/tmp/there");
  CHECK(var(spec, 0) == "last");
  CHECK(var(spec, 1) == "x{slice}");
}

TEST_CASE("a state directory of the command line is relative to the current directory") {
  spec::Overrides overrides;
  overrides.state_dir = "state";
  CHECK(load_good(kBase, overrides).state_dir == std::filesystem::current_path().string() + "/state");
}

TEST_CASE("wrong options are reported under their own names, after what is wrong in the spec") {
  spec::Overrides overrides;
  overrides.n_procs = "0";
  overrides.set = {{"sede", "3"}, {"x", "1"}, {"seed", "{slcie}"}};
  CHECK(load_wrong(kBase + "vars: {seed: 1}\nretries: x\n", overrides) ==
        "/tmp/spec.yaml:4:10: `retries` wants a whole number in plain digits, not `x`\n"
        "--n-procs: is out of range: 1 to 100000, not `0`\n"
        "--set: seed: unknown variable {slcie}; did you mean {slice}? (if no variable is meant: { slcie })\n"
        "--set: no variable `sede` in vars; did you mean `seed`?\n"
        "--set: no variable `x` in vars");
}

TEST_CASE("a value that --set replaces may be wrong in the spec no more than any other") {
  spec::Overrides overrides;
  overrides.set = {{"seed", "3"}};
  CHECK(var(load_good(kBase + "vars: {seed: 1}\n", overrides), 0) == "3");
}

TEST_CASE("a file that is no spec file says so") {
  const test::TemporaryDirectory dir;
  CHECK(test::messages(spec::load(dir.path() + "/none.yaml")) == dir.path() + "/none.yaml: no such file");
  CHECK(test::messages(spec::load(dir.path())) == dir.path() + ": is a directory: name the spec file in it");
  CHECK(test::messages(spec::load("/dev/null")) ==
        "/dev/null: is not a regular file: a run is recorded and resumed by its spec's file");
  dir.write("job.yaml", kBase);
  CHECK(test::messages(spec::load(dir.path() + "/job")) ==
        dir.path() + "/job: no such file; did you mean " + dir.path() + "/job.yaml?");
}

TEST_CASE("a spec of more than 16 MiB is refused unread") {
  const test::TemporaryDirectory dir;
  const std::string path = dir.write("big.yaml", kBase);
  std::filesystem::resize_file(path, (16U << 20U) + 1);
  CHECK(test::messages(spec::load(path)) ==
        path + ": larger than 16 MiB: put long lists into a file of their own (slices: {lines: list.txt})");
}

TEST_CASE("a file name that makes no name for a run asks for one") {
  const test::TemporaryDirectory dir;
  const std::string path = dir.write("my jobs.yaml", kBase);
  CHECK(test::messages(spec::load(path)) ==
        path +
            ": the file's name makes no name for the run, which may have letters, digits, `_`, `-` and `.` only: add "
            "`name: ...`");
  CHECK(test::good(spec::load(dir.write("my jobs.yaml", "name: fine\n" + kBase))).name == "fine");
}

TEST_CASE("a spec behind a symbolic link to its directory has the directory's real path") {
  const test::TemporaryDirectory dir;
  dir.write("real/x.yaml", kBase);
  std::filesystem::create_directory_symlink(dir.path() + "/real", dir.path() + "/link");
  CHECK(test::good(spec::load(dir.path() + "/link/x.yaml")).spec_dir == dir.path() + "/real");
}

TEST_CASE("every example in config/ loads") {
  const std::filesystem::path config = std::filesystem::path(test::tests_dir()).parent_path() / "config";
  int count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(config)) {
    if (entry.path().extension() != ".yaml") continue;
    ++count;
    INFO(entry.path().string());
    CHECK(test::messages(spec::load(entry.path().string())).empty());
  }
  CHECK(count >= 6);
}

TEST_CASE("slices may share a file for their output only where nothing is lost in it") {
  CHECK(test::load_wrong("command: echo\nslices: 0-0\nstdout: all.csv\n") == "");
  CHECK(test::load_wrong("command: echo\nslices: 0-9\nstdout: /dev/null\n") == "");
  CHECK(test::load_wrong("command: echo\nslices: 0-9\nstdout: all-{index}.csv\n") == "");
  CHECK(test::load_wrong("command: echo\nslices: {list: [a, b]}\nvars: {of: \"{item}.csv\"}\nstdout: \"{of}\"\n") ==
        "");
  std::string list = "x";
  for (int i = 0; i < 2000; ++i) list += ", x" + std::to_string(i);
  const std::string wrong =
      test::load_wrong("command: echo\nslices: {list: [" + list + ", x]}\nstdout: \"{item}.csv\"\n");
  CHECK(wrong.find("slices `x` and `x#2` would both write to `x.csv`") != std::string::npos);
}
