// Records of other programs and of other versions of this one: read, brought up to date, or refused, and never changed
// by halves. tests/old_records/schema_<n>.sql are records as version n made them.
#include <doctest/doctest.h>

#include "faulty_disk.hpp"
#include "store/schema.hpp"
#include "store_support.hpp"

using namespace runner;
using namespace runner::store;
using namespace runner::store::testing;

namespace {

void execute(const std::string& path, const std::string& sql) {
  sqlite3* handle = nullptr;
  REQUIRE(sqlite3_open(path.c_str(), &handle) == SQLITE_OK);
  const int code = sqlite3_exec(handle, sql.c_str(), nullptr, nullptr, nullptr);
  INFO(sqlite3_errmsg(handle));
  CHECK(code == SQLITE_OK);
  sqlite3_close(handle);
}

void make_old_record(const std::string& path, int version) {
  const auto name = "schema_" + std::to_string(version) + ".sql";
  const std::string sql = contents((std::filesystem::path(__FILE__).parent_path() / "old_records" / name).string());
  REQUIRE_FALSE(sql.empty());
  execute(path, sql);
}

std::string schema_of(const std::string& path) {
  sqlite3* handle = nullptr;
  REQUIRE(sqlite3_open_v2(path.c_str(), &handle, SQLITE_OPEN_READONLY, nullptr) == SQLITE_OK);
  std::string value;
  const auto keep = [](void* to, int, char** columns, char**) {
    *static_cast<std::string*>(to) = columns[0];
    return 0;
  };
  CHECK(sqlite3_exec(handle, "SELECT value FROM meta WHERE name = 'schema'", keep, &value, nullptr) == SQLITE_OK);
  sqlite3_close(handle);
  return value;
}

StoredRun newest(Reader& reader) {
  auto found = reader.find_run(std::nullopt);
  REQUIRE((found.ok() && found->has_value()));
  return **found;
}

}  // namespace

TEST_CASE("a record of schema 1 is read as it is, and reading does not change it") {
  const TemporaryDirectory dir;
  const std::string path = dir / "state.db";
  make_old_record(path, 1);
  const std::string before = contents(path);
  {
    auto reader = open_reader(path);
    const StoredRun run = newest(*reader);
    CHECK(run.info.name == "jobs");
    CHECK(run.info.state == core::State::running);
    CHECK(run.boot_id.empty());
    CHECK(run.info.containment.empty());
    CHECK(last_attempts(*reader, run.info.id).size() == 8);
    CHECK(reader->runs()->size() == 1);
  }
  CHECK(contents(path) == before);
}

TEST_CASE("a record of schema 2 has no counters, and gets room for them") {
  const TemporaryDirectory dir;
  const std::string path = dir / "state.db";
  make_old_record(path, 2);
  const StoredRun old = newest(*open_reader(path));
  CHECK(old.info.containment == "guard, death signal, cookie");
  const auto count = [&] {
    std::size_t n = 0;
    CHECK(open_reader(path)->counted(old.info.id, [&](const auto&, const auto&) { ++n; }).ok());
    return n;
  };
  CHECK(count() == 0);
  Listener listener;
  auto writer = open_writer(path, listener);
  CHECK(schema_of(path) == std::to_string(kSchemaVersion));
  NewRun again = a_run(old.info.id);
  again.jobs = old.jobs;
  REQUIRE(writer->resume_run(again, {}).ok());
  core::Ending ending = an_ending();
  ending.counters = {{"rows", 5}};
  REQUIRE(listener.wait_for(writer->ended({0, 4, 1}, ending)));
  CHECK(count() == 1);
}

