/* Runs a program and makes one of its system calls fail, or kills it there: the hand of test_syscalls.py.
 *
 *   inject REPORT list COMMAND...
 *   inject REPORT WHO:CALL:FIRST-LAST:FAULT COMMAND...
 *
 * WHO is a thread: p0 the program, p1, p2 ... what it forks, p1.t1, p1.t2 ... their further threads, each in the order of
 * creation; `child` is any process on its way from vfork to execve. The FIRST-th to LAST-th CALL of that thread is struck
 * at its entry, so that it has no effect. FAULT is an error (EIO), `kill` (SIGKILL to the thread's process) or `killall`
 * (to every process of the program). What is made with vfork is let go at its execve: the slices run untraced.
 *
 * REPORT gets a line "WHO CALL N TARGET" for each call struck, with `list` for every call in the table below.
 * The exit code is the program's own, 128+n if a signal ended it. 125: this system lets nobody trace.
 *
 * Why not strace: it counts a call in each thread apart and strikes in whichever comes first, so that `when=3` is always
 * the main thread's third write and never that of the thread that keeps the record.
 */
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

/* What its arguments say of a call's target: a descriptor, a path, or a path after a directory's descriptor. */
enum Target { kNothing, kFd, kPath, kPathAt };

static const struct Call {
  const char* name;
  long number;
  enum Target target;
} calls[] = {
#define CALL(name, target) {#name, SYS_##name, target},
    CALL(read, kFd) CALL(pread64, kFd) CALL(write, kFd) CALL(pwrite64, kFd) CALL(writev, kFd) CALL(close, kFd)
    CALL(fsync, kFd) CALL(fdatasync, kFd) CALL(ftruncate, kFd) CALL(fallocate, kFd) CALL(lseek, kFd) CALL(flock, kFd)
    CALL(fcntl, kFd) CALL(fstatfs, kFd) CALL(fchown, kFd) CALL(fchmod, kFd) CALL(ioctl, kFd) CALL(getdents64, kFd)
    CALL(openat, kPathAt) CALL(openat2, kPathAt) CALL(newfstatat, kPathAt) CALL(statx, kPathAt) CALL(statfs, kPath)
    CALL(renameat2, kPathAt) CALL(renameat, kPathAt) CALL(unlinkat, kPathAt) CALL(mkdirat, kPathAt) CALL(readlinkat, kPathAt)
    CALL(faccessat, kPathAt) CALL(faccessat2, kPathAt) CALL(fchmodat, kPathAt) CALL(chdir, kPath) CALL(getcwd, kNothing)
#ifdef SYS_open /* the older calls, which newer architectures do without */
    CALL(open, kPath) CALL(stat, kPath) CALL(lstat, kPath) CALL(fstat, kFd) CALL(rename, kPath) CALL(unlink, kPath)
    CALL(rmdir, kPath) CALL(mkdir, kPath) CALL(symlink, kPath) CALL(readlink, kPath) CALL(access, kPath)
    CALL(chmod, kPath) CALL(dup2, kFd) CALL(poll, kNothing) CALL(epoll_wait, kFd) CALL(pipe, kNothing)
    CALL(fork, kNothing) CALL(vfork, kNothing) CALL(getrlimit, kNothing)
#endif
    CALL(symlinkat, kPath) CALL(dup, kFd) CALL(dup3, kFd) CALL(ppoll, kNothing) CALL(epoll_pwait, kFd)
    CALL(epoll_create1, kNothing) CALL(epoll_ctl, kFd) CALL(eventfd2, kNothing) CALL(signalfd4, kNothing)
    CALL(timerfd_create, kNothing) CALL(timerfd_settime, kFd) CALL(pipe2, kNothing) CALL(socket, kNothing)
    CALL(bind, kFd) CALL(listen, kFd)
    CALL(mmap, kNothing) CALL(munmap, kNothing) CALL(mremap, kNothing) CALL(mprotect, kNothing) CALL(madvise, kNothing)
    CALL(brk, kNothing) CALL(futex, kNothing) CALL(clone, kNothing) CALL(clone3, kNothing) CALL(execve, kPath)
    CALL(wait4, kNothing) CALL(waitid, kNothing) CALL(kill, kNothing) CALL(tgkill, kNothing)
    CALL(pidfd_open, kNothing) CALL(pidfd_send_signal, kFd) CALL(setsid, kNothing) CALL(setpgid, kNothing)
    CALL(prctl, kNothing) CALL(prlimit64, kNothing) CALL(setpriority, kNothing) CALL(close_range, kNothing)
    CALL(rt_sigaction, kNothing) CALL(rt_sigprocmask, kNothing) CALL(sigaltstack, kNothing) CALL(getrandom, kNothing)
    CALL(sched_getaffinity, kNothing) CALL(uname, kNothing) CALL(clock_nanosleep, kNothing) CALL(exit_group, kNothing)
#undef CALL
};
enum { kCalls = sizeof calls / sizeof *calls, kMaxTracees = 256 };

