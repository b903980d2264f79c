"""A run of three jobs, two services and hooks is killed (SIGKILL) at random moments and resumed until all is done.

Slices, hooks and services count, and write one line each when they begin and when they end, all into one file, so that
the order of the lines is the order of what happened. At the end:
  - slice i of `second` began after slice i of `first` had ended, `last` after all of both;
  - all of them began while both services were up, and after `prepare`, and `teardown` ended last;
  - every beginning is an attempt in the record, and none began twice under one number;
  - what each of them counted by that attempt is in the record, and nothing else;
  - every slice and hook has succeeded by its last attempt and by no earlier one, unless the console said that it runs again;
  - nothing is left behind.

RUNNER_PIPELINE_KILLS: how many kills there are (8), over RUNNER_PIPELINE_SLICES slices of each job (150); the long form is
50 over 1000. RUNNER_SEED: of the moments (random, and printed).
"""
import collections
import os
import random
import signal
import subprocess
import time
import unittest

from faults import FaultTest, processes_in, wait_for
from support import RUNNER, children_of, is_alive

KILLS = int(os.environ.get("RUNNER_PIPELINE_KILLS", "8"))
SLICES = int(os.environ.get("RUNNER_PIPELINE_SLICES", "150"))
SEED = int(os.environ.get("RUNNER_SEED", random.randrange(10**6)))

SPEC = """
n_procs: 4
retries: 1
retry_delay: 5ms
grace: 1s
prepare: {{command: [{slice}, marks, prepare, 'count=5 sleep=10 count=6']}}
shutdown: {{command: [{slice}, marks, shutdown, 'count=5 sleep=10 count=6']}}
teardown: {{command: [{slice}, marks, teardown, 'count=5 sleep=10 count=6']}}
services:
  one: {{command: [{slice}, marks, one, 'count=3 catch=0 wait=never'], ready: {{command: grep -q 'S one' marks}}}}
  two: {{command: [{slice}, marks, two, 'count=3 catch=0 wait=never'], needs: one}}
jobs:
  first: {{slices: 0-{last}, command: [{slice}, marks, "first/{{slice}}", "count={{slice}} sleep={ms} count=1"]}}
  second: {{slices: 0-{last}, needs_each: first, command: [{slice}, marks, "second/{{slice}}", "count=1000 tree count={{slice}}"], priority: 1}}
  last: {{needs: [first, second], command: [{slice}, marks, last, "count=7 fail=1 count=8"]}}
"""

NAME = "j.name || CASE WHEN j.kind = 'slices' AND j.slices > 1 THEN '/' || a.slice ELSE '' END"
HOOKS = {"jobs:prepare": "prepare", "jobs:shutdown": "shutdown", "jobs:teardown": "teardown"}
Mark = collections.namedtuple("Mark", "what system attempt")


def worth(system):
    """What an attempt of it counts that gets to its end."""
    job, _, index = system.partition("/")
    if index:
        return int(index) + (1 if job == "first" else 1000)
    return {"one": 3, "two": 3, "last": 15}.get(job, 11)


