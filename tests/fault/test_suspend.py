"""Suspending stops whole trees, whatever they do meanwhile; time that stood still is not charged; nothing stopped is
left behind by a runner that dies."""
import os
import pathlib
import random
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "cli"))
from support import RunnerTest, crash, engine_pid, is_alive, wait_for  # noqa: E402

ROUNDS = int(os.environ.get("RUNNER_SUSPEND_ROUNDS", "100"))

# A tree that forks all the time, in its group and out of it, until it is let go. It would be timed out if the time that
# it stood still were charged.
FORKS = """
slices: 0-2
n_procs: 3
retries: 0
timeout: TIMEOUT
command: |
  : > on.{slice}
  (while [ ! -e go ]; do sh -c 'sleep 0.01 & wait'; done) &
  setsid sh -c 'while [ ! -e go ]; do sleep 0.01; done' &
  while [ ! -e go ]; do sh -c ':'; done
  wait
"""


def processes_of(run_id):
    """pid -> state, of all that have the run's cookie."""
    found = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/environ", "rb") as text:
                if f"RUNNER_COOKIE={run_id}.".encode() not in text.read():
                    continue
            with open(f"/proc/{name}/stat") as text:
                state = text.read().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if state not in "ZX":
            found[int(name)] = state
    return found


class Suspend(RunnerTest):
    def live(self, timeout):
        self.spec(FORKS.replace("TIMEOUT", timeout))
        process = self.start("jobs.yaml")
        for slice_ in range(3):
            wait_for(lambda s=slice_: (self.dir / f"on.{s}").exists(), "they run")
        wait_for(lambda: (self.state_dir() / "control").exists(), "the run listens")
        return process, (self.state_dir() / "latest").resolve().name

    def all_stopped(self, run_id):
        states = processes_of(run_id)
        return states and set(states.values()) <= set("TtD")  # D: vfork's parent, while the child is stopped

    def test_suspended_and_resumed_at_random_nothing_fails(self):
        process, run_id = self.live("120s")
        randomness = random.Random(20261121)
        stood = 0.0
        for number in range(ROUNDS):
            self.ok("suspend", "jobs.yaml")
            if number % 20 == 0:
                begun = time.monotonic()
                wait_for(lambda: self.all_stopped(run_id), "all of the trees is stopped")
                time.sleep(0.3)  # what is not stopped would fork or end in that time
                self.assertTrue(self.all_stopped(run_id), processes_of(run_id))
                stood += time.monotonic() - begun
            self.ok("resume", "jobs.yaml")
            if randomness.randrange(4) == 0:
                time.sleep(randomness.random() * 0.02)
        self.write("go", "")
        _, err = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 0, err)
        for runtime, elapsed in self.rows("SELECT runtime_s, ended_at - started_at FROM attempt"):
            self.assertLess(runtime, elapsed - stood + 0.5)
        self.assertEqual([row[2] for row in self.rows()], ["succeeded"] * 3)

    def test_a_timeout_stands_still(self):
        process, run_id = self.live("3s")
        self.ok("suspend", "jobs.yaml")
        wait_for(lambda: self.all_stopped(run_id), "all of the trees is stopped")
        time.sleep(3.5)  # longer than the timeout
        self.write("go", "")
        self.ok("resume", "jobs.yaml")
        _, err = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 0, err)
        for (runtime,) in self.rows("SELECT runtime_s FROM attempt"):
            self.assertLess(runtime, 3.0)

    def test_a_killed_engine_leaves_nothing_stopped_behind(self):
        process, run_id = self.live("60s")
        self.ok("suspend", "jobs.yaml")
        wait_for(lambda: self.all_stopped(run_id), "all of the trees is stopped")
        os.kill(engine_pid(process), 9)
        process.communicate(timeout=60)
        self.assertEqual(processes_of(run_id), {})

    def test_what_both_leave_behind_is_ended_by_the_next_start(self):
        process, run_id = self.live("60s")
        self.ok("suspend", "jobs.yaml")
        wait_for(lambda: self.all_stopped(run_id), "all of the trees is stopped")
        crash(process)
        self.write("go", "")
        self.ok("jobs.yaml", "--resume")
        self.assertEqual(processes_of(run_id), {})

    def pids(self, count):
        pids = [pid for (pid,) in self.rows("SELECT pid FROM attempt WHERE pid > 0")]
        return pids if len(pids) == count else None

    def test_a_slice_that_is_killed_while_it_is_suspended_frees_its_tree(self):
        process, run_id = self.live("60s")
        self.ok("suspend", "jobs.yaml")
        wait_for(lambda: self.all_stopped(run_id), "all of the trees is stopped")
        pids = wait_for(lambda: self.pids(3), "all are recorded as started")
        for pid in pids:
            os.kill(pid, 9)
        wait_for(lambda: not self.all_stopped(run_id), "the rest of the trees goes on, or is gone")
        self.write("go", "")
        process.communicate(timeout=60)  # it is over: it has no slices left
        self.assertEqual([row[2] for row in self.rows()], ["killed"] * 3)
        wait_for(lambda: not processes_of(run_id), "nothing is left")


if __name__ == "__main__":
    unittest.main()
