"""The two processes of a run, guard and engine: what they hand to each other, and what they leave alone."""
import array
import contextlib
import fcntl
import os
import pty
import signal
import subprocess
import sys
import termios
import time
import unittest

from faults import SANITIZED, FaultTest, OtherUserTest, processes_in, wait_for
from support import DEADLINE, RUNNER, children_of, crash, engine_pid, is_alive

PIPE = 4096  # bytes that a slice's output passes on at a time: no more than one such piece is waited for


def is_full(pipe):
    held = array.array("i", [0])
    fcntl.ioctl(pipe, termios.FIONREAD, held)
    return held[0] + PIPE > fcntl.fcntl(pipe, fcntl.F_GETPIPE_SZ)


class Guard(FaultTest):
    def begin(self, actions="sleep=600000", **more):
        """A run of one slice that is up and recorded."""
        self.spec(f"slices: 0-0\ncommand: [{self.slice}, marks, '{{slice}}', '{actions}']\n")
        process = self.start("jobs.yaml", **more)
        wait_for(lambda: self.marks() and self.rows("SELECT 1 FROM attempt WHERE pid > 0"), "the slice runs")
        return process

    def test_the_exit_status_passes_through_and_signals_pass_down(self):
        for number, code, said in ((signal.SIGTERM, 128 + signal.SIGTERM, "SIGTERM: terminating 1 running"),
                                   (signal.SIGQUIT, -signal.SIGQUIT, "was ended by SIGQUIT; ")):
            process = self.begin()
            process.send_signal(number)
            err = process.communicate()[1]
            self.assertEqual(process.returncode, code)
            self.assertIn(said, err)
            self.assertIn("runner jobs.yaml --resume", err)
            self.wait_until_nothing_runs()
            (self.dir / "marks").unlink()

    def test_a_stopped_engine_is_continued_to_be_ended(self):
        process = self.begin()
        os.kill(engine_pid(process), signal.SIGSTOP)
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(timeout=30), 128 + signal.SIGTERM)

    def test_slices_that_ended_in_time_while_runner_was_stopped_have_not_timed_out(self):
        """As after Ctrl-Z and, much later, `fg`."""
        self.spec(f"slices: 0-3\nn_procs: 4\ntimeout: 2s\ncommand: [{self.slice}, marks, '{{slice}}', 'wait=go']\n")
        process = self.start("jobs.yaml")
        engine = engine_pid(process)
        wait_for(lambda: len(self.marks()) == 4, "all run")
        os.kill(engine, signal.SIGSTOP)
        late = time.monotonic() + 2
        self.write("go", "")
        wait_for(lambda: not any(map(is_alive, children_of(engine))) and time.monotonic() > late,
                 "all have ended, and it is late")
        os.kill(engine, signal.SIGCONT)
        self.assertEqual(process.wait(timeout=DEADLINE), 0, process.stderr.read())

    def test_the_death_of_the_guard_is_noticed_even_where_the_parent_ignores_sigcont(self):
        process = self.begin("tree sleep=600000",
                             preexec_fn=lambda: signal.signal(signal.SIGCONT, signal.SIG_IGN))
        process.kill()
        self.wait_until_nothing_runs()
        self.assertEqual(self.rows("SELECT outcome FROM attempt"), [("cancelled",)])

    def run_beside_a_child(self, *prefix):
        """Runs runner in a process that has a child already; returns whether that child is alive afterwards."""
        self.spec(f"slices: 0-0\ncommand: [{self.slice}, marks, '{{slice}}', 'tree']\n")
        script = ('bash -c \'sleep 600 & echo $! > other; exec "$@"\' bash "$@" || exit; '
                  "if kill -KILL $(cat other); then echo was alive; fi")
        result = subprocess.run([*prefix, "bash", "-c", script, "bash", RUNNER, "jobs.yaml", "-q"], cwd=self.dir,
                                check=True, env=self.environment(), stdin=subprocess.DEVNULL, capture_output=True)
        self.wait_until_nothing_runs()
        return result.stdout == b"was alive\n"

    def test_children_that_the_process_had_before_are_left_alone(self):
        self.assertTrue(self.run_beside_a_child())

    def test_children_are_left_alone_in_a_pid_namespace_whose_session_is_outside(self):
        """As in a container: there the number of the session is 0."""
        unshare = ["unshare", "--map-root-user", "--pid", "--fork", "--mount-proc"]
        if subprocess.run([*unshare, "true"], capture_output=True).returncode != 0:
            self.skipTest("no pid namespace can be made here")
        self.assertTrue(self.run_beside_a_child(*unshare))

    def test_what_slices_leave_behind_is_ended_and_named_before_the_run_is_over(self):
        self.spec(f"slices: 0-1\ncommand: [{self.slice}, marks, '{{slice}}', 'tree bare']\n")
        result = self.ok("jobs.yaml")
        self.assertEqual(processes_in(self.dir), [])
        self.assertRegex(result.stderr, r"\d+ processes that slices had left behind killed: pid \d+ \(slice\)")
        self.assertRegex(self.run_log(), r"left behind killed[^\n]*\n(.*\n)*.*\[jobs\] pid:\d+ completed")

    def test_what_is_quicker_than_looks_at_all_processes_is_ended_with_its_slice(self):
        self.spec(f"""
jobs:
  chain: {{slices: 0-0, timeout: 300ms, grace: 100ms, command: [{self.slice}, marks, '0', chain sleep=600000]}}
  other: {{slices: 0-0, command: [{self.slice}, marks, '1', wait=go sleep=100]}}
""")
        process = self.start("jobs.yaml")
        wait_for(lambda: (self.dir / "links").exists(), "the chain has begun")
        wait_for(lambda: self.rows("SELECT 1 FROM attempt WHERE outcome = 'timed_out'"), "the slice has ended")
        links = len(self.read("links"))
        self.write("go", "")
        process.wait()
        self.assertGreater(links, 5)
        self.assertEqual(len(self.read("links")), links)

    def test_survivors_may_be_refused(self):
        crash(self.begin("tree sleep=600000"))
        refused = self.ok("jobs.yaml", "--survivors", "refuse", code=75)
        alive = set(filter(is_alive, processes_in(self.dir)))
        self.assertTrue(alive)
        for pid in alive:
            self.assertIn(f"pid {pid} (slice) of", refused.stderr)
        self.spec(f"slices: 0-0\ncommand: [{self.slice}, marks, '{{slice}}', 'exit=0']\n")
        self.assertIn("killing pid", self.ok("jobs.yaml").stderr)
        self.assertEqual(processes_in(self.dir), [])

    def test_ctrl_z_does_not_freeze_a_run_that_no_shell_can_continue(self):
        """As `ssh -t host runner jobs.yaml`: the kernel drops the stop of an orphaned group, and so must the guard."""
        self.spec(f"slices: 0-0\ncommand: [{self.slice}, marks, '{{slice}}', 'wait=go']\n")
        pid, terminal = pty.fork()
        if pid == 0:
            os.chdir(self.dir)
            os.execve(RUNNER, [RUNNER, "jobs.yaml", "-q"], self.environment())
        wait_for(lambda: self.marks(), "the slice runs")
        os.write(terminal, b"\x1a")
        self.write("go", "")
        ended = wait_for(lambda: os.waitpid(pid, os.WNOHANG)[0] and [True], "the run goes on", 30)
        self.assertTrue(ended)
        os.close(terminal)


    def test_a_reader_of_print_that_stalls_does_not_keep_the_engine_alive_when_the_guard_is_killed(self):
        self.spec(f"slices: 0-0\ncommand: [{self.slice}, marks, '{{slice}}', 'write=1000000']\n")
        process = self.start("jobs.yaml", "--print", "line")
        wait_for(lambda: is_full(process.stdout), "nobody reads, and the pipe is full")
        process.kill()
        self.wait_until_nothing_runs()

    def test_the_progress_line_is_drawn_only_in_the_foreground_of_the_terminal(self):
        """As `runner jobs.yaml &` and then `fg`. Slice 0 takes longer than a line takes to be drawn."""
        self.spec(f"slices: 0-1\nn_procs: 1\ncommand: [{self.slice}, marks, '{{slice}}', 'sleep=1000 wait=go{{slice}}']\n")
        self.write("go0", "")
        shell = ("import os, subprocess, sys, time\n"
                 "run = subprocess.Popen(sys.argv[1:], process_group=0)\n"
                 "while not os.path.exists('fg'): time.sleep(0.01)\n"
                 "os.tcsetpgrp(0, run.pid)\n"
                 "run.wait()\n")
        pid, terminal = pty.fork()
        if pid == 0:
            os.chdir(self.dir)
            os.execve(sys.executable, [sys.executable, "-c", shell, RUNNER, "jobs.yaml"],
                      self.environment({"TERM": "xterm"}))
        os.set_blocking(terminal, False)
        self.addCleanup(os.close, terminal)
        self.addCleanup(os.waitpid, pid, 0)
        self.addCleanup(self.write, "go1", "")
        said = bytearray()

        def is_drawn():
            with contextlib.suppress(OSError):  # nothing to read
                said.extend(os.read(terminal, 65536))
            return b"\x1b[K" in said

        wait_for(lambda: [m for m in self.marks() if m.key == 1], "slice 0 has come and gone")
        self.assertFalse(is_drawn(), bytes(said))
        self.assertIn(b"2 slices", said)
        self.write("fg", "")
        wait_for(is_drawn, "the line is drawn")

    # ---- what cannot be seen, and what cannot be killed

    def without_proc(self, *args, code):
        """Runs it where nothing is mounted at /proc."""
        if SANITIZED:
            self.skipTest("sanitizers read /proc")
        unshare = ["unshare", "--map-root-user", "--mount", "sh", "-c", 'mount -t tmpfs none /proc && exec "$@"', "sh"]
        if subprocess.run([*unshare, "true"], capture_output=True).returncode != 0:
            self.skipTest("no mount namespace can be made here")
        result = subprocess.run([*unshare, RUNNER, "jobs.yaml", *args], cwd=self.dir, env=self.environment(),
                                stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=DEADLINE)
        self.assertEqual(result.returncode, code, result.stderr)
        return result.stderr

    def test_nothing_is_started_when_nobody_knows_whether_something_of_the_last_run_is_alive(self):
        crash(self.begin("tree sleep=600000"))
        self.assertIn("/proc cannot be read; nothing is started", self.without_proc("--resume", code=4))
        self.assertEqual(len(self.rows()), 1)
        self.spec(f"slices: 0-0\ncommand: [{self.slice}, marks, '{{slice}}', 'exit=0']\n")
        self.assertIn("killing pid", self.ok("jobs.yaml").stderr)
        self.assertEqual(processes_in(self.dir), [])

    def test_a_slice_that_hangs_is_ended_also_where_proc_cannot_be_read(self):
        self.spec(f"slices: 0-0\ntimeout: 100ms\ngrace: 0s\ncommand: [{self.slice}, marks, '{{slice}}', 'hang=1']\n")
        self.without_proc(code=1)
        self.assertEqual(self.rows("SELECT outcome FROM attempt"), [("timed_out",)])
        self.assertIn("/proc cannot be read: whether anything of it is alive is not known", self.run_log())