class KillPipeline(FaultTest):
    sources = ["slice.c", "count.cpp"]

    def marks(self):
        path = self.dir / "marks"
        lines = path.read_text().splitlines() if path.exists() else []
        return [Mark(*line.split()[:3]) for line in lines]

    def start_run(self, resume):
        self.said = open(self.dir / "stderr", "a")
        self.addCleanup(self.said.close)
        return subprocess.Popen([RUNNER, "jobs.yaml", *(["--resume"] if resume else [])], cwd=self.dir,
                                stdin=subprocess.DEVNULL, stdout=self.said, stderr=self.said, env=self.environment())

    def strike(self, process):
        """Kills the engine, the guard or both."""
        target = self.rng.choice(["engine", "guard", "both"])
        engines = children_of(process.pid)
        if target == "both":
            process.send_signal(signal.SIGSTOP)
        for engine in engines if target != "guard" else []:
            os.kill(engine, signal.SIGKILL)
        if target != "engine" or not engines:
            process.send_signal(signal.SIGKILL)
        process.wait()
        if target == "both":
            wait_for(lambda: not any(map(is_alive, engines)), "the engine is dead")
        else:
            wait_for(lambda: not processes_in(self.dir), "nothing outlives the one of the two that was killed")

    def test_the_order_holds_and_nothing_is_left_or_repeated_unsaid(self):
        self.rng = random.Random(SEED)
        self.spec(SPEC.format(slice=self.slice, last=SLICES - 1, ms=3))
        kills, resume = 0, False
        try:
            while True:
                process = self.start_run(resume)
                begun = len(self.marks())
                goal = begun + self.rng.randrange(1, max(2, 5 * SLICES // KILLS))
                while kills < KILLS and process.poll() is None and len(self.marks()) < goal:
                    time.sleep(0.001)
                if kills < KILLS and process.poll() is None:
                    self.strike(process)
                    kills += 1
                process.wait(timeout=120)
                if process.returncode == 0:
                    break
                resume = (self.state_dir() / "state.db").exists() and self.rows("SELECT count(*) FROM run") != [(0,)]
            self.check()
        except BaseException:
            print(f"\nRUNNER_SEED={SEED}, {kills} kills; runner said last:\n" +
                  (self.dir / "stderr").read_text()[-2000:], flush=True)
            raise
        print(f"\n{kills} kills over 2 x {SLICES} slices, RUNNER_SEED={SEED}", flush=True)

    def check(self):
        wait_for(lambda: not processes_in(self.dir), "nothing is left")
        marks = self.marks()
        starts = collections.Counter((m.system, int(m.attempt)) for m in marks if m.what == "S")
        self.assertEqual([start for start, n in starts.items() if n > 1], [], "began twice")
        record = {(HOOKS.get(name, name), number): outcome for name, number, outcome in self.rows(
            f"SELECT {NAME}, a.number, a.outcome FROM attempt a JOIN job j ON j.run = a.run AND j.job = a.job")}
        self.assertEqual(set(starts) - set(record), set(), "began without a record")
        self.assert_every_last_attempt_succeeded(record)
        self.assert_counters(record, marks)
        self.assert_order(marks)

    def assert_every_last_attempt_succeeded(self, record):
        of = collections.defaultdict(dict)
        for (system, number), outcome in record.items():
            of[system][number] = outcome
        said = (self.dir / "stderr").read_text()
        self.assertEqual(len(of), 2 * SLICES + 1 + 3 + 2)
        for system, outcomes in of.items():
            last = outcomes.pop(max(outcomes))
            self.assertEqual(last, "succeeded", system)
            if system in ("one", "two"):  # they run in each session
                continue
            again = [n for n, outcome in outcomes.items() if outcome == "succeeded"]
            if again:
                self.assertIn(f"{system} runs again", said)

    def assert_counters(self, record, marks):
        counted = {(HOOKS.get(name, name), number): value for name, number, value in self.rows(
            f"SELECT {NAME}, a.number, a.value FROM counter a JOIN job j ON j.run = a.run AND j.job = a.job")}
        self.assertEqual(counted, {(system, last): worth(system) for system, last in dict(sorted(record)).items()})
        ended = {(m.system, int(m.attempt)) for m in marks if m.what == "E"}  # services are ended before they get there
        self.assertEqual({one for one in set(counted) - ended if one[0] not in ("one", "two")}, set())
        total = sum(worth(system) for system in {system for system, _ in ended} | {"one", "two"})
        self.assertEqual(self.status()["counters"], {"rows": total})

    def assert_order(self, marks):
        began, ended, up = {}, {}, set()
        for at, m in enumerate(marks):
            (began if m.what == "S" else ended)[m.system] = at  # the last time
            if m.system in ("one", "two"):
                (up.add if m.what == "S" else up.discard)(m.system)
            elif m.what == "S" and "/" in m.system:
                self.assertIn("prepare", ended, f"{m} before prepare")
                self.assertLessEqual({"one", "two"}, set(began), f"{m} before the services")
                job, index = m.system.split("/")
                if job == "second":
                    self.assertIn(f"first/{index}", ended, f"{m} before its counterpart")
            elif m.what == "S" and m.system == "last":
                missing = [i for i in range(SLICES) for job in ("first", "second") if f"{job}/{i}" not in ended]
                self.assertEqual(missing, [], "last began before all was done")
        self.assertEqual(marks[-1][:2], ("E", "teardown"))


if __name__ == "__main__":
    unittest.main(verbosity=2)
