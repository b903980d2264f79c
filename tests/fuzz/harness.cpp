// The main program of a fuzz target. Its seeds are in RUNNER_SEEDS (paths separated by colons), in the format of
// tests/cli/wrong_specs/table.txt.
//   fuzz_x                  (not libFuzzer's) every seed once
//   fuzz_x FILE...          every file once: how a finding is looked at again
//   fuzz_x --unpack DIR     writes each seed's input to a file in DIR, where libFuzzer starts from
#include <stdlib.h>

#include <cstdint>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "target.hpp"
#include "temporary_directory.hpp"
#include "wrong_spec_table.hpp"

namespace fs = std::filesystem;

namespace runner::fuzz {
namespace {

fs::path scratch_base() {
  return fs::exists("/dev/shm") ? fs::path("/dev/shm") : fs::temp_directory_path();
}

template <class Visit>
int each_seed(Visit visit) {
  int count = 0;
  std::istringstream paths(RUNNER_SEEDS);
  for (std::string path; std::getline(paths, path, ':');) {
    for (const test::WrongSpec& seed : test::read_wrong_specs(path)) {
      std::string text = seed.text;
      for (const auto& [name, content] : seed.files) text += "+++ " + name + "\n" + content;
      visit(seed.name, input_of_seed(text));
      ++count;
    }
  }
  return count;
}

int unpack(const fs::path& directory) {
  fs::create_directories(directory);
  int number = 0;
  return each_seed([&](const std::string&, const std::string& input) {
    std::ofstream(directory / ("seed-" + std::to_string(++number)), std::ios::binary) << input;
  });
}

}  // namespace

void require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "does not hold: %s\n", what);
  std::abort();
}

const std::string& scratch_directory() {
  static const test::TemporaryDirectory kScratch(scratch_base());
  return kScratch.path();
}

}  // namespace runner::fuzz

#ifdef RUNNER_FUZZ

extern "C" int LLVMFuzzerInitialize(int* argc, char*** argv) {
  if (*argc == 3 && std::string_view((*argv)[1]) == "--unpack") {
    std::exit(runner::fuzz::unpack((*argv)[2]) > 0 ? 0 : 1);
  }
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  runner::fuzz::try_input({reinterpret_cast<const char*>(data), size});
  return 0;
}

#else

int main(int argc, char** argv) {
  using namespace runner;
  if (argc == 3 && std::string_view(argv[1]) == "--unpack") return fuzz::unpack(argv[2]) > 0 ? 0 : 1;
  for (int i = 1; i < argc; ++i) {
    std::ifstream in(argv[i], std::ios::binary);
    std::ostringstream content;
    content << in.rdbuf();
    if (!in) return std::fprintf(stderr, "cannot read %s\n", argv[i]), 1;
    fuzz::try_input(content.str());
  }
  if (argc > 1) return 0;
  const int count = fuzz::each_seed([](const std::string& name, const std::string& input) {
    std::printf("%s\n", name.c_str());
    std::fflush(stdout);  // the last line is the one that failed
    fuzz::try_input(input);
  });
  std::printf("%d seeds\n", count);
  return count > 0 ? 0 : 1;
}

#endif