TEST_CASE("a record of schema 1 is brought up to date by the writer, with all that is in it") {
  const TemporaryDirectory dir;
  const std::string path = dir / "state.db";
  make_old_record(path, 1);
  auto old_reader = open_reader(path);  // a `status` that began before
  const StoredRun old = newest(*old_reader);
  const std::size_t attempts = last_attempts(*old_reader, old.info.id).size();

  Listener listener;
  auto writer = open_writer(path, listener);
  CHECK(schema_of(path) == std::to_string(kSchemaVersion));
  NewRun again = a_run(old.info.id);
  again.jobs = old.jobs;
  REQUIRE(writer->resume_run(again, {}).ok());
  auto reader = open_reader(path);
  const StoredRun run = newest(*reader);
  CHECK(run.boot_id == a_run().boot_id);
  CHECK(run.info.containment == a_run().containment);
  CHECK(run.info.resumes == old.info.resumes + 1);
  CHECK(last_attempts(*reader, run.info.id).size() == attempts);
  CHECK_MESSAGE(newest(*old_reader).info.id == old.info.id, "who read it before can read on");
}

TEST_CASE("a record that cannot be brought up to date stays as it was") {
  const TemporaryDirectory dir;
  const std::string path = dir / "state.db";
  make_old_record(path, 1);
  execute(path, "PRAGMA journal_mode=wal");
  {
    FaultyDisk disk;
    disk.write_errno = ENOSPC;
    Listener listener;
    const auto writer = Writer::open(path, listener);
    REQUIRE_FALSE(writer.ok());
    CHECK(contains(writer.error().message, "no space left"));
  }
  CHECK(schema_of(path) == "1");
  Listener listener;
  CHECK(Writer::open(path, listener).ok());
  CHECK(schema_of(path) == std::to_string(kSchemaVersion));
}

TEST_CASE("a record of a newer schema is refused with what to do, and not changed") {
  const std::string next = std::to_string(kSchemaVersion + 1);
  for (const char* version : {next.c_str(), "99", "0", "-1", "2a", ""}) {
    CAPTURE(version);
    const TemporaryDirectory dir;
    const std::string path = dir / "state.db";
    make_old_record(path, 1);
    execute(path, std::string("UPDATE meta SET value = '") + version +
                      "' WHERE name = 'schema'; UPDATE meta SET value = 'runner 7.1' WHERE name = 'written_by'");
    const std::string before = contents(path);
    Listener listener;
    const auto writer = Writer::open(path, listener);
    REQUIRE_FALSE(writer.ok());
    CHECK(contains(writer.error().message, std::string("has schema ") + version + ", written by runner 7.1"));
    CHECK(contains(writer.error().message, "use the other version"));
    const auto reader = Reader::open(path);
    REQUIRE_FALSE(reader.ok());
    CHECK(reader.error().message == writer.error().message);
    CHECK(contents(path) == before);
  }
}

TEST_CASE("another program's database is refused, and not changed") {
  const TemporaryDirectory dir;
  const std::string path = dir / "state.db";
  Listener listener;
  for (const char* sql : {"CREATE TABLE t (x)", "CREATE TABLE meta (name, value)"}) {
    CAPTURE(sql);
    execute(path, sql);
    const std::string before = contents(path);
    const auto writer = Writer::open(path, listener);
    REQUIRE_FALSE(writer.ok());
    CHECK(contains(writer.error().message, "not a record of runner's"));
    CHECK(contents(path) == before);
  }
}

TEST_CASE("a row that a hand has changed is refused where it would pass for another slice's") {
  const TemporaryDirectory dir;
  const std::string path = dir / "state.db";
  Listener listener;
  {
    auto writer = begin_a_run(path, listener);
    for (std::uint64_t slice = 0; slice < 10; ++slice) {
      writer->claim({0, slice, 1}, std::to_string(slice));
      writer->ended({0, slice, 1}, an_ending(slice < 5 ? core::Outcome::succeeded : core::Outcome::failed));
    }
  }
  // Equal to 'succeeded' as text, and not for SQL.
  execute(path, "UPDATE attempt SET outcome = CAST('succeeded' AS BLOB) WHERE slice = 7");
  auto reader = open_reader(path);
  const auto read = reader->last_attempts(a_run().id, [](const core::AttemptRecord&) {});
  REQUIRE_FALSE(read.ok());
  CHECK(read.error().message == path +
                                    ": the record is damaged at job 0, slice 8, attempt 1: its rows do not fit "
                                    "together; move the directory away and start anew");
}
