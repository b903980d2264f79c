// counting NAME TIMES [PROCESSES [THREADS]]: so many processes of so many threads add 1 so many times, one by one.
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <runner/counter.hpp>
#include <thread>
#include <vector>

int main(int argc, char** argv) {
  if (argc < 3) return 98;
  const long times = std::atol(argv[2]);
  const int processes = argc > 3 ? std::atoi(argv[3]) : 1;
  const int threads = argc > 4 ? std::atoi(argv[4]) : 1;
  for (int i = 1; i < processes; ++i) {
    if (fork() == 0) break;
  }
  runner::Counter counter(argv[1]);
  const auto work = [&] {
    for (long n = 0; n < times; ++n) ++counter;
  };
  std::vector<std::thread> others;
  for (int i = 1; i < threads; ++i) others.emplace_back(work);
  work();
  for (auto& other : others) other.join();
  while (wait(nullptr) > 0) {}
  return 0;
}
