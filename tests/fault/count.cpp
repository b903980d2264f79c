// What slice.c calls for its action count=N, in tests that compile both.
#include <runner/counter.hpp>

extern "C" void count(long n) {
  runner::Counter("rows").add(n);
}
