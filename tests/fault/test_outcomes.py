"""Ten thousand slices that end in every way there is; the record is compared with what each was told to do.

What is expected is computed here from the plan alone, and the slices' own marks say which of them ran, how often and
under which pid. While they run and at the end, runner's descriptors and children are counted.

RUNNER_SLICES: how many slices (10000).
"""
import os
import pathlib
import random
import signal
import sqlite3
import threading
import time
import unittest
from collections import namedtuple

from faults import FaultTest, wait_for
from support import engine_pid

SLICES = int(os.environ.get("RUNNER_SLICES", "10000"))
N_PROCS = 24
BIG = 100 * 1000 * 1000

# Signals after which a process goes on: ignored by default.
GOES_ON = (signal.SIGCHLD, signal.SIGCONT, signal.SIGURG, signal.SIGWINCH)
# Signals that stop it until its time is over. No terminal sends one to a slice; only it can, to itself.
STOPS = (signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU)

# What a slice is told, what its row must then say, what its log holds: None, a size, or its text.
Kind = namedtuple("Kind", "actions outcome code signal log program ran")


def kind(actions, outcome, code=None, signal=None, log=None, program="slice", ran=True):
    return Kind(actions, outcome, code, signal, log, program, ran)


def ended(code, actions="", **more):
    actions = f"{actions} exit={code}".strip()
    return kind(actions, "failed" if code else "succeeded", code=code, **more)


def rare_kinds():
    """What takes long or much: a few of each, at the beginning, so that they end while the others run."""
    yield kind("sleep=600000", "timed_out", signal=signal.SIGTERM)
    yield kind("deaf sleep=600000", "timed_out", signal=signal.SIGKILL)
    yield kind("catch=0 sleep=600000", "timed_out", code=0)
    yield kind("catch=3 sleep=600000", "timed_out", code=3)
    yield kind("say=before sleep=600000", "timed_out", signal=signal.SIGTERM, log="before\n")
    for number in STOPS:
        yield kind(f"signal={number:d}", "timed_out", signal=signal.SIGTERM)
    yield kind(f"deaf signal={signal.SIGSTOP:d} sleep=600000", "timed_out", signal=signal.SIGKILL)
    yield ended(0, f"write={BIG}", log=BIG)
    yield ended(5, f"write={BIG}", log=BIG)
    yield kind(f"write={BIG} signal={signal.SIGKILL:d}", "killed", signal=signal.SIGKILL, log=BIG)


def common_kinds():
    for code in range(256):
        yield ended(code)
    for number in set(range(1, 32)) - set(STOPS):
        if number in GOES_ON:
            yield ended(7, f"signal={number:d}")
        else:
            yield kind(f"signal={number:d}", "killed", signal=number)
    yield kind("say=last_words signal=9", "killed", signal=9, log="last_words\n")
    yield kind("say=hello", "succeeded", code=0, log="hello\n")
    yield kind("write=70000", "succeeded", code=0, log=70000)
    yield kind("", "failed", code=6, program="script")  # without "#!": run by the shell, as execvp(3) has it
    for program in ("missing", "not_executable", "directory", "no_interpreter", "no_such/directory"):
        yield kind("", "not_started", program=program, ran=False)


class Samples(threading.Thread):
    """Counts runner's descriptors and zombies until it is told to stop."""

    def __init__(self, pid):
        super().__init__()
        self.proc = pathlib.Path(f"/proc/{pid}")
        self.descriptors = self.zombies = self.count = 0
        self.over = threading.Event()

    def run(self):
        while not self.over.wait(0.02):
            try:
                self.descriptors = max(self.descriptors, len(self.open_files()))
                self.zombies = max(self.zombies, self.children().count("Z"))
                self.count += 1
            except OSError:
                pass  # ended

    def open_files(self):
        files = []
        for entry in (self.proc / "fd").iterdir():
            try:
                files.append(os.readlink(entry))
            except OSError:
                pass  # closed meanwhile
        return files

    def children(self):
        """The states of its children."""
        states = []
        for pid in (self.proc / "task" / self.proc.name / "children").read_text().split():
            try:
                states.append(pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0])
            except OSError:
                pass
        return states


