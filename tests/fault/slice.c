/* The slices of the fault tests: a small static program, so that ten thousand of them start in seconds.
 *
 *   slice MARKS KEY [ACTIONS]...
 *
 * Appends "S KEY ATTEMPT PID" to the file MARKS before anything else and "E KEY ATTEMPT PID" when it has done its work,
 * each with one write(2) to a file opened O_APPEND: whole lines, whoever else writes. Between them it does what it is
 * told; ACTIONS are any number, with blanks between:
 *
 *   sleep=MS      linger                          exit=N       exit with code N
 *   signal=N      send itself signal N            write=BYTES  write so much to stdout; code 74 if that fails
 *   say=TEXT      write TEXT and a newline        wait=FILE    linger until FILE is there
 *   fail=N        exit with code 75 in attempts 1 to N     hang=N        linger for a minute in attempts 1 to N
 *   deaf          ignore SIGTERM                  catch=N      exit with code N at SIGTERM
 *   tree          leave processes of every awkward kind behind: in sessions of their own, deaf to SIGTERM, stopped,
 *                 with their parents dead
 *   bare          leave one that has given up its parent, its session and its environment
 *   chain         leave one that forks a successor into a session of its own and exits, and so on; each writes a dot to
 *                 the file "links"
 *   become=UID    be that user, if it may (its file is setuid)
 *   count=N       add N to the run's counter "rows" (where count.cpp is compiled with it)
 *   orphan=MS     leave a grandchild in a session of its own that lingers and then writes "O KEY ATTEMPT PID"
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const char *marks, *key, *attempt;
static int code_at_term;

__attribute__((weak)) void count(long n);

static void mark(const char* what) {
  char line[256];
  int n = snprintf(line, sizeof line, "%s %s %s %d\n", what, key, attempt, (int)getpid());
  int fd = open(marks, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
  if (fd < 0 || write(fd, line, (size_t)n) != n) _exit(99);
  close(fd);
}

static void linger(long ms) {
  struct timespec left = {ms / 1000, ms % 1000 * 1000000};
  while (nanosleep(&left, &left) != 0) {}
}

static void put(unsigned long long bytes) {
  static char block[1 << 16];
  memset(block, 'x', sizeof block);
  while (bytes > 0) {
    ssize_t n = write(1, block, bytes < sizeof block ? (size_t)bytes : sizeof block);
    if (n <= 0) _exit(74);
    bytes -= (unsigned long long)n;
  }
}

static void leave_orphan(long ms) {
  if (fork() != 0) return;
  setsid();
  linger(ms);
  mark("O");
  _exit(0);
}

/* Pauses for ever as a grandchild whose parent is dead. */
static void leave_grandchild(int stopped) {
  pid_t child = fork();
  if (child != 0) {
    waitpid(child, NULL, 0);
    return;
  }
  setsid();
  if (fork() != 0) _exit(0);
  signal(SIGTERM, SIG_IGN);
  if (stopped) raise(SIGSTOP);
  for (;;) pause();
}

static void leave_tree(void) {
  for (int kind = 0; kind < 3; ++kind) {
    if (fork() != 0) continue;
    if (kind != 0) setsid();
    if (kind != 1) signal(SIGTERM, SIG_IGN);
    if (kind == 2) raise(SIGSTOP);
    for (;;) pause();
  }
  leave_grandchild(0);
  leave_grandchild(1);
}

static void leave_bare(void) {
  char* const nothing[] = {NULL};
  pid_t child = fork();
  if (child != 0) {
    waitpid(child, NULL, 0);
    return;
  }
  setsid();
  if (fork() == 0) execle("/proc/self/exe", "slice", "pause", (char*)NULL, nothing);
  _exit(0);
}

static void leave_chain(void) {
  int links = open("links", O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
  if (fork() != 0) return;
  signal(SIGTERM, SIG_IGN);
  for (;;) {
    setsid();
    if (write(links, ".", 1) != 1 || fork() != 0) _exit(0);
  }
}

static void on_term(int signal) {
  (void)signal;
  _exit(code_at_term);
}

static void act(const char* action) {
  const char* value = strchr(action, '=');
  long number = value ? atol(value + 1) : 0;
  size_t length = value ? (size_t)(value - action) : strlen(action);
#define IS(name) (length == sizeof name - 1 && memcmp(action, name, length) == 0)
  if (IS("sleep")) {
    linger(number);
  } else if (IS("exit")) {
    _exit((int)number);
  } else if (IS("signal")) {
    kill(getpid(), (int)number);
  } else if (IS("write")) {
    put((unsigned long long)number);
  } else if (IS("say")) {
    dprintf(1, "%s\n", value + 1);
  } else if (IS("wait")) {
    while (access(value + 1, F_OK) != 0) linger(5);
  } else if (IS("fail")) {
    if (atol(attempt) <= number) _exit(75);
  } else if (IS("hang")) {
    if (atol(attempt) <= number) linger(60000);
  } else if (IS("deaf")) {
    signal(SIGTERM, SIG_IGN);
  } else if (IS("catch")) {
    code_at_term = (int)number;
    signal(SIGTERM, on_term);
  } else if (IS("tree")) {
    leave_tree();
  } else if (IS("bare")) {
    leave_bare();
  } else if (IS("chain")) {
    leave_chain();
  } else if (IS("become")) {
    if (setresuid((uid_t)number, (uid_t)number, (uid_t)number) != 0) _exit(96);
  } else if (IS("count") && count != NULL) {
    count(number);
  } else if (IS("orphan")) {
    leave_orphan(number);
  } else {
    _exit(98);
  }
}

int main(int argc, char** argv) {
  const struct rlimit no_core = {0, 0};
  setrlimit(RLIMIT_CORE, &no_core);
  while (argc == 2 && strcmp(argv[1], "pause") == 0) pause(); /* what leave_bare() has started */
  attempt = getenv("RUNNER_ATTEMPT");
  if (argc < 3 || attempt == NULL) return 97;
  marks = argv[1];
  key = argv[2];
  mark("S");
  for (int i = 3; i < argc; ++i) {
    for (char* action = strtok(argv[i], " "); action != NULL; action = strtok(NULL, " ")) act(action);
  }
  mark("E");
  return 0;
}
