/* Says when it ran: appends "slot pid start end" (CLOCK_MONOTONIC, ns) to a file. Without libc, so that its first
 * instruction comes right after exec and its last right before exit; what lies between the end of one and the start of
 * the next in the same slot is the slot's idle time plus one exec and one exit.
 *   stamp SLOT FILE [MS]    sleeps so many ms in between */
#include <asm/unistd.h>
#include <fcntl.h>
#include <time.h>

static long call(long number, long a, long b, long c, long d) {
#if defined(__x86_64__)
  long result;
  register long r10 __asm__("r10") = d;
  __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10) : "rcx", "r11", "memory");
  return result;
#elif defined(__aarch64__)
  register long x8 __asm__("x8") = number;
  register long x0 __asm__("x0") = a;
  register long x1 __asm__("x1") = b;
  register long x2 __asm__("x2") = c;
  register long x3 __asm__("x3") = d;
  __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3) : "memory");
  return x0;
#else
#error "add this machine's system call"
#endif
}

static long now(void) {
  struct timespec t;
  call(__NR_clock_gettime, CLOCK_MONOTONIC, (long)&t, 0, 0);
  return t.tv_sec * 1000000000L + t.tv_nsec;
}

static char* put_text(char* out, const char* text) {
  while (*text != '\0') *out++ = *text++;
  *out++ = ' ';
  return out;
}

static char* put_number(char* out, long number) {
  char digits[24];
  int n = 0;
  do {
    digits[n++] = (char)('0' + number % 10);
    number /= 10;
  } while (number != 0);
  while (n > 0) *out++ = digits[--n];
  *out++ = ' ';
  return out;
}

static void nap(const char* ms) {
  long number = 0;
  for (; *ms != '\0'; ++ms) number = number * 10 + (*ms - '0');
  struct timespec left = {number / 1000, number % 1000 * 1000000};
  call(__NR_nanosleep, (long)&left, 0, 0, 0);
}

__attribute__((used)) void run(const long* stack) {
  const long start = now();
  if (stack[0] != 3 && stack[0] != 4) call(__NR_exit_group, 2, 0, 0, 0);
  const char* slot = (const char*)stack[2];
  const char* path = (const char*)stack[3];
  if (stack[0] == 4) nap((const char*)stack[4]);
  const long fd = call(__NR_openat, AT_FDCWD, (long)path, O_WRONLY | O_APPEND | O_CREAT, 0600);
  char line[160];
  char* out = put_text(line, slot);
  out = put_number(out, call(__NR_getpid, 0, 0, 0, 0));
  out = put_number(out, start);
  out = put_number(out, now());
  out[-1] = '\n';
  call(__NR_write, fd, (long)line, out - line, 0);
  call(__NR_exit_group, 0, 0, 0, 0);
  __builtin_unreachable();
}

/* At entry the stack pointer points at argc; see the System V ABI's initial process stack. */
#if defined(__x86_64__)
__asm__(".globl _start\n_start:\n  mov %rsp, %rdi\n  and $-16, %rsp\n  call run\n");
#else
__asm__(".globl _start\n_start:\n  mov x0, sp\n  bl run\n");
#endif
