"""runner is killed (SIGKILL) at random moments - its engine, its guard or both at once - and resumed, again and again,
until all is done.

A round is one run that is interrupted one or more times. After every kill, and at the end, the record is compared with
what the slices wrote themselves and with what runner had announced:
  - every start that a slice marked is an attempt in the record, and no attempt was started twice;
  - what run.log or stderr called started or completed is in the record as such;
  - at the end every slice has succeeded, by its last attempt and no earlier one, and no attempt is without an outcome.
Some slices leave processes behind in every awkward way. When one of engine and guard is killed, all are gone soon; when
both are, the next invocation names and ends them before it starts anything: by their cookies and, where runs have
cgroups, all that is in those.

RUNNER_KILLS: how many interruptions there are (40, or as many as fit into a minute); RUNNER_SEED: of the moments
(random, and printed); RUNNER_SOON: how many seconds "soon" may be (5, for machines with other things to do).
"""
import collections
import contextlib
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import time
import unittest

from faults import FaultTest, is_in_run_cgroup, processes_in, read_attempts, read_marks, run_cgroups, wait_for
from support import DEADLINE, RUNNER, children_of, is_alive

KILLS = int(os.environ.get("RUNNER_KILLS", "40"))
ENOUGH = float("inf") if "RUNNER_KILLS" in os.environ else 60.0  # seconds, on a slow machine
SOON = float(os.environ.get("RUNNER_SOON", "5"))
SEED = int(os.environ.get("RUNNER_SEED", random.randrange(10**6)))
SLICES = 300

TREES = [""] * 24 + ["tree", "bare"]  # actions of slice.c; what they leave lives until the run ends


