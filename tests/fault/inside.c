/* What contenders for a semaphore run once they are in.
 *
 *   inside DIR KEY MS LIMIT [kill|orphan]
 *
 * Puts a mark DIR/KEY.PID, counts the marks of processes that are alive, lingers for MS and takes its mark away. Appends
 * "in KEY COUNT" and "out KEY" to DIR/../log; instead of COUNT "TOO-MANY" when more than LIMIT were inside at once.
 * "kill": kills its parent, which holds the semaphore, and expects to die of that. "orphan": so does a parent of it,
 * while it goes on inside. A process may be dead and not yet look so: when there seem to be too many, those that take
 * their own marks away later, or live on, were inside, and those that die were not.
 */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Names are relative to DIR from the start on. */
struct Mark {
  char name[256];
  int pid;
};

static void linger(long ms) {
  struct timespec left = {ms / 1000, ms % 1000 * 1000000};
  while (nanosleep(&left, &left) != 0) {}
}

static void say(const char* text) {
  int fd = open("../log", O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text)) _exit(99);
  close(fd);
}

static int is_alive(int pid) {
  char path[64], text[512], state = 'X';
  snprintf(path, sizeof path, "/proc/%d/stat", pid);
  FILE* file = fopen(path, "r");
  if (file == NULL) return 0;
  size_t n = fread(text, 1, sizeof text - 1, file);
  fclose(file);
  text[n] = 0;
  char* end = strrchr(text, ')');
  if (end != NULL) state = end[2];
  return state != 'Z' && state != 'X';
}

/* Whether the process with this mark was really inside. */
static int is_inside(const struct Mark* mark) {
  for (int i = 0; i < 2000; ++i) {
    if (access(mark->name, F_OK) != 0) return 1;
    if (!is_alive(mark->pid)) return 0;
    linger(1);
  }
  return 1;
}

static int count(int limit) {
  static struct Mark seen[64];
  int n = 0, sure = 0;
  DIR* marks = opendir(".");
  for (struct dirent* entry; marks != NULL && n < 64 && (entry = readdir(marks)) != NULL;) {
    const char* dot = strrchr(entry->d_name, '.');
    if (entry->d_name[0] == '.' || dot == NULL || !is_alive(atoi(dot + 1))) continue;
    seen[n].pid = atoi(dot + 1);
    strcpy(seen[n++].name, entry->d_name);
  }
  if (marks != NULL) closedir(marks);
  if (n <= limit) return n;
  for (int i = 0; i < n; ++i) sure += seen[i].pid == (int)getpid() || is_inside(&seen[i]);
  return sure;
}

int main(int argc, char** argv) {
  char mark[256], line[300];
  if (argc < 5 || strlen(argv[2]) > 100 || chdir(argv[1]) != 0) return 98;
  const char* how = argc > 5 ? argv[5] : "";
  pid_t holder = getppid();
  if (strcmp(how, "orphan") == 0 && fork() != 0) {
    kill(holder, SIGKILL);
    for (;;) pause();
  }
  snprintf(mark, sizeof mark, "%s.%d", argv[2], (int)getpid());
  close(open(mark, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  int inside = count(atoi(argv[4]));
  snprintf(line, sizeof line, inside > atoi(argv[4]) ? "in %s TOO-MANY\n" : "in %s %d\n", argv[2], inside);
  say(line);
  linger(atol(argv[3]));
  if (strcmp(how, "kill") == 0) {
    kill(holder, SIGKILL);
    for (;;) pause();
  }
  snprintf(line, sizeof line, "out %s\n", argv[2]);
  say(line);
  unlink(mark);
  return 0;
}
