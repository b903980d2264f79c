#include "report/format.hpp"

#include <array>
#include <cstdio>

#include "fakes/report_fixture.hpp"
#include "report/json_writer.hpp"
#include "report/log_tail.hpp"
#include "util/fd.hpp"
#include "util/text.hpp"

using namespace runner;
using namespace runner::test;
using core::Outcome;

namespace {

report::StatusSource source_of(core::RunView view, const TemporaryDirectory& dir) {
  use_utc();
  report::StatusSource source;
  source.view = std::move(view);
  for (const auto& job : source.view.jobs) source.slices.push_back(core::IntervalSet::first_n(job.total()));
  source.context = context_of(dir.path());
  source.now = at(100);
  return source;
}

std::string written(const report::StatusSource& source, std::string_view format, const TemporaryDirectory& dir) {
  std::string out;
  const auto found = report::find_format(format);
  REQUIRE(found.ok());
  REQUIRE(found->write(source, [&](std::string_view text) { out += text; }).ok());
  return replaced(out, dir.path(), "RUNDIR");
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  for (const auto line : util::split(text, '\n')) lines.emplace_back(line);
  if (!lines.empty() && lines.back().empty()) lines.pop_back();
  return lines;
}

std::string output_of(const std::string& command) {
  FILE* pipe = ::popen(command.c_str(), "r");
  REQUIRE(pipe != nullptr);
  std::string out;
  std::array<char, 4096> buffer{};
  for (std::size_t n = 0; (n = std::fread(buffer.data(), 1, buffer.size(), pipe)) > 0;) out.append(buffer.data(), n);
  ::pclose(pipe);
  return out;
}

core::AttemptRecord ended(std::uint64_t slice, core::Ending ending) {
  core::AttemptRecord record;
  record.id = {0, slice, 1};
  record.key = std::to_string(slice);
  record.host = "node1";
  record.started_at = at(0.25);
  record.ending = std::move(ending);
  return record;
}

}  // namespace

TEST_CASE("the status of a live run") {
  const TemporaryDirectory dir;
  write_logs(dir);
  check_golden("table_live.txt", written(source_of(mixed_view(true), dir), "table", dir));
}

TEST_CASE("the status of a crashed run says who is gone, what may have run, and how to go on") {
  const TemporaryDirectory dir;
  write_logs(dir);
  check_golden("table_crashed.txt", written(source_of(mixed_view(false), dir), "table", dir));
}

TEST_CASE("the status of a run that completed has nothing to resume") {
  const TemporaryDirectory dir;
  core::RunView view = new_view(3);
  view.info.state = core::State::completed;
  view.info.ended_at = at(723);
  view.info.resumes = 2;
  for (std::uint64_t slice = 0; slice < 3; ++slice) {
    view.jobs[0].add_record(ended(slice, ending_of(Outcome::succeeded)), false);
  }
  check_golden("table_completed.txt", written(source_of(view, dir), "table", dir));
}

TEST_CASE("the status of a halted run gives the reason") {
  const TemporaryDirectory dir;
  core::RunView view = new_view(3);
  view.info.state = core::State::terminated;
  view.info.reason = "max_failed: 2 slices failed, 1 allowed";
  view.info.ended_at = at(7);
  const std::string text = written(source_of(view, dir), "table", dir);
  CHECK(text.find("state   terminated after 7.0s, at 2026-11-21 16:43:35: max_failed: 2 slices failed, 1 allowed\n") !=
        std::string::npos);
}

