// The spec loader. An input is a spec and the files beside it, as in tests/cli/wrong_specs/table.txt: "+++ name" begins
// a file. Held: what is said of a bad spec can be shown on a terminal and names a place that there is; a good one gives
// slices whose keys lead back to them, and attempts that can be made without a surprise.
#include <algorithm>
#include <filesystem>
#include <fstream>

#include "spec/loader.hpp"
#include "target.hpp"
#include "util/text.hpp"

namespace runner::fuzz {
namespace {

namespace fs = std::filesystem;

/// "name" of a line "+++ name" if that is a file that may be written.
std::string file_named(std::string_view line) {
  if (!line.starts_with("+++ ")) return "";
  const std::string name(line.substr(4));
  const bool is_good =
      !name.empty() && name.size() <= 40 && name[0] != '.' && std::all_of(name.begin(), name.end(), [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
      });
  return is_good ? name : "";
}

/// Writes the files; what stands before them is the spec.
std::string unpack(std::string_view input, const fs::path& directory) {
  std::string spec;
  std::ofstream file;
  bool in_file = false;
  while (!input.empty()) {
    const auto end = input.find('\n');
    const std::string_view line = input.substr(0, end);
    input.remove_prefix(end == std::string_view::npos ? input.size() : end + 1);
    const std::string_view newline = end == std::string_view::npos ? "" : "\n";
    if (const std::string name = file_named(line); !name.empty()) {
      file = std::ofstream(directory / name, std::ios::binary);
      in_file = true;
    } else if (in_file) {
      file << line << newline;
    } else {
      (spec += line) += newline;
    }
  }
  return spec;
}

void check_problems(const std::vector<spec::Problem>& problems) {
  require(!problems.empty(), "a spec that is refused has a problem");
  for (const spec::Problem& problem : problems) {
    require(!problem.message.empty(), "a problem says what it is");
    require(util::escape_for_display(problem.message, SIZE_MAX) == problem.message, "a message can be shown");
    require(problem.line >= 0 && (problem.line == 0 || problem.column >= 1), "a problem has a place");
    require(problem.message.size() < 4096, "a message is short");
  }
}

void check_slices(const core::Spec& spec, const core::JobSpec& job) {
  const std::uint64_t size = job.slices.size();
  (void)job.slices.fingerprint();
  for (const std::uint64_t index : {std::uint64_t{0}, std::uint64_t{1}, size / 2, size - 1}) {
    if (index >= size) continue;
    require(job.slices.find(job.slices.key(index)) == index, "a key leads back to its slice");
    const auto attempt =
        core::expand_attempt(spec, job, {.slice = index, .attempt = 1, .slot = 0, .run_id = "20261121-164328-k3xa"});
    if (!attempt) {
      require(util::escape_for_display(attempt.error().message, SIZE_MAX) == attempt.error().message,
              "a message can be shown");
      continue;
    }
    require(!attempt->command.argv.empty() && !attempt->command.argv[0].empty(), "a command names a program");
    for (const std::string& argument : attempt->command.argv) {
      require(argument.find('\0') == std::string::npos, "no argument holds a NUL");
    }
    for (const std::string& variable : attempt->env) {
      require(variable.find('\0') == std::string::npos, "no variable holds a NUL");
    }
  }
  require(!core::expand_attempt(spec, job, {.slice = size, .attempt = 1, .slot = 0, .run_id = "x"}),
          "there is no slice behind the last");
}

}  // namespace

std::string input_of_seed(const std::string& text) {
  return text;
}

void try_input(std::string_view input) {
  const fs::path directory = scratch_directory();
  const std::string text = unpack(input, directory);
  // Patterns over the whole file system would only be slow.
  const bool is_far = text.find("files") != std::string::npos && (text.find("/") != std::string::npos);
  if (!is_far) {
    spec::Overrides overrides;
    overrides.set = {{"a", "x"}};
    const auto loaded = spec::load_text(text, (directory / "spec.yaml").string(), overrides);
    if (const auto* problems = std::get_if<std::vector<spec::Problem>>(&loaded)) check_problems(*problems);
    const auto again = spec::load_text(text, (directory / "spec.yaml").string());
    if (const auto* spec = std::get_if<core::Spec>(&again)) {
      for (const core::JobSpec& job : spec->jobs) check_slices(*spec, job);
    }
  }
  for (const auto& entry : fs::directory_iterator(directory)) fs::remove(entry.path());
}

}  // namespace runner::fuzz