class Round:
    """One run in a directory of its own, with as many interruptions as asked for."""

    def __init__(self, test, directory):
        self.test = test
        self.dir = directory
        self.state = directory / ".runner" / "jobs"
        self.said = directory / "stderr"  # of all invocations
        self.unfinished_seen = set()
        self.survivors = set()  # pids that outlived engine and guard, and that a later invocation must end
        self.named = set()  # those of them that invocations since then have said they end
        self.outlived = set()  # those of the invocation that has just been killed
        directory.mkdir()
        rng = test.rng
        rows = [f"{i},{rng.choice([0, 0, 1, 3, 10, 40])},{rng.choice([0] * 9 + [1])},{rng.choice(TREES)}" for i in range(SLICES)]
        (directory / "plan.csv").write_text("id,ms,fails,tree\n" + "\n".join(rows) + "\n")
        (directory / "jobs.yaml").write_text(
            "slices: {table: plan.csv}\nn_procs: 4\nretries: 2\nretry_delay: 5ms\n"
            f"command: [{test.slice}, {directory}/marks, '{{id}}', 'sleep={{ms}}', 'fail={{fails}} {{tree}}']\n")

    # ---- what is there

    def marks(self):
        return read_marks(self.dir / "marks")

    def run_log(self):
        path = self.state / "latest" / "run.log"
        return path.read_text() if path.exists() else ""

    def announced(self):
        """What was said: slices that completed, and attempts that were started."""
        said = self.said.read_text()
        completed = set(re.findall(r"(?m)^\S+ \S+ \[jobs/(\d+)\] pid:\d+ completed$", self.run_log()))
        completed |= set(re.findall(r"(?m)^succeeded: jobs/(\d+) after .*\n", said))
        started = re.findall(r"(?m)^started: jobs/(\d+): attempt (\d+), pid \d+\n", said)
        return set(map(int, completed)), {(int(key), int(number)) for key, number in started}

    def check(self):
        """What must hold at any instant; returns the attempts."""
        test = self.test
        attempts = read_attempts(self.state)
        rows = {(a.slice, a.number): a for a in attempts}
        starts = [(m.key, m.attempt) for m in self.marks() if m.what == "S"]
        test.assertEqual([s for s, n in collections.Counter(starts).items() if n > 1], [], "started twice")
        test.assertEqual(set(starts) - set(rows), set(), "started without a record")
        ended = {(m.key, m.attempt) for m in self.marks() if m.what == "E"}
        succeeded = {(a.slice, a.number) for a in attempts if a.outcome == "succeeded"}
        test.assertEqual(succeeded - ended, set(), "recorded as succeeded, but did not say so")
        completed, started = self.announced()
        test.assertEqual(completed - {key for key, _ in succeeded}, set(), "announced, but not recorded")
        test.assertEqual({s for s in started if s not in rows or not rows[s].pid}, set(), "announced, not recorded")
        for key, number in succeeded:
            test.assertNotIn((key, number + 1), rows, "run again after it had succeeded")
        return attempts

    # ---- what is done

    def start(self, resume):
        with open(self.said, "a") as said:
            said.write(f"--- {'resume' if resume else 'run'}\n")
            said.flush()
            return subprocess.Popen([RUNNER, "-v", "jobs.yaml", *(["--resume"] if resume else [])], cwd=self.dir,
                                    stdin=subprocess.DEVNULL, stdout=said, stderr=said, env=self.test.environment())

    def last_words(self):
        return self.said.read_text().rpartition("---")[2]

    def moment(self, process):
        """Waits for a random moment, or until runner has ended; returns what it was aimed at."""
        rng = self.test.rng
        begin = len(self.marks())
        done = f"] pid:{process.pid} completed"
        aims = {
            "start-up": (lambda: True, rng.uniform(0, 0.03)),
            "first commit": (lambda: (self.state / "state.db-wal").exists(), rng.uniform(0, 0.02)),
            "first slices": (lambda: len(self.marks()) > begin, rng.uniform(0, 0.02)),
            "anywhere": (lambda: True, rng.uniform(0, 0.3)),
            "late": (lambda: True, rng.expovariate(1 / 0.6)),
            "last slices": (self.nearly_done, rng.expovariate(1 / 0.02)),
            "end": (lambda: done in self.run_log(), rng.uniform(0, 0.002)),
        }
        aim = rng.choice(list(aims))
        reached, delay = aims[aim]
        while not reached() and process.poll() is None:
            time.sleep(0.0005)
        time.sleep(delay)
        return aim

    def nearly_done(self):
        return len({m.key for m in self.marks() if m.what == "E"}) >= SLICES - 3

    def interrupt(self, process):
        """Kills runner at some moment; False if it had ended by then."""
        aim = self.moment(process)
        target = self.strike(process)
        process.wait()
        if process.returncode != -signal.SIGKILL:
            return False
        self.test.hits[aim] += 1
        self.test.hits[target] += 1
        if target == "engine":
            self.test.assertEqual(self.processes(), set(), "the guard has ended before all was dead")
        elif target == "guard":
            began = time.monotonic()
            wait_for(lambda: not self.processes(), "the engine ends all when its guard is killed", SOON)
            self.test.slowest = max(self.test.slowest, time.monotonic() - began)
        return True

    def processes(self):
        """Those of the last invocation; what has survived an earlier one is still to be ended by the next."""
        return set(processes_in(self.dir)) - self.survivors

    def strike(self, process):
        """Kills the engine, the guard or both; returns which."""
        target = self.test.rng.choice(["engine", "guard", "both"])
        engines = children_of(process.pid)
        slices = [pid for engine in engines for pid in children_of(engine) if self.is_slice(pid, engine)]
        if not engines and process.poll() is None:
            target = "guard"
        if target == "both":
            process.send_signal(signal.SIGSTOP)  # so that neither sees the other die
        if target != "guard":
            for engine in engines:
                with contextlib.suppress(ProcessLookupError):  # it has ended by itself
                    os.kill(engine, signal.SIGKILL)
        if target != "engine":
            process.send_signal(signal.SIGKILL)
        if target == "both":
            wait_for(lambda: not any(map(is_alive, engines + slices)), "the slices' own processes die with the engine")
            wait_for(lambda: all(map(self.is_at_rest, processes_in(self.dir))), "what outlives them pauses or is stopped")
            self.outlived = set(filter(self.is_findable, processes_in(self.dir)))
        return target

    @staticmethod
    def is_slice(pid, engine):
        """And not an orphan that the engine has inherited."""
        try:
            return os.getpgid(pid) == pid and os.getsid(pid) == engine
        except OSError:
            return False

    @staticmethod
    def is_at_rest(pid):
        """One that runs is about to end, by itself or by an earlier kill, or to give up its environment."""
        try:
            return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "STtZX"
        except OSError:
            return True

    def is_findable(self, pid):
        """Not one without cgroup that has given up its environment: nothing can tell it from others when engine and guard
        are dead."""
        try:
            return is_in_run_cgroup(pid) or b"RUNNER_COOKIE=" in pathlib.Path(f"/proc/{pid}/environ").read_bytes()
        except OSError:
            return False

    def check_survivors(self):
        """Once the invocation that just ended has come beyond its start: they are named, and they are dead."""
        words = self.last_words()
        self.named |= set(map(int, re.findall(r"pid (\d+) \(", words)))
        if "resumed: " in words or "nothing left" in words:
            self.test.assertEqual(self.survivors - self.named, set(), "outlived engine and guard, and is not named")
            self.test.assertEqual(list(filter(is_alive, self.survivors)), [])
            self.test.ended += len(self.survivors)
            self.survivors, self.named = set(), set()
        self.survivors |= self.outlived
        self.outlived = set()
        for pid in processes_in(self.dir):  # what nobody can find
            if not self.is_findable(pid) and is_alive(pid):
                os.kill(pid, signal.SIGKILL)
                self.survivors.discard(pid)

    def settle(self, process, resume):
        """What an invocation that was not killed ended with: whether to resume next, or None when all is done."""
        code, words = process.returncode, self.last_words()
        if code == 0:
            return None
        if code == 75:  # a child on its way to exec holds the lock a moment longer than the runner that was killed
            wait_for(lambda: not self.processes(), "its slices are gone")
            return resume
        self.test.assertEqual((code, resume), (2, True), words)
        self.test.assertIn("there is no run", words)
        self.test.assertEqual(self.marks(), [], "slices ran, but there is no run to resume")
        return False

    def play(self, interruptions):
        """Interrupts it so many times, then runs it to its end; returns how often it was interrupted."""
        resume, killed = False, 0
        while resume is not None:
            process = self.start(resume)
            if killed < interruptions and self.interrupt(process):
                killed += 1
                self.check_survivors()
                self.remember(self.check())
                resume = True
                continue
            process.wait(timeout=5 * DEADLINE)  # of hundreds of slices
            self.check_survivors()
            resume = self.settle(process, resume)
        self.finish()
        return killed

    def remember(self, attempts):
        self.unfinished_seen |= {(a.slice, a.number) for a in attempts if a.outcome is None}

    def finish(self):
        test = self.test
        wait_for(lambda: not processes_in(self.dir), "nothing runs any more")
        test.assertEqual(run_cgroups(self.dir), set())
        attempts = self.check()
        last = {}
        for a in sorted(attempts):
            last[a.slice] = a
        test.assertEqual({key: a.outcome for key, a in last.items()}, {key: "succeeded" for key in range(SLICES)})
        for a in attempts:
            test.assertIn(a.outcome, ("succeeded", "failed", "lost", "cancelled"), a)
        lost = {(a.slice, a.number) for a in attempts if a.outcome == "lost"}
        test.assertEqual(lost - self.unfinished_seen, set(), "lost, though its end had been recorded")
        again = subprocess.run([RUNNER, "jobs.yaml", "--resume"], cwd=self.dir, capture_output=True, text=True,
                               env=test.environment())
        test.assertEqual((again.returncode, "nothing left" in again.stderr), (0, True), again.stderr)
        test.lost += len(lost)
        test.attempts += len(attempts)