TEST_CASE("the status of a large run with many failures and many running slices stays short") {
  const TemporaryDirectory dir;
  core::RunView view = new_view(100'000);
  view.info.live = true;
  for (std::uint64_t slice = 0; slice < 90'000; slice += 2) {
    view.jobs[0].add_record(ended(slice, ending_of(Outcome::failed, static_cast<int>(slice / 2 % 255 + 1))), true);
  }
  for (std::uint64_t slice = 95'000; slice < 95'512; ++slice) {
    view.jobs[0].apply(start_event(slice, 1, 0));
  }
  const std::string text = written(source_of(view, dir), "table", dir);
  CHECK(lines_of(text).size() < 60);
  CHECK(text.find("  ... and 492 more\n") != std::string::npos);
  CHECK(text.find("  ... and 245 other causes\n") != std::string::npos);
  CHECK(text.size() < 20'000);
  CHECK(text.find("  all of these: 0,2,4,6,8,10,12,14,16,18,20,22 and 44,988 more, all of them: "
                  "runner status 'my jobs.yaml' --json\n") != std::string::npos);
}

TEST_CASE("a list of slices is whole, so that it can be pasted, up to 4,000 characters") {
  core::IntervalSet slices;
  std::string whole;
  for (std::uint64_t slice = 1000; whole.size() < 3995; slice += 2) {
    slices.insert(slice);
    whole += (whole.empty() ? "" : ",") + std::to_string(slice);
  }
  CHECK(report::readable_selection(context_of(""), 0, slices) == whole);
  slices.insert(90'000);
  CHECK(report::readable_selection(context_of(""), 0, slices) ==
        "1000,1002,1004,1006,1008,1010,1012,1014,1016,1018,1020,1022 and 789 more, all of them: "
        "runner status 'my jobs.yaml' --json");

  CHECK(report::readable_selection({}, 0, slices).ends_with(",1022 and 789 more"));

  // One interval of indices may be many keys, which a list would cut by its own means.
  const auto shuffled = core::IntervalSet::first_n(3'000);
  auto context = context_of("");
  context.labels = [](std::uint32_t, const core::IntervalSet& indices, std::size_t max) {
    core::IntervalSet apart;
    indices.for_each([&](std::uint64_t index) { apart.insert(2 * index); });
    return apart.to_string(max);
  };
  const std::string text = report::readable_selection(context, 0, shuffled);
  CHECK(text.find("...") == std::string::npos);
  CHECK(text.ends_with(" more, all of them: runner status 'my jobs.yaml' --json"));
}

TEST_CASE("slices are shown by the labels of their job where the spec is known") {
  const TemporaryDirectory dir;
  auto source = source_of(mixed_view(false), dir);
  source.context.labels = [](std::uint32_t job, const core::IntervalSet& indices, std::size_t) {
    return "job" + std::to_string(job) + "[" + indices.to_string() + "]";
  };
  CHECK(written(source, "table", dir).find("exit code 3, 2 slices: job0[17,23]\n") != std::string::npos);
}

TEST_CASE("without a command to resume one is made from the path of the spec, quoted for a shell") {
  CHECK(report::resume_command({}, new_view(1).info) == "runner '/data/my jobs.yaml' --resume");
}

TEST_CASE("the json of a live run and of a crashed one") {
  const TemporaryDirectory dir;
  write_logs(dir);
  check_golden("status_live.json", written(source_of(mixed_view(true), dir), "json", dir));
  check_golden("status_crashed.json", written(source_of(mixed_view(false), dir), "json", dir));
}

TEST_CASE("json text is valid for every byte there is") {
  report::JsonWriter json;
  json.begin_array();
  json.value("quote \" backslash \\ newline \n tab \t return \r bell \a delete \x7f");
  json.value(std::string_view("nul \0 inside", 12));
  json.value("gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80");
  json.value("lone \xff, cut \xe2\x82, overlong \xc0\xaf, surrogate \xed\xa0\x80");
  json.end_array();
  CHECK(json.text() ==
        "[\n"
        "  \"quote \\\" backslash \\\\ newline \\n tab \\t return \\r bell \\u0007 delete \\u007f\",\n"
        "  \"nul \\u0000 inside\",\n"
        "  \"gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80\",\n"
        "  \"lone \\ufffd, cut \\ufffd\\ufffd, overlong \\ufffd\\ufffd, surrogate \\ufffd\\ufffd\\ufffd\"\n"
        "]\n");
}

TEST_CASE("json brackets, commas and numbers") {
  report::JsonWriter json;
  json.begin_object();
  json.key("empty");
  json.begin_array();
  json.end_array();
  json.member("truth", true);
  json.member("big", UINT64_MAX);
  json.member("small", INT64_MIN);
  json.key("seconds");
  json.value(1.5, 3);
  json.key("pairs");
  json.begin_array();
  json.pair(1, 2);
  json.null();
  json.end_array();
  json.end_object();
  CHECK(json.text() ==
        "{\n  \"empty\": [],\n  \"truth\": true,\n  \"big\": 18446744073709551615,\n"
        "  \"small\": -9223372036854775808,\n  \"seconds\": 1.500,\n  \"pairs\": [\n    [1, 2],\n    null\n  ]\n}\n");
}

TEST_CASE("the joblog has a line for every ended attempt, and no failure looks like a success") {
  const TemporaryDirectory dir;
  auto source = source_of(new_view(10), dir);
  source.view.jobs.emplace_back("second", 5);
  source.command = [](const core::AttemptRecord& record) { return "echo " + record.key + "\ttab\nline"; };
  source.ended_attempts = [](const report::VisitAttempt& visit) -> util::Result<void> {
    visit(ended(0, ending_of(Outcome::succeeded, 0, 0.0034)));
    visit(ended(1, ending_of(Outcome::failed, 3, 12345.6789)));
    visit(ended(2, ending_of(Outcome::killed, 9)));
    visit(ended(3, ending_of(Outcome::not_started, 0, 0)));
    visit(ended(4, ending_of(Outcome::missing_output)));
    core::AttemptRecord other = ended(2, ending_of(Outcome::lost, 0, 0));
    other.id.job = 1;
    other.host.clear();
    visit(other);
    return {};
  };
  const std::string nul(1, '\0');
  CHECK(written(source, "joblog", dir) ==
        "Seq\tHost\tStarttime\tJobRuntime\tSend\tReceive\tExitval\tSignal\tCommand\n"
        "1\tnode1\t1795279408.250\t     0.003\t0\t0\t0\t0\techo 0\ttab" +
            nul +
            "line\n"
            "2\tnode1\t1795279408.250\t 12345.679\t0\t0\t3\t0\techo 1\ttab" +
            nul +
            "line\n"
            "3\tnode1\t1795279408.250\t     4.100\t0\t0\t0\t9\techo 2\ttab" +
            nul +
            "line\n"
            "4\tnode1\t1795279408.250\t     0.000\t0\t0\t127\t0\techo 3\ttab" +
            nul +
            "line\n"
            "5\tnode1\t1795279408.250\t     4.100\t0\t0\t-1\t0\techo 4\ttab" +
            nul +
            "line\n"
            "13\t:\t1795279408.250\t     0.000\t0\t0\t-1\t0\techo 2\ttab" +
            nul + "line\n");
}

TEST_CASE("an error while reading the attempts is the joblog's error") {
  const TemporaryDirectory dir;
  auto source = source_of(new_view(1), dir);
  source.ended_attempts = [](const report::VisitAttempt&) -> util::Result<void> { return util::Error{"disk gone"}; };
  const auto result = report::find_format("joblog")->write(source, [](std::string_view) {});
  REQUIRE_FALSE(result.ok());
  CHECK(result.error().message == "disk gone");
}

TEST_CASE("the joblog has the shape of one that GNU parallel wrote") {
  if (output_of("parallel --version 2>/dev/null").find("GNU parallel") == std::string::npos) {
    MESSAGE("GNU parallel is not installed: nothing to compare with");
    return;
  }
  const TemporaryDirectory dir;
  const std::string log = dir.path() + "/joblog";
  output_of("parallel --will-cite --joblog " + util::shell_quote(log) + " 'exit {}' ::: 0 3 2>/dev/null </dev/null");
  const auto theirs = lines_of(*util::read_file(log));
  REQUIRE(theirs.size() == 3);

  auto source = source_of(new_view(2), dir);
  source.command = [](const core::AttemptRecord& record) { return record.key == "0" ? "exit 0" : "exit 3"; };
  source.ended_attempts = [](const report::VisitAttempt& visit) -> util::Result<void> {
    core::AttemptRecord first = ended(0, ending_of(Outcome::succeeded, 0, 0.001));
    core::AttemptRecord second = ended(1, ending_of(Outcome::failed, 3, 0.001));
    first.host = second.host = "";
    visit(first);
    visit(second);
    return {};
  };
  const auto ours = lines_of(written(source, "joblog", dir));
  REQUIRE(ours.size() == 3);
  CHECK(ours[0] == theirs[0]);
  for (std::size_t i = 1; i < 3; ++i) {
    const auto a = util::split(ours[i], '\t');
    const auto b = util::split(theirs[i], '\t');
    REQUIRE(a.size() == b.size());
    for (std::size_t c = 0; c < a.size(); ++c) {
      CAPTURE(c);
      if (c == 2 || c == 3) {  // times: as wide, and as many decimals
        CHECK(a[c].size() == b[c].size());
        CHECK(a[c].find('.') == b[c].find('.'));
      } else {
        CHECK(a[c] == b[c]);
      }
    }
  }
}

TEST_CASE("an unknown format is an error that lists those there are") {
  const auto found = report::find_format("xml");
  REQUIRE_FALSE(found.ok());
  CHECK(found.error().message == "unknown format 'xml'; there are: table, json, joblog");
}

TEST_CASE("the last line of a log") {
  const TemporaryDirectory dir;
  const auto last_line_of = [&](const std::string& text) {
    dir.write("log", text);
    return report::last_line(dir.path(), "log");
  };
  CHECK(last_line_of("one\ntwo\n") == "two");
  CHECK(last_line_of("one\ntwo") == "two");
  CHECK(last_line_of("one\n\n  \r\n") == "one");
  CHECK(last_line_of("10%\r50%\r100%\r\n") == "100%");
  CHECK(last_line_of("").empty());
  CHECK(last_line_of("\n\n").empty());
  CHECK(last_line_of(std::string(1'000'000, 'x') + "\nend\n") == "end");
  CHECK(last_line_of(std::string(1'000'000, 'x')).size() == 16 * 1024);
  CHECK(report::last_line(dir.path(), "missing").empty());
  CHECK(report::last_line(dir.path(), ".").empty());
}

TEST_CASE("a log that was replaced by a link or a pipe, or is named outside of its directory, is not followed") {
  const TemporaryDirectory dir;
  dir.write("target", "secret\n");
  dir.write("run/log", "mine\n");
  std::filesystem::create_symlink(dir.path() + "/target", dir.path() + "/run/link");
  std::filesystem::create_symlink(dir.path(), dir.path() + "/run/slices");
  REQUIRE(std::system(("mkfifo " + util::shell_quote(dir.path() + "/run/pipe")).c_str()) == 0);
  CHECK(report::last_line(dir.path() + "/run", "log") == "mine");
  for (const char* name : {"link", "pipe", "../target", "slices/target"}) {
    CHECK_MESSAGE(report::last_line(dir.path() + "/run", name).empty(), name);
  }
  CHECK(report::last_line(dir.path() + "/run", dir.path() + "/target").empty());
}
