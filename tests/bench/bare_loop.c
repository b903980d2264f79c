/* The least a job runner can do: keep P children alive with vfork and execve, and wait for them. No record, no log, no
 * output, no timeouts. What runner's throughput is measured against.
 *   bare_loop P N PROGRAM [ARG...]       an argument "{slot}" becomes the child's slot, 0 to P-1 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char** environ;

int main(int argc, char** argv) {
  if (argc < 4) {
    fprintf(stderr, "usage: bare_loop P N PROGRAM [ARG...]\n");
    return 2;
  }
  const long slots = atol(argv[1]);
  long left = atol(argv[2]);
  char** command = argv + 3;
  pid_t* pids = calloc((size_t)slots, sizeof *pids);
  char slot_text[24] = "";
  for (char** arg = command; *arg != NULL; ++arg)
    if (strcmp(*arg, "{slot}") == 0) *arg = slot_text;

  long running = 0;
  int failed = 0;
  while (left > 0 || running > 0) {
    long slot = 0;
    if (left > 0 && running < slots) {
      while (pids[slot] != 0) ++slot;
    } else {
      int status = 0;
      const pid_t ended = wait(&status);
      if (status != 0) failed = 1;
      while (pids[slot] != ended) ++slot;
      pids[slot] = 0;
      --running;
      if (left == 0) continue;
    }
    snprintf(slot_text, sizeof slot_text, "%ld", slot);
    const pid_t pid = vfork();
    if (pid == 0) {
      execve(command[0], command, environ);
      _exit(127);
    }
    if (pid < 0) {
      perror("vfork");
      return 1;
    }
    pids[slot] = pid;
    ++running;
    --left;
  }
  free(pids);
  return failed;
}