class Outcomes(FaultTest):
    def make_programs(self):
        self.write("not_executable", "#!/bin/sh\n", mode=0o644)
        (self.dir / "directory").mkdir()
        self.write("script", 'echo "S $2 $RUNNER_ATTEMPT $$" >> "$1"; exit 6\n', mode=0o755)
        self.write("no_interpreter", "#!/no/such/interpreter\n", mode=0o755)
        os.symlink(self.slice, self.dir / "slice")

    def make_plan(self):
        """The slices in order. The last one waits until it is told to go on, when all common ones have ended."""
        rng = random.Random(2)
        rare, common = list(rare_kinds()), list(common_kinds())
        plan = rare + [common[i % len(common)] for i in range(SLICES - len(rare) - 1)]
        rest = plan[len(rare):]
        rng.shuffle(rest)
        return rare + rest + [ended(0, "wait=go")]

    def begin(self, plan):
        self.make_programs()
        rows = [f"{i},./{k.program},{k.actions}" for i, k in enumerate(plan)]
        self.write("plan.csv", "id,program,actions\n" + "\n".join(rows) + "\n")
        self.spec(f"slices: {{table: plan.csv}}\nn_procs: {N_PROCS}\ntimeout: 15s\ngrace: 500ms\n"
                  f"command: ['{{program}}', {self.dir}/marks, '{{id}}', '{{actions}}']\n")
        with open(self.dir / "said", "w") as said:
            return self.start("-q", "jobs.yaml", stdout=said, stderr=said)

    def expected_rows(self, plan):
        return [(i, 1, k.outcome, k.code, k.signal) for i, k in enumerate(plan)]

    def test_every_outcome_is_recorded_exactly(self):
        plan = self.make_plan()
        began = time.monotonic()
        process = self.begin(plan)
        samples = Samples(engine_pid(process))
        samples.start()
        self.addCleanup(samples.over.set)
        try:
            common = len(plan) - len(list(rare_kinds())) - 1
            wait_for(lambda: self.ended_from(len(plan) - 1 - common) == common or process.poll() is not None,
                     "the common slices have ended", deadline=240)
            self.assertIsNone(process.poll(), self.read("said"))
            self.check_what_is_open(samples, len(plan))
        finally:
            self.write("go", "")
        self.assertEqual(process.wait(timeout=60), 1)
        samples.over.set()
        samples.join()
        took = time.monotonic() - began
        self.check_rows(plan)
        self.check_marks(plan)
        self.check_logs(plan)
        print(f"\n{len(plan)} slices in {took:.1f} s; at most {samples.descriptors} descriptors and {samples.zombies} "
              f"zombies in {samples.count} samples, {N_PROCS} slices at a time", flush=True)
        # A slice may be a zombie, and have a log and a pidfd, until runner has seen its end.
        self.assertGreater(samples.count, 20)
        self.assertLessEqual(samples.zombies, N_PROCS)
        self.assertLessEqual(samples.descriptors, 2 * N_PROCS + 32)

    def ended_from(self, first):
        """How many slices from that one on have ended."""
        try:
            return self.rows(f"SELECT count(*) FROM attempt WHERE outcome IS NOT NULL AND slice >= {first}")[0][0]
        except sqlite3.OperationalError:  # there is no database, or no table, yet
            return 0

    def check_what_is_open(self, samples, total):
        """With the last slice waiting, and perhaps some rare ones: a child, a pidfd and a log for each of those."""
        def steady():
            left = total - self.ended_from(0)
            children, files = samples.children(), samples.open_files()
            return (len(children) == left and "Z" not in children and
                    sum("pidfd" in name for name in files) <= left and len(files) <= left + N_PROCS + 24)
        wait_for(steady, "runner has as many children and descriptors as slices that run", deadline=10)

    def check_rows(self, plan):
        rows = self.rows()
        wrong = [(plan[row[0]].actions, plan[row[0]].program, row) for row, wanted in
                 zip(rows, self.expected_rows(plan)) if row != wanted]
        self.assertEqual(wrong[:20], [])
        self.assertEqual(len(rows), len(plan))
        exit_9 = next(i for i, k in enumerate(plan) if k.actions == "exit=9")
        sigkill = next(i for i, k in enumerate(plan) if k.actions == "signal=9")
        self.assertEqual([rows[exit_9][2:], rows[sigkill][2:]], [("failed", 9, None), ("killed", None, 9)])
        times = self.rows("SELECT count(*) FROM attempt WHERE NOT (started_at <= ended_at AND runtime_s >= 0 AND "
                          "runtime_s < 60 AND user_s >= 0 AND (pid IS NULL) = (outcome = 'not_started'))")
        self.assertEqual(times, [(0,)])
        self.assertEqual({row[0] for row in self.rows("SELECT detail FROM attempt WHERE outcome = 'not_started'")
                          if "cannot execute './" not in row[0]}, set())

    def check_marks(self, plan):
        starts = {m.key: m for m in self.marks() if m.what == "S"}
        self.assertEqual(len(starts), len([m for m in self.marks() if m.what == "S"]), "a slice ran twice")
        self.assertEqual(set(starts), {i for i, k in enumerate(plan) if k.ran})
        pids = dict(self.rows("SELECT slice, pid FROM attempt WHERE pid IS NOT NULL"))
        self.assertEqual(pids, {key: m.pid for key, m in starts.items()})

    def check_logs(self, plan):
        run = self.state_dir() / "latest"
        logs = dict(self.rows("SELECT slice, log FROM attempt WHERE log IS NOT NULL AND log <> ''"))
        self.assertEqual(set(logs), {i for i, k in enumerate(plan) if k.log is not None})
        for i, log in logs.items():
            wanted = plan[i].log
            if isinstance(wanted, int):
                self.assertEqual((run / log).stat().st_size, wanted, plan[i])
            else:
                self.assertEqual((run / log).read_text(), wanted)
        files = {str(p.relative_to(run)) for p in (run / "slices").rglob("*") if p.is_file()}
        self.assertEqual(files, set(logs.values()), "a log that no attempt has")


if __name__ == "__main__":
    unittest.main(verbosity=2)
