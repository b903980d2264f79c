// paircount: see kUsage in commands.cpp. Exit codes: 0 done, 1 a file is wrong, 2 the command line is.
#include <exception>
#include <iostream>

#include "commands.hpp"
#include "options.hpp"

int main(int argc, char** argv) {
  const std::vector<std::string> words(argv + 1, argv + argc);
  try {
    if (!words.empty() && (words.front() == "--help" || words.front() == "-h")) {
      std::cout << paircount::kUsage;
    } else {
      paircount::run_command(words);
    }
    std::cout.flush();
    if (!std::cout) throw std::runtime_error("cannot write to stdout");
    return 0;
  } catch (const paircount::UsageError& error) {
    std::cerr << "paircount: " << error.what() << " (paircount --help)\n";
    return 2;
  } catch (const std::exception& error) {
    std::cerr << "paircount: " << error.what() << '\n';
    return 1;
  }
}
