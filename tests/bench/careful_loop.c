/* bare_loop.c with the system calls that runner makes for every slice, and nothing else: each child in a group of its
 * own, tied to this process, with default signals, no descriptor but its stdin and log; watched by its pidfd behind two
 * epolls; what it leaves behind in its group killed; its log opened, locked and looked at. No record, no spec, no
 * scheduling: what lies between this and the bare loop is the price of launching so, between this and runner is
 * runner's own.
 *   careful_loop P N PROGRAM [ARG...]       makes its logs in the working directory */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

extern char** environ;

enum { kOtherDescriptors = 20, kChangedSignals = 9, kKernelSigset = 8, kStack = 65536 };

struct slot {
  pid_t pid;
  int pidfd;
  int log;
};

static char** command;
static int null_fd;
static char stack[kStack] __attribute__((aligned(16)));

static int child_main(void* data) {
  const struct slot* slot = data;
  static const unsigned long defaults[8];
  for (int signal = 1; signal <= kChangedSignals; ++signal)
    syscall(SYS_rt_sigaction, signal, defaults, NULL, (size_t)kKernelSigset);
  setpgid(0, 0);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  (void)getppid();
  struct rlimit limit;
  syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, NULL, &limit);
  syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, &limit, NULL);
  dup2(null_fd, 0);
  dup2(slot->log, 1);
  dup2(slot->log, 2);
  syscall(SYS_close_range, 3U, ~0U, 0U);
  const unsigned long none = 0;
  syscall(SYS_rt_sigprocmask, SIG_SETMASK, &none, NULL, (size_t)kKernelSigset);
  execve(command[0], command, environ);
  _exit(127);
}

static int open_log(long number) {
  char name[64];
  snprintf(name, sizeof name, ".slot-%ld.log", number);
  const int log = open(name, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
  struct stat info;
  if (log < 0 || fstat(log, &info) != 0 || flock(log, LOCK_EX | LOCK_NB) != 0) {
    perror(name);
    exit(1);
  }
  return log;
}

static void start(struct slot* slot, long number, int children) {
  slot->log = open_log(number);
  sigset_t all, before;
  sigfillset(&all);
  sigprocmask(SIG_SETMASK, &all, &before);
  slot->pid = clone(child_main, stack + sizeof stack, CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD, slot, &slot->pidfd);
  sigprocmask(SIG_SETMASK, &before, NULL);
  struct epoll_event event = {.events = EPOLLIN, .data.u64 = (unsigned long)number};
  if (slot->pid < 0 || epoll_ctl(children, EPOLL_CTL_ADD, slot->pidfd, &event) != 0) {
    perror("clone");
    exit(1);
  }
}

/* The number of a slot whose child has exited. */
static long wait_for_exit(int loop, int children) {
  struct epoll_event event;
  do {
    while (epoll_wait(loop, &event, 1, -1) < 0 && errno == EINTR) {}
  } while (epoll_wait(children, &event, 1, 0) != 1);
  return (long)event.data.u64;
}

static int end(struct slot* slot) {
  close(slot->pidfd);
  kill(-slot->pid, SIGKILL);
  int status = 0;
  struct rusage usage;
  wait4(slot->pid, &status, 0, &usage);
  kill(-slot->pid, 0);
  struct stat info;
  fstat(slot->log, &info);
  close(slot->log);
  slot->pid = 0;
  return status;
}

int main(int argc, char** argv) {
  if (argc < 4) {
    fprintf(stderr, "usage: careful_loop P N PROGRAM [ARG...]\n");
    return 2;
  }
  const long slots = atol(argv[1]);
  long left = atol(argv[2]);
  command = argv + 3;
  struct slot* all = calloc((size_t)slots, sizeof *all);
  null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
  for (int i = 0; i < kOtherDescriptors; ++i) open("/dev/null", O_RDONLY | O_CLOEXEC); /* the record's, the loop's */
  const int children = epoll_create1(EPOLL_CLOEXEC);
  const int loop = epoll_create1(EPOLL_CLOEXEC);
  struct epoll_event event = {.events = EPOLLIN};
  epoll_ctl(loop, EPOLL_CTL_ADD, children, &event);

  long running = 0;
  int failed = 0;
  while (left > 0 || running > 0) {
    long number = 0;
    if (left > 0 && running < slots) {
      while (all[number].pid != 0) ++number;
    } else {
      number = wait_for_exit(loop, children);
      if (end(&all[number]) != 0) failed = 1;
      --running;
      if (left == 0) continue;
    }
    start(&all[number], number, children);
    ++running;
    --left;
  }
  free(all);
  return failed;
}
