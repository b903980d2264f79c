"""What the fault tests share: the compiled slice, its marks, a look at processes."""
import atexit
import collections
import contextlib
import os
import pathlib
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import unittest

HERE = pathlib.Path(__file__).resolve().parent
SHARE = HERE.parent.parent / "share"
sys.path.insert(0, str(HERE.parent / "cli"))

from support import DEADLINE, RUNNER, SANITIZED, RunnerTest, wait_for  # noqa: E402


def compile_slice(*sources):
    """Compiles slice.c, or others, into a directory that is removed at the end of the process; returns the program's path."""
    directory = tempfile.mkdtemp(prefix="runner-slice-")
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    program = f"{directory}/slice"
    subprocess.run([os.environ.get("CC", "cc"), "-O1", "-Wall", "-Werror", "-static", "-o", program, f"-I{SHARE}",
                    *(HERE / source for source in sources), "-lstdc++"], check=True)
    return program


def compile_library(source):
    """A library for LD_PRELOAD, in a directory that is removed at the end of the process; returns its path."""
    if SANITIZED:
        raise unittest.SkipTest("a sanitizer's runtime wants to be the first library")
    directory = tempfile.mkdtemp(prefix="runner-library-")
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    library = f"{directory}/library.so"
    subprocess.run([os.environ.get("CC", "cc"), "-Wall", "-Werror", "-shared", "-fPIC", "-x", "c", "-o", library, "-"],
                   input=source, text=True, check=True)
    return library


Mark = collections.namedtuple("Mark", "what key attempt pid")


def read_marks(path):
    """What the slices themselves wrote, in the order of writing."""
    if not path.exists():
        return []
    written = path.read_text().rpartition("\n")[0]  # a line that is being written may be seen in part
    fields = (line.split() for line in written.splitlines())
    return [Mark(what, int(key), int(attempt), int(pid)) for what, key, attempt, pid in fields]


Attempt = collections.namedtuple("Attempt", "slice number outcome pid")


def read_rows(state, query):
    """What a reader finds in the record, without touching the files that the next runner is to find."""
    if not (state / "state.db").exists():
        return []
    with tempfile.TemporaryDirectory() as copy:
        for name in ("state.db", "state.db-wal", "state.db-journal"):
            if (state / name).exists():
                shutil.copy(state / name, copy)
        with contextlib.closing(sqlite3.connect(f"{copy}/state.db")) as db:
            if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'attempt'").fetchone():
                return []
            assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)], "the database is damaged"
            return db.execute(query).fetchall()


def read_attempts(state):
    """The attempts of the newest run."""
    return [Attempt(*row) for row in read_rows(state, "SELECT slice, number, outcome, pid FROM attempt "
                                               "WHERE run = (SELECT max(number) FROM run)")]


def processes_in(directory):
    """The pids whose working directory is `directory`: runner and everything it started there. Zombies have none."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                if os.readlink(f"/proc/{entry}/cwd") == str(directory):
                    found.append(int(entry))
            except OSError:
                pass  # gone meanwhile
    return found


def cgroup_of(pid):
    """The path of a process's cgroup in the hierarchy of version 2; "" if there is none, or no such process."""
    try:
        groups = pathlib.Path(f"/proc/{pid}/cgroup").read_text()
    except OSError:
        return ""
    return next((line[3:] for line in groups.splitlines() if line.startswith("0::")), "")


def cgroup_directory():
    """Our own, where it is mounted; None if that is nowhere."""
    for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines():
        mount, _, kind = line.partition(" - ")
        if kind.startswith("cgroup2 "):
            directory = pathlib.Path(mount.split()[4] + cgroup_of("self"))
            return directory if directory.is_dir() else None
    return None


def run_cgroups(state_parent):
    """Those that runs whose state directories are below have made in our own cgroup, and which are there. Other tests
    run at the same time."""
    own = cgroup_directory()
    runs = {path.name for path in state_parent.glob("**/.runner/*/runs/*")}
    return {path for path in own.glob("runner-*") if path.name[7:].split(".")[0] in runs} if own else set()


def is_in_run_cgroup(pid):
    """Or in one below that."""
    own, path = cgroup_of("self"), cgroup_of(pid)
    return path.startswith(own.rstrip("/") + "/runner-")


def why_no_cgroup():
    """Why this process can make none for itself; None if it can. Found without runner."""
    directory = cgroup_directory()
    if directory is None:
        return "no cgroups of version 2 here"
    probe = directory / f"probe-{os.getpid()}"
    try:
        probe.mkdir()
    except OSError as error:
        return str(error)
    try:
        subprocess.run(["sh", "-c", 'echo 0 > "$0"', probe / "cgroup.procs"], check=True, stderr=subprocess.PIPE)
    except subprocess.CalledProcessError as error:
        return error.stderr.decode()
    finally:
        probe.rmdir()
    return None


class OtherUserTest(RunnerTest):
    """Runs the binary as a user who is not root and has no other process: limits and permissions are for those."""

    def setUp(self):
        super().setUp()
        if os.geteuid() == 0:
            self.uid = 100000 + os.getpid()  # tests run in parallel
            os.chown(self.dir, self.uid, self.uid)

    def as_other(self, *args, code=0, umask=-1, program=None, prepare=None, **more):
        """As ok(). `prepare` is called in the child, as that user."""
        result = subprocess.run([program or self.other_program(), *map(str, args)], **self.other(umask, prepare),
                                capture_output=True, text=True, timeout=60, **more)
        self.assertEqual(result.returncode, code, f"{args}\nstdout: {result.stdout}\nstderr: {result.stderr}")
        return result

    def start_as_other(self, *args, umask=-1, prepare=None):
        process = subprocess.Popen([self.other_program(), *map(str, args)], **self.other(umask, prepare),
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(self._end, process)
        return process

    def other(self, umask, prepare):
        more = {"cwd": self.dir, "env": self.environment(), "stdin": subprocess.DEVNULL, "umask": umask,
                "preexec_fn": prepare}
        if os.geteuid() == 0:
            more.update(user=self.uid, group=self.uid, extra_groups=[])
        return more


class FaultTest(RunnerTest):
    sources = ["slice.c"]

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.slice = compile_slice(*cls.sources)

    def marks(self):
        return read_marks(self.dir / "marks")

    def wait_until_nothing_runs(self):
        wait_for(lambda: not processes_in(self.dir), "runner's processes are gone")