static const struct Error {
  const char* name;
  int number;
} errors[] = {{"EIO", EIO},       {"ENOSPC", ENOSPC}, {"EMFILE", EMFILE}, {"EAGAIN", EAGAIN}, {"ENOMEM", ENOMEM},
              {"EINTR", EINTR},   {"EPERM", EPERM},   {"EACCES", EACCES}, {"ENOLCK", ENOLCK}, {"EDQUOT", EDQUOT},
              {"EROFS", EROFS},   {"ESRCH", ESRCH},   {"ENOSYS", ENOSYS}, {"ENOENT", ENOENT}, {"ETXTBSY", ETXTBSY},
              {"EINVAL", EINVAL}, {"ENFILE", ENFILE}};

struct Tracee {
  pid_t tid;          /* 0: this place is free */
  pid_t process;      /* whose thread it is */
  char who[32];       /* "": it has stopped, and who made it is not known yet */
  int threads;        /* of a process: how many it has made */
  int struck;         /* its call is to return -struck */
  int seen[kCalls];   /* how often it made each call; a child's are counted in `children` */
};

static struct Tracee tracees[kMaxTracees];
static struct Tracee children;
static int processes;
static FILE* report;
static struct {
  int list;
  char who[32];
  const struct Call* call;
  int first, last;
  int error;
  enum { kError, kKill, kKillAll } fault;
} order;

static void fail(const char* what) {
  perror(what);
  exit(125);
}

static struct Tracee* find(pid_t tid) {
  for (int i = 0; i < kMaxTracees; ++i) {
    if (tracees[i].tid == tid) return &tracees[i];
  }
  return NULL;
}

static struct Tracee* add(pid_t tid) {
  struct Tracee* tracee = find(0);
  if (tracee == NULL) fail("inject: too many processes");
  memset(tracee, 0, sizeof *tracee);
  tracee->tid = tracee->process = tid;
  return tracee;
}

/* ---- a call */

static const struct Call* call_of(long number) {
  for (int i = 0; i < kCalls; ++i) {
    if (calls[i].number == number) return &calls[i];
  }
  return NULL;
}

static const char* name_in(char* text) {
  for (char* c = text; *c != '\0'; ++c) {
    if (*c <= ' ') *c = '_';
  }
  const char* slash = strrchr(text, '/');
  if (slash != NULL && slash[1] != '\0') return slash + 1;
  return *text != '\0' ? text : "-";
}

/* The file that a call is about, without its directories; "-" if it is about none. */
static const char* target_of(const struct Tracee* tracee, const struct Call* call, const __uint64_t* args) {
  static char text[512], path[64];
  ssize_t n = 0;
  if (call->target == kPath || call->target == kPathAt) {
    snprintf(path, sizeof path, "/proc/%d/mem", tracee->tid);
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    n = pread(fd, text, sizeof text - 1, (off_t)args[call->target == kPathAt]);
    close(fd);
    if (n > 0 && text[0] == '\0') n = 0; /* AT_EMPTY_PATH: the descriptor */
  }
  if (n <= 0 && call->target != kNothing) {
    snprintf(path, sizeof path, "/proc/%d/fd/%d", tracee->tid, (int)args[0]);
    n = readlink(path, text, sizeof text - 1);
  }
  text[n > 0 ? n : 0] = '\0';
  return name_in(text);
}

