"""Counters are exact: with writers in three languages at once, and when runner is killed at random moments.

RUNNER_COUNTER_KILLS: how many interruptions there are (8); RUNNER_SEED: of the moments (random, and printed).
"""
import atexit
import os
import pathlib
import random
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

from faults import SHARE, RunnerTest, processes_in, read_rows, wait_for
from support import RUNNER, children_of, crash, engine_pid

HERE = pathlib.Path(__file__).resolve().parent
KILLS = int(os.environ.get("RUNNER_COUNTER_KILLS", "8"))
SEED = int(os.environ.get("RUNNER_SEED", random.randrange(10**6)))

# As counting.cpp, in Python: add(), each() and a ticker in threads and forked children.
COUNTING_PY = """
import os, sys, threading
import runner_counter
times, children, threads = map(int, sys.argv[1:])
rows = runner_counter.Counter("rows")
def work():
    for _ in range(times):
        rows.add()
    tick = rows.ticker()
    for _ in rows.each(range(times)):
        tick()
rows.add()  # so that there is something to inherit
pids = []
for _ in range(children):
    pid = os.fork()
    if pid == 0:
        work()
        os._exit(0)
    pids.append(pid)
others = [threading.Thread(target=work) for _ in range(threads)]
for thread in others:
    thread.start()
for thread in others:
    thread.join()
sys.exit(any(os.waitpid(pid, 0)[1] for pid in pids))
"""

# Every way to leave a loop after 100 of its items, each counted twice.
LEAVING_PY = """
import multiprocessing, os, sys
import runner_counter
rows = runner_counter.Counter("rows")
def hundred():
    yield from range(100)
    raise ValueError
def loop(leave, items=range(1000)):
    tick = rows.ticker()
    for n, _ in enumerate(rows.each(items), 1):
        tick()
        if n == 100 and leave():
            break
def fail():
    raise ValueError
def caught(*args):
    try:
        loop(*args)
    except ValueError:
        pass
def in_child(leave):
    child = multiprocessing.Process(target=loop, args=[leave])
    child.start()
    child.join()
held = rows.each(range(100)), rows.ticker()
def both():
    next(held[0])
    held[1]()
leave = {
    "end": lambda: loop(lambda: False, range(100)),
    "break": lambda: loop(lambda: True),
    "raise": lambda: caught(fail),
    "source": lambda: caught(lambda: False, hundred()),
    "exit": lambda: loop(sys.exit),
    "_exit": lambda: loop(lambda: os._exit(0)),
    "child": lambda: in_child(lambda: True),
    "child_exit": lambda: in_child(sys.exit),
    "child_raise": lambda: in_child(fail),
    "held": lambda: [both() for _ in range(100)],
}
leave[sys.argv[1]]()
"""
LEAVING = ["end", "break", "raise", "source", "exit", "_exit", "child", "child_exit", "child_raise", "held"]