class KillResume(FaultTest):
    def setUp(self):
        super().setUp()
        self.rng = random.Random(SEED)
        self.hits = collections.Counter()
        self.lost = self.attempts = self.ended = self.slowest = 0

    def test_killed_and_resumed_nothing_is_lost_or_repeated_unsaid(self):
        left, rounds = KILLS, 0
        began = time.monotonic()
        try:
            while left > 0 and time.monotonic() - began < ENOUGH:
                one = Round(self, self.dir / f"round-{rounds}")
                left -= one.play(min(left, self.rng.choice([1, 1, 2, 3, 5, 8])))
                rounds += 1
                shutil.rmtree(one.dir)
        except BaseException:
            print(f"\nRUNNER_SEED={SEED}, round {rounds}, {KILLS - left} kills before it; runner said last:\n{one.last_words()}", flush=True)
            raise
        aims = ", ".join(f"{n} {aim}" for aim, n in sorted(self.hits.items()))
        print(f"\n{KILLS - left} kills in {rounds} runs of {SLICES} slices, RUNNER_SEED={SEED}: {aims}; "
              f"{self.attempts} attempts, {self.lost} of them lost; {self.ended} processes that outlived both named and ended; all gone at "
              f"most {self.slowest:.2f} s after the guard's end; {time.monotonic() - began:.0f} s", flush=True)

    def test_a_run_killed_before_its_first_record_is_no_run(self):
        """The moments between the directory, the empty file and the tables, which kills hit too rarely."""
        self.spec("slices: 0-1\ncommand: echo {slice} >> ran\n")
        self.state_dir().mkdir(parents=True)
        for make in (lambda: None, (self.state_dir() / "state.db").touch):
            make()
            result = self.ok("jobs.yaml", "--resume", code=2)
            self.assertIn("there is no run of", result.stderr)
            self.assertIn("start one: runner ", result.stderr)
        self.ok("jobs.yaml")
        self.assertEqual(sorted(self.read("ran").split()), ["0", "1"])


if __name__ == "__main__":
    unittest.main(verbosity=2)