static void kill_all(void) {
  for (int i = 0; i < kMaxTracees; ++i) {
    if (tracees[i].tid != 0) kill(tracees[i].process, SIGKILL);
  }
}

/* The stopped call does nothing: it becomes one that does not exist. */
static void skip_call(pid_t tid) {
#if defined(__x86_64__)
  ptrace(PTRACE_POKEUSER, tid, offsetof(struct user_regs_struct, orig_rax), -1L);
#elif defined(__aarch64__)
  int none = -1;
  struct iovec part = {&none, sizeof none};
  ptrace(PTRACE_SETREGSET, tid, NT_ARM_SYSTEM_CALL, &part);
#else
#error "how a call is skipped, and its result set, differs from machine to machine: add yours"
#endif
}

static void set_result(pid_t tid, long value) {
  struct user_regs_struct regs;
  struct iovec all = {&regs, sizeof regs};
  ptrace(PTRACE_GETREGSET, tid, NT_PRSTATUS, &all);
#if defined(__x86_64__)
  regs.rax = (unsigned long)value;
#elif defined(__aarch64__)
  regs.regs[0] = (unsigned long)value;
#endif
  ptrace(PTRACE_SETREGSET, tid, NT_PRSTATUS, &all);
}

static void on_entry(struct Tracee* tracee, const struct Call* call, const __uint64_t* args) {
  struct Tracee* counted = strcmp(tracee->who, "child") == 0 ? &children : tracee;
  const int n = ++counted->seen[call - calls];
  const int due = call == order.call && strcmp(tracee->who, order.who) == 0 && n >= order.first && n <= order.last;
  if (!due && !order.list) return;
  fprintf(report, "%s %s %d %s\n", tracee->who, call->name, n, target_of(tracee, call, args));
  fflush(report);
  if (order.list) return;
  if (order.fault == kKillAll) kill_all();
  if (order.fault == kKill) kill(tracee->process, SIGKILL);
  if (order.fault != kError) return;
  tracee->struck = order.error;
  skip_call(tracee->tid);
}

static void on_call(struct Tracee* tracee) {
  struct __ptrace_syscall_info info;
  if (ptrace(PTRACE_GET_SYSCALL_INFO, tracee->tid, sizeof info, &info) <= 0) return; /* killed meanwhile */
  if (info.op == PTRACE_SYSCALL_INFO_ENTRY) {
    const struct Call* call = call_of((long)info.entry.nr);
    if (call != NULL) on_entry(tracee, call, info.entry.args);
  } else if (tracee->struck != 0) {
    set_result(tracee->tid, -tracee->struck);
    tracee->struck = 0;
  }
}

/* ---- processes and threads */

static void resume(pid_t tid, int signal) {
  ptrace(PTRACE_SYSCALL, tid, 0, (long)signal); /* ESRCH: it was killed */
}

static void on_birth(struct Tracee* parent, int event) {
  unsigned long tid = 0;
  if (ptrace(PTRACE_GETEVENTMSG, parent->tid, 0, &tid) != 0) return;
  struct Tracee* child = find((pid_t)tid);
  const int waits = child != NULL; /* its first stop came before its parent's */
  if (child == NULL) child = add((pid_t)tid);
  if (event == PTRACE_EVENT_CLONE) {
    struct Tracee* process = find(parent->process);
    child->process = parent->process;
    snprintf(child->who, sizeof child->who, "%.16s.t%d", process->who, ++process->threads);
  } else if (event == PTRACE_EVENT_FORK) {
    snprintf(child->who, sizeof child->who, "p%d", processes++);
  } else {
    strcpy(child->who, "child");
  }
  if (waits) resume(child->tid, 0);
}

