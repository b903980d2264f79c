// The state database's reader. An input is the bytes of a state.db and, behind kWalMark, of its write-ahead log. Held:
// whatever is in it, status shows it in every format and a resume takes it up or refuses, each with words that can be
// shown. A seed is SQL, run on a database as the writer makes it; {spec} and {fingerprint} are those of kSpec, and a
// first line "-- wal" leaves what follows in the write-ahead log.
#include <sqlite3.h>

#include <bit>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "report/format.hpp"
#include "run/session.hpp"
#include "spec/loader.hpp"
#include "store/store.hpp"
#include "target.hpp"
#include "util/text.hpp"

namespace runner::fuzz {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kWalMark = "\n--- wal ---\n";
constexpr std::string_view kSpec = "slices: 0-99\ncommand: echo {slice}\n";

const core::Spec& spec() {
  static const core::Spec kLoaded = [] {
    const fs::path directory = scratch_directory();
    auto loaded = spec::load_text(kSpec, (directory / "spec.yaml").string());
    auto good = std::get<core::Spec>(std::move(loaded));
    good.state_dir = (directory / "state").string();
    return good;
  }();
  return kLoaded;
}

std::string read(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream content;
  content << in.rdbuf();
  return content.str();
}

class NoEvents final : public store::WriterEvents {
 public:
  void committed(store::Sequence /*through*/) override {}
  void trouble(const std::string& /*message*/, bool /*waiting*/) override {}
  void recovered() override {}
};

void execute(sqlite3* database, const std::string& sql) {
  char* message = nullptr;
  const int code = sqlite3_exec(database, sql.c_str(), nullptr, nullptr, &message);
  if (code != SQLITE_OK) throw std::runtime_error("seed: " + std::string(message == nullptr ? "" : message));
}

void replace(std::string& text, const std::string& what, const std::string& with) {
  for (auto at = text.find(what); at != std::string::npos; at = text.find(what, at + with.size())) {
    text.replace(at, what.size(), with);
  }
}

void check_shown(std::string_view text) {
  const auto is_plain = [](char c) {
    return c == '\n' || c == '\t' || (static_cast<unsigned char>(c) >= 0x20 && c != 0x7F);
  };
  require(std::all_of(text.begin(), text.end(), is_plain), "what is printed has no control characters");
}

/// What `runner status` does.
void show(store::Reader& reader, const store::StoredRun& stored) {
  for (const bool live : {false, true}) {
    report::StatusSource source;
    source.view.info = stored.info;
    source.view.info.live = live;
    for (const auto& job : stored.jobs) source.view.jobs.emplace_back(job.name, job.slices);
    (void)reader.last_attempts(stored.info.id, [&](const core::AttemptRecord& record) {
      if (record.id.job < source.view.jobs.size()) source.view.jobs[record.id.job].add_record(record, live);
    });
    (void)reader.counted(stored.info.id, [&](const core::AttemptId& id, const core::Counted& counted) {
      if (id.job < source.view.jobs.size()) source.view.jobs[id.job].add_counted(counted);
    });
    source.context.labels = [](std::uint32_t, const core::IntervalSet& indices, std::size_t max) {
      return spec().jobs[0].slices.format_selection(indices, max);
    };
    source.context.resume_command = "runner spec.yaml --resume";  // with a path in it, it is for the shell as it is
    source.now = util::from_unix_seconds(1'700'000'000);
    source.ended_attempts = [&](const report::VisitAttempt& visit) {
      return reader.ended_attempts(stored.info.id, visit);
    };
    source.command = [&](const core::AttemptRecord& record) {
      const auto attempt = core::expand_attempt(spec(), spec().jobs[0],
                                                {.slice = record.id.slice, .attempt = 1, .slot = 0, .run_id = "r"});
      return attempt ? core::to_shell_line(attempt->command) : std::string();
    };
    for (const report::Format& format : report::formats()) {
      const bool for_programs = format.name == "joblog";  // has commands as they are
      (void)format.write(source, [&](std::string_view text) {
        if (!for_programs) check_shown(text);
      });
    }
  }
}

void resume(bool accept_changes) {
  run::SessionRequest request;
  request.spec = &spec();
  request.resume = true;
  request.accept_changes = accept_changes;
  request.spec_args = "spec.yaml";
  const auto session = run::open_session(request);
  if (const auto* refusal = std::get_if<run::Refusal>(&session)) {
    require(!refusal->message.empty(), "a refusal says why");
    return;
  }
  for (const core::JobPlan& plan : std::get<run::Session>(session).plans) {
    require(plan.todo.empty() || plan.todo.intervals().back().last < spec().jobs[0].slices.size(),
            "only slices that there are will be run");
  }
}

}  // namespace

std::string input_of_seed(const std::string& text) {
  fs::create_directories(spec().state_dir);
  const std::string path = spec().state_dir + "/state.db";
  for (const char* suffix : {"", "-wal", "-shm", "-journal"}) fs::remove(path + suffix);
  NoEvents events;
  if (const auto writer = store::Writer::open(path, events); !writer) throw std::runtime_error(writer.error().message);
  std::string sql = text;
  replace(sql, "{spec}", std::string(kSpec));
  replace(sql, "{fingerprint}", std::to_string(std::bit_cast<std::int64_t>(spec().jobs[0].slices.fingerprint())));
  sqlite3* database = nullptr;
  if (sqlite3_open(path.c_str(), &database) != SQLITE_OK) throw std::runtime_error("seed: cannot open " + path);
  execute(database, "PRAGMA journal_mode=DELETE; PRAGMA page_size=512; VACUUM");  // small inputs are found out faster
  const bool in_wal = text.starts_with("-- wal");
  if (in_wal) execute(database, "PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0");
  execute(database, sql);
  std::string input = read(path);
  if (in_wal) input += std::string(kWalMark) + read(path + "-wal");
  sqlite3_close(database);
  return input;
}

void try_input(std::string_view input) {
  const std::string path = spec().state_dir + "/state.db";
  fs::create_directories(spec().state_dir);
  for (const char* suffix : {"", "-wal", "-shm", "-journal"}) fs::remove(path + suffix);
  const auto mark = input.find(kWalMark);
  std::ofstream(path, std::ios::binary) << input.substr(0, mark);
  if (mark != std::string_view::npos) {
    std::ofstream(path + "-wal", std::ios::binary) << input.substr(mark + kWalMark.size());
  }
  const auto reader = store::Reader::open(path);
  if (!reader) {
    require(!reader.error().message.empty(), "an error says what is wrong");
    return;
  }
  const auto runs = (*reader)->runs();
  if (runs && !runs->empty()) {
    const auto attempts = (*reader)->attempts_of(runs->front().info.id, 0, 3);
    (void)attempts;
  }
  const auto found = (*reader)->find_run(std::nullopt);
  if (!found || !*found) return;
  show(**reader, **found);
  resume(false);
  resume(true);
}

}  // namespace runner::fuzz
