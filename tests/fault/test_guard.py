"""The two processes of a run, guard and engine: what they hand to each other, and what they leave alone."""
import os
import pty
import signal
import subprocess
import unittest

from faults import FaultTest, processes_in, wait_for
from support import RUNNER, crash, engine_pid, is_alive


class Guard(FaultTest):
    def begin(self, actions="sleep=600000", **more):
        """A run of one slice that is up and recorded."""
        self.spec(f"slices: 0-0\ncommand: [{self.slice}, marks, '{{slice}}', '{actions}']\n")
        process = self.start("jobs.yaml", **more)
        wait_for(lambda: self.marks() and self.rows("SELECT 1 FROM attempt WHERE pid > 0"), "the slice runs")
        return process

    def test_the_exit_status_passes_through_and_signals_pass_down(self):
        for number, code in ((signal.SIGTERM, 128 + signal.SIGTERM), (signal.SIGQUIT, -signal.SIGQUIT)):
            process = self.begin()
            process.send_signal(number)
            self.assertEqual(process.wait(), code)
            self.wait_until_nothing_runs()
            (self.dir / "marks").unlink()

    def test_a_stopped_engine_is_continued_to_be_ended(self):
        process = self.begin()
        os.kill(engine_pid(process), signal.SIGSTOP)
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(timeout=30), 128 + signal.SIGTERM)

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


if __name__ == "__main__":
    unittest.main(verbosity=2)