/* Who was made by one that is killed before it can say so goes on without a name. */
static void on_end(pid_t tid) {
  struct Tracee* gone = find(tid);
  if (gone != NULL) gone->tid = 0;
  for (int i = 0; i < kMaxTracees; ++i) {
    if (tracees[i].tid != 0 && tracees[i].who[0] == '\0') resume(tracees[i].tid, 0);
  }
}

static void on_stop(pid_t tid, int status) {
  const int signal = WSTOPSIG(status), event = status >> 16;
  struct Tracee* tracee = find(tid);
  if (tracee == NULL) { /* the rest when we know who made it */
    add(tid);
    return;
  }
  switch (event) {
    case PTRACE_EVENT_CLONE:
    case PTRACE_EVENT_FORK:
    case PTRACE_EVENT_VFORK:
      on_birth(tracee, event);
      resume(tid, 0);
      return;
    case PTRACE_EVENT_EXEC:
      if (tracee->who[0] != 'p') {
        ptrace(PTRACE_DETACH, tid, 0, 0);
        tracee->tid = 0;
        return;
      }
      memset(tracee->seen, 0, sizeof tracee->seen); /* the program begins here */
      resume(tid, 0);
      return;
    case PTRACE_EVENT_STOP:
      if (signal == SIGTRAP) {
        resume(tid, 0);
      } else {
        ptrace(PTRACE_LISTEN, tid, 0, 0);
      }
      return;
  }
  if (signal == (SIGTRAP | 0x80)) {
    on_call(tracee);
    resume(tid, 0);
  } else {
    resume(tid, signal);
  }
}

/* ---- the command */

static void parse(const char* text) {
  char call[32], fault[32];
  if (strcmp(text, "list") == 0) {
    order.list = 1;
    return;
  }
  if (sscanf(text, "%31[^:]:%31[^:]:%d-%d:%31s", order.who, call, &order.first, &order.last, fault) != 5) {
    fprintf(stderr, "inject: %s: WHO:CALL:FIRST-LAST:FAULT is wanted\n", text);
    exit(125);
  }
  for (int i = 0; i < kCalls; ++i) {
    if (strcmp(calls[i].name, call) == 0) order.call = &calls[i];
  }
  for (size_t i = 0; i < sizeof errors / sizeof *errors; ++i) {
    if (strcmp(errors[i].name, fault) == 0) order.error = errors[i].number;
  }
  if (strcmp(fault, "kill") == 0) order.fault = kKill;
  if (strcmp(fault, "killall") == 0) order.fault = kKillAll;
  if (order.call != NULL && (order.fault != kError || order.error != 0)) return;
  fprintf(stderr, "inject: %s: no such call, or no such fault\n", text);
  exit(125);
}

static pid_t start(char** argv) {
  int gate[2];
  char go = 0;
  if (pipe2(gate, O_CLOEXEC) != 0) fail("inject: pipe");
  const pid_t pid = fork();
  if (pid == 0) {
    if (read(gate[0], &go, 1) != 1) _exit(125);
    execvp(argv[0], argv);
    perror(argv[0]);
    _exit(125);
  }
  const long options = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK |
                       PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL;
  if (ptrace(PTRACE_SEIZE, pid, 0, options) != 0) fail("inject: ptrace");
  snprintf(add(pid)->who, sizeof tracees->who, "p%d", processes++);
  if (write(gate[1], &go, 1) != 1) fail("inject: pipe");
  return pid;
}

int main(int argc, char** argv) {
  if (argc < 4) return 125;
  report = fopen(argv[1], "we");
  if (report == NULL) fail(argv[1]);
  parse(argv[2]);
  const pid_t program = start(argv + 3);
  int result = 125, status = 0;
  for (pid_t tid; (tid = waitpid(-1, &status, __WALL)) > 0;) {
    if (WIFSTOPPED(status)) {
      on_stop(tid, status);
      continue;
    }
    if (tid == program) result = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    on_end(tid);
  }
  return result;
}
