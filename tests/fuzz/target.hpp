// What a fuzz target gives and gets. A target is one file with the two functions below; harness.cpp makes a libFuzzer
// program of it (preset fuzz), or a test that runs its seeds once (every other preset).
// An input is good or bad, and both are fine: what must not happen is a crash, a hang, or a require() that fails.
#pragma once

#include <string>
#include <string_view>

namespace runner::fuzz {

/// Tries one input. Keeps nothing from one call to the next.
void try_input(std::string_view input);

/// The input that a seed of tests/fuzz/seeds/<target>.txt stands for.
std::string input_of_seed(const std::string& text);

/// Ends the program with `what`, so that libFuzzer keeps the input.
void require(bool holds, const char* what);

/// An empty directory, in memory where there is such a file system; gone when the program ends.
const std::string& scratch_directory();

}  // namespace runner::fuzz
