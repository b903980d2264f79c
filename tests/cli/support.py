"""Drives the real runner binary in a directory of its own. RUNNER names the binary (ctest sets it)."""
import contextlib
import json
import os
import pathlib
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import time
import unittest

RUNNER = os.environ.get("RUNNER", "build/release/apps/runner")
RUNNER = str(pathlib.Path(RUNNER).resolve())
with open(RUNNER, "rb") as _binary:
    _text = _binary.read()
SANITIZED = b"__asan_init" in _text or b"__tsan_init" in _text
DEADLINE = 60.0  # seconds: how long a condition may take to come true on a slow, loaded machine


def wait_for(condition, what, deadline=DEADLINE):
    """Polls until condition() is true and returns its value; fails the test after the deadline."""
    end = time.monotonic() + deadline
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"waited {deadline} s in vain: {what}")
        time.sleep(0.01)


def is_alive(pid):
    """A thread of it is: not gone, nor a zombie."""
    try:
        with open(f"/proc/{pid}/stat") as stat:
            fields = stat.read().rpartition(")")[2].split()
            return fields[0] not in "ZX" or int(fields[17]) > 1
    except OSError:
        return False


def children_of(pid):
    """Of all its threads: slices may be those of a lane."""
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return []
    found = []
    for thread in threads:
        with contextlib.suppress(OSError):  # it has ended
            with open(f"/proc/{pid}/task/{thread}/children") as children:
                found += map(int, children.read().split())
    return found


def engine_pid(process):
    """The pid of the engine below the guard, which is the process that was started."""
    return wait_for(lambda: children_of(process.pid), "the guard has an engine")[0]


def crash(process):
    """Kills engine and guard together, as a power cut would; returns when both are gone."""
    engine = engine_pid(process)
    os.kill(process.pid, signal.SIGSTOP)  # so that neither sees the other die
    os.kill(engine, signal.SIGKILL)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    wait_for(lambda: not is_alive(engine), "the engine is dead")
    # A child on its way to exec is runner still, and shares the lock.
    wait_for(lambda: not any(map(is_runner_in(engine), map(int, filter(str.isdigit, os.listdir("/proc"))))),
             "no child of it is on its way to exec")


def is_runner_in(session):
    """Whether a process is runner itself, in that session."""
    def check(pid):
        try:
            return os.getsid(pid) == session and os.readlink(f"/proc/{pid}/exe") == os.path.realpath(RUNNER)
        except OSError:
            return False
    return check


class RunnerTest(unittest.TestCase):
    """One temporary directory a test; everything that was started is ended with it."""

    maxDiff = None

    def setUp(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="runner-test-"))
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)

    # ---- files

    def write(self, name, text, mode=0o644):
        path = self.dir / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        path.chmod(mode)
        return path

    def spec(self, text, name="jobs.yaml"):
        return self.write(name, text)

    def read(self, name):
        return (self.dir / name).read_text()

    # ---- the binary

    def environment(self, extra=None):
        env = {k: v for k, v in os.environ.items() if not k.startswith("RUNNER")}
        env.update(extra or {})
        return env

    def other_program(self):
        """A copy where another user may go."""
        copy = self.dir / "bin" / "runner"
        if not copy.exists():
            copy.parent.mkdir()
            shutil.copy(RUNNER, copy)
        return copy

    def runner(self, *args, stdin=subprocess.DEVNULL, env=None, timeout=DEADLINE, text=True, **more):
        """Runs `runner args...` to its end; the result has stdout, stderr and returncode."""
        more.setdefault("cwd", self.dir)
        program = self.other_program() if "user" in more else RUNNER
        return subprocess.run([program, *map(str, args)], stdin=stdin, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, env=self.environment(env), timeout=timeout, text=text, **more)

    def start(self, *args, env=None, **more):
        """Starts `runner args...` and returns the Popen; killed at the end of the test if it still runs."""
        more.setdefault("stdout", subprocess.PIPE)
        more.setdefault("stderr", subprocess.PIPE)
        more.setdefault("text", True)
        process = subprocess.Popen([RUNNER, *map(str, args)], cwd=self.dir, stdin=subprocess.DEVNULL,
                                   env=self.environment(env), **more)
        self.addCleanup(self._end, process)
        return process

    @staticmethod
    def _end(process):
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.communicate()

    def ok(self, *args, code=0, **more):
        """Runs it and checks the exit code."""
        result = self.runner(*args, **more)
        self.assertEqual(result.returncode, code, f"runner {args}\nstdout: {result.stdout}\nstderr: {result.stderr}")
        return result

    # ---- the record

    def state_dir(self, name="jobs"):
        return self.dir / ".runner" / name

    def rows(self, query="SELECT slice, number, outcome, exit_code, signal FROM attempt ORDER BY slice, number",
             name="jobs"):
        with sqlite3.connect(f"file:{self.state_dir(name)}/state.db?mode=ro", uri=True, timeout=30) as db:
            return db.execute(query).fetchall()

    def status(self, *args):
        return json.loads(self.ok("status", "jobs.yaml", "--json", *args).stdout)

    def run_log(self, name="jobs"):
        return (self.state_dir(name) / "latest" / "run.log").read_text()