class Counters(RunnerTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        directory = tempfile.mkdtemp(prefix="runner-counting-")
        atexit.register(shutil.rmtree, directory, ignore_errors=True)
        cls.counting = f"{directory}/counting"
        subprocess.run([os.environ.get("CXX", "c++"), "-std=c++17", "-O2", "-Wall", "-Wextra", "-Wpedantic", "-Werror",
                        "-pthread", f"-I{SHARE}", "-o", cls.counting, HERE / "counting.cpp"], check=True)

    def total(self):
        return self.status()["counters"].get("rows", 0)

    def test_two_slices_of_fifty_million_make_a_hundred_million(self):
        self.spec(f"slices: 0-1\nn_procs: 2\ncommand: [{self.counting}, rows, '50000000']\n")
        began = time.monotonic()
        said = self.ok("jobs.yaml")
        print(f"100,000,000 increments, one by one, in {time.monotonic() - began:.2f} s", flush=True)
        self.assertIn("counted rows 100,000,000\n", said.stderr)
        self.assertEqual(self.total(), 100_000_000)
        self.assertEqual(self.rows("SELECT value FROM counter"), [(50_000_000,), (50_000_000,)])

    def test_no_writer_of_any_language_loses_an_addition(self):
        self.write("counting.py", COUNTING_PY)
        self.write("script", f"""
            {self.counting} rows 2000000 3 2 &
            /usr/bin/python3 counting.py 20000 2 3 & python=$!
            for i in 1 2 3; do (for j in 1 2 3 4 5 6 7 8 9 10; do '{RUNNER}' count rows 7; done) & done
            wait $python && wait
            /usr/bin/python3 counting.py 1000 0 1\n""")
        self.spec(f"slices: 0-1\nn_procs: 2\nenv: {{PYTHONPATH: '{SHARE}/runner'}}\ncommand: [sh, script]\n")
        self.ok("jobs.yaml")
        one = 2000000 * 3 * 2 + 20000 * 3 * (2 + 3) + 1 + 3 * 10 * 7 + 1000 * 3 + 1
        self.assertEqual(self.total(), 2 * one)

    def test_what_python_counted_stays_however_the_loop_is_left(self):
        self.write("leaving.py", LEAVING_PY)
        self.spec(f"slices: {{list: [{', '.join(LEAVING)}]}}\nenv: {{PYTHONPATH: '{SHARE}/runner'}}\n"
                  "command: [/usr/bin/python3, leaving.py, '{item}']\n")
        self.ok("jobs.yaml")
        counted = self.rows("SELECT key, value FROM counter JOIN attempt USING (run, job, slice, number) ORDER BY slice")
        self.assertEqual(counted, [(how, 200) for how in LEAVING])

    def interrupt(self, process, rng):
        """Kills the engine, the guard or both, after a while; False: it had ended."""
        time.sleep(rng.uniform(0.02, 0.35))
        if process.poll() is not None or not children_of(process.pid):
            return False
        how = rng.choice(["engine", "guard", "both"])
        if how == "both":
            crash(process)
        else:
            os.kill(engine_pid(process) if how == "engine" else process.pid, signal.SIGKILL)
            process.wait()
        wait_for(lambda: how == "both" or not processes_in(self.dir), "what was left of the run is gone")
        return True

    def test_totals_are_exact_when_runner_is_killed_at_random_moments(self):
        rng = random.Random(SEED)
        print(f"RUNNER_SEED={SEED}", flush=True)
        self.write("script", f"{self.counting} rows $((RUNNER_SLICE * 1000 + 1)); '{RUNNER}' count rows 1000000; "
                             "test $((RUNNER_SLICE % 7 + RUNNER_ATTEMPT)) -gt 1\n")
        self.spec("slices: 0-399\nn_procs: 3\nretries: 3\nretry_delay: 0s\ncommand: [sh, script]\n")
        worth = {slice: slice * 1000 + 1 + 1000000 for slice in range(400)}
        kills = 0
        resume = []
        while True:
            process = subprocess.Popen([RUNNER, "jobs.yaml", *resume], cwd=self.dir, env=self.environment(),
                                       stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            if kills < KILLS and self.interrupt(process, rng):
                kills += 1
            elif process.wait(timeout=120) == 0:
                break
            rows = read_rows(self.state_dir(), "SELECT slice FROM attempt WHERE outcome = 'succeeded'")
            counted = read_rows(self.state_dir(), "SELECT slice, value FROM counter")
            self.assertEqual(sorted(counted), sorted((slice, worth[slice]) for slice, in rows))
            resume = ["--resume"] if read_rows(self.state_dir(), "SELECT id FROM run") else []
        print(f"{kills} kills", flush=True)
        self.assertEqual(self.total(), sum(worth.values()))
        self.assertEqual(self.rows("SELECT count(*), sum(value) FROM counter"), [(400, sum(worth.values()))])
        self.assertFalse((self.state_dir() / "latest" / "counters").exists())


if __name__ == "__main__":
    unittest.main(verbosity=2)