# Leaves two processes of root's behind, which write their pids.
BECOME_ROOT = """
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
int main(void) {
  if (setuid(0) != 0) return 1;
  if (fork() != 0) {
    while (access("pids", F_OK) != 0) usleep(1000);
    return 0;
  }
  setsid();
  const pid_t other = fork();
  if (other == 0) for (;;) pause();
  FILE* file = fopen("pids.new", "w");
  fprintf(file, "%d %d", (int)getpid(), (int)other);
  fclose(file);
  rename("pids.new", "pids");
  for (;;) pause();
}
"""


class OthersProcesses(OtherUserTest):
    """Slices that leave behind what their user may not kill: a program of theirs was setuid."""

    def setUp(self):
        super().setUp()
        if os.geteuid() != 0:
            self.skipTest("only root can make a setuid program of root's")
        with open("/proc/self/status") as status:
            if "NoNewPrivs:\t0" not in status.read() or os.statvfs(self.dir).f_flag & os.ST_NOSUID:
                self.skipTest("no process may gain privileges here")
        self.program = self.dir / "become-root"
        subprocess.run([os.environ.get("CC", "cc"), "-x", "c", "-o", self.program, "-"], input=BECOME_ROOT, text=True,
                       check=True)
        self.program.chmod(0o4755)
        self.addCleanup(self.kill_them)

    def them(self):
        pids = self.dir / "pids"
        return [int(pid) for pid in pids.read_text().split()] if pids.exists() else []

    def kill_them(self):
        for pid in self.them():
            os.kill(pid, signal.SIGKILL)

    def check_named(self, words):
        self.assertEqual([pid for pid in self.them() if not is_alive(pid)], [])
        named = words.partition("cannot be killed (another user's, or stuck in the kernel): ")[2].partition("\n")[0]
        for pid in self.them():
            self.assertIn(f"pid {pid} (become-root)", named, words)

    def test_what_may_not_be_killed_is_named_at_the_end(self):
        self.spec(f"slices: 0-0\ncommand: [{self.program}]\n")
        self.check_named(self.as_other("jobs.yaml").stderr)

    def test_what_may_not_be_killed_is_named_by_the_guard_when_the_engine_is_killed(self):
        self.spec(f"slices: 0-0\ncommand: {self.program} && sleep 600\n")
        process = self.start_as_other("jobs.yaml")
        wait_for(self.them, "the slice runs")
        os.kill(engine_pid(process), signal.SIGKILL)
        said = process.communicate(timeout=DEADLINE)[1]
        self.assertEqual(process.returncode, -signal.SIGKILL)
        self.check_named(said)


if __name__ == "__main__":
    unittest.main(verbosity=2)
