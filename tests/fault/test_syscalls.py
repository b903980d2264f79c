"""runner is killed, or refused by the kernel, at its system calls one after the other, and then recovers.

A point is one call of one thread of runner (the third pwrite64 of p1.t1, the engine's thread that keeps the record, say)
and what happens there: SIGKILL to that process, guard or engine, or to both, or an error that the call can give, once or
several times in a row. inject.c does it, to runner's own processes and never to a slice. A scenario is a short run: `fresh`
begins one, `resume` takes up one that was killed, with an older one to prune, `timeout` ends slices that hang, `print`
shows what slices write. After the fault the run is resumed without any, until all is done, and whatever the point:
  - it ended by itself, with a documented exit code: 0 only if all is done, and not silently otherwise;
  - a failed fsync or fdatasync is exit code 4 and is told;
  - every start that a slice marked is an attempt in the record, and no attempt was started twice;
  - what stderr or run.log announced, that is in the record; what succeeded does not run again;
  - in the end every slice has succeeded, the database is sound, and no file is left that should not be there.

RUNNER_SWEEP=all: every point (some 11,000: half an hour); else as many as half a minute allows, of every
call and fault first, the same ones each time. RUNNER_SEED=N: others. RUNNER_SWEEP=REGEX: every point whose name it
matches ("fresh p0.t2:pwrite64:3-3:EIO").
"""
import atexit
import collections
import concurrent.futures
import hashlib
import os
import re
import shutil
import stat
import subprocess
import tempfile
import time
import unittest

from faults import DEADLINE, HERE, SANITIZED, FaultTest, processes_in, read_attempts, read_marks, read_rows, wait_for
from support import RUNNER

SWEEP = os.environ.get("RUNNER_SWEEP", "")
ENOUGH = float("inf") if SWEEP else 25.0  # seconds
SEED = int(os.environ.get("RUNNER_SEED", "1"))
NO_TRACING = 125  # inject's exit code
ALIKE = 5  # how many looks at other processes' /proc files are struck

# SIGKILL between two calls that only look makes no difference: it comes before those that change or hand over something.
KILLED_AT = set("""write pwrite64 fsync fdatasync ftruncate rename renameat2 unlink unlinkat symlink mkdir mkdirat chmod
    fchmod fchmodat fchown openat openat2 bind listen fcntl flock fork clone clone3 execve wait4 waitid kill rmdir
    epoll_wait epoll_ctl futex pread64 mmap munmap setsid setpgid prctl timerfd_settime close_range exit_group getdents64
    ppoll poll""".split())
KILLED_WITH_THE_GUARD = {"pwrite64", "fdatasync", "renameat2", "unlink", "clone"}
ERRORS = {
    "write": "EIO ENOSPC", "pwrite64": "EIO ENOSPC", "fsync": "EIO", "fdatasync": "EIO ENOSPC", "ftruncate": "EIO ENOSPC",
    "rename": "EIO ENOSPC", "renameat2": "EIO ENOSPC", "unlink": "EIO", "unlinkat": "EIO", "symlink": "EIO ENOSPC",
    "mkdir": "EIO ENOSPC EACCES", "mkdirat": "EIO ENOSPC EACCES", "rmdir": "EACCES", "chmod": "EIO", "fchmod": "EIO",
    "fchmodat": "EIO", "openat": "EIO EMFILE ENOSPC ENOMEM", "openat2": "EIO EMFILE ENOSPC ENOMEM ENOSYS",
    "bind": "EACCES ENOSPC", "listen": "ENOMEM", "read": "EIO", "pread64": "EIO",
    "newfstatat": "EIO ENOMEM", "statfs": "EIO", "getdents64": "EIO", "fcntl": "ENOLCK EAGAIN", "flock": "ENOLCK",
    "fork": "EAGAIN ENOMEM", "clone": "EAGAIN ENOMEM", "clone3": "EAGAIN", "execve": "EIO ENOMEM", "wait4": "EINTR",
    "waitid": "EINTR", "epoll_wait": "EINTR", "epoll_ctl": "ENOMEM ENOSPC", "epoll_create1": "EMFILE ENOMEM",
    "eventfd2": "EMFILE ENOMEM", "timerfd_create": "EMFILE ENOMEM", "signalfd4": "EMFILE ENOMEM",
    "pipe2": "EMFILE ENFILE", "socket": "EMFILE", "pidfd_open": "EMFILE ENOMEM", "poll": "EINTR ENOMEM",
    "ppoll": "EINTR ENOMEM", "kill": "EPERM", "mmap": "ENOMEM", "mprotect": "ENOMEM",
    "mremap": "ENOMEM", "setsid": "EPERM", "setpgid": "EPERM", "prctl": "EINVAL", "prlimit64": "EPERM",
    "close_range": "ENOSYS", "dup2": "EINTR", "chdir": "EIO", "getcwd": "ENOMEM", "readlink": "EIO",
}

SPELLS = {"openat": "EMFILE", "openat2": "ENOSPC", "clone": "EAGAIN", "pwrite64": "ENOSPC", "write": "ENOSPC",
          "mmap": "ENOMEM"}
SPELL = 8  # calls in a row

Point = collections.namedtuple("Point", "scenario who call first last fault target")


def compile_inject():
    directory = tempfile.mkdtemp(prefix="runner-inject-")
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    program = f"{directory}/inject"
    subprocess.run([os.environ.get("CC", "cc"), "-O1", "-Wall", "-Werror", "-o", program, HERE / "inject.c"], check=True)
    return program


def order_of(point):
    return f"{point.who}:{point.call}:{point.first}-{point.last}:{point.fault}"


def sockets_in(directory, names):
    """What copytree() cannot copy: a run that was killed leaves its control socket."""
    return [name for name in names if stat.S_ISSOCK(os.lstat(f"{directory}/{name}").st_mode)]


class Breach(AssertionError):
    pass


class Strike:
    """One point: the run that it strikes, what is left of it, and its recovery."""

    def __init__(self, sweep, point, directory):
        self.sweep, self.point, self.dir = sweep, point, directory
        self.state = directory / ".runner" / "jobs"
        self.said = ""
        self.unfinished_seen = set()

    def demand(self, condition, what):
        if not condition:
            raise Breach(what)

    def demand_none(self, these, what):
        self.demand(not these, f"{what}: {sorted(these)}")

    # ---- what is there

    def announced(self):
        """Slices that were said to have succeeded, and attempts that were said to have started."""
        log = self.state / "latest" / "run.log"
        text = log.read_text() if log.exists() else ""
        done = set(re.findall(r"(?m)^\S+ \S+ \[jobs/(\d+)\] pid:\d+ completed$", text))
        done |= set(re.findall(r"(?m)^succeeded: jobs/(\d+) after .*\n", self.said))
        started = re.findall(r"(?m)^started: jobs/(\d+): attempt (\d+), pid \d+\n", self.said)
        return set(map(int, done)), {(int(key), int(number)) for key, number in started}

    def check(self):
        """What must hold at any instant; returns the attempts by slice and number."""
        attempts = read_attempts(self.state)
        rows = {(a.slice, a.number): a for a in attempts}
        starts = collections.Counter((m.key, m.attempt) for m in self.marks() if m.what == "S")
        self.demand_none([s for s, n in starts.items() if n > 1], "started twice")
        self.demand_none(set(starts) - set(rows), "started without a record")
        ended = {(m.key, m.attempt) for m in self.marks() if m.what == "E"}
        succeeded = {(a.slice, a.number) for a in attempts if a.outcome == "succeeded"}
        self.demand_none(succeeded - ended, "recorded as succeeded, but did not say so")
        done, started = self.announced()
        self.demand_none(done - {key for key, _ in succeeded}, "announced as succeeded, but not recorded")
        self.demand_none({s for s in started if s not in rows or not rows[s].pid}, "announced as started, not recorded")
        self.demand_none({(k, n) for k, n in succeeded if (k, n + 1) in rows}, "run again after it had succeeded")
        latest = self.state / "latest"
        self.demand(not latest.is_symlink() or latest.is_dir(), "latest leads nowhere")
        self.unfinished_seen |= {key for key, a in rows.items() if a.outcome is None}
        return rows

    def marks(self):
        return read_marks(self.dir / "marks")

    def all_succeeded(self, rows):
        last = {key: rows[key, number].outcome for key, number in sorted(rows)}
        slices = len((self.dir / "plan.csv").read_text().splitlines()) - 1
        return last == {key: "succeeded" for key in range(slices)}

    # ---- what is done

    def run(self, resume, *tool):
        """Runs runner to its end, under `tool` if one is given."""
        command = [*tool, RUNNER, "-v", "jobs.yaml", *(["--resume"] if resume else [])]
        with open(self.dir / "said", "w+") as said:
            process = subprocess.Popen(command, cwd=self.dir, stdin=subprocess.DEVNULL, stdout=said, stderr=said,
                                       env=self.sweep.environment())
            try:
                code = process.wait(timeout=DEADLINE)
            except subprocess.TimeoutExpired:
                process.kill()  # and with inject all that it traces
                process.wait()
                raise Breach(f"still running after {DEADLINE} s") from None
            said.seek(0)
            words = said.read()
        self.said += words
        wait_for(lambda: not processes_in(self.dir), "nothing is left running")
        return code, words

    def strike(self):
        """Returns whether the point was reached."""
        report = self.dir / "report"
        before = len(self.marks())
        self.check()
        code, words = self.run(self.point.scenario == "resume", self.sweep.inject, report, order_of(self.point))
        self.code = code
        if not report.read_text():
            return False
        rows = self.check()
        if self.point.fault in ("kill", "killall"):
            if self.point.who != "child":
                self.demand(code == 137, f"exit code {code} after SIGKILL")
        else:
            self.check_end(code, words, rows, ran=len(self.marks()) > before)
        self.recover()
        return True

    def check_end(self, code, words, rows, ran):
        self.demand(code in (0, 1, 2, 4), f"exit code {code}")
        silenced = " said\n" in (self.dir / "report").read_text()  # stderr itself was struck
        self.demand(code == 0 or words.strip() or silenced, f"exit code {code} without a word")
        if code in (0, 1):
            self.demand((code == 0) == self.all_succeeded(rows), f"exit code {code}, but the record says otherwise")
        self.demand(code != 2 or not ran, "exit code 2 says that nothing was started")
        # SQLite passes over a directory that cannot be synced; runner syncs it once more and does not.
        passed_over = self.point.call == "fdatasync" and self.point.target == self.state.name
        if self.point.call in ("fsync", "fdatasync") and not passed_over:
            self.demand(code == 4, f"exit code {code} after a failed {self.point.call}")

    def recover(self):
        """As a user would: resumes, begins anew only where runner says that there is nothing to resume."""
        code, words = self.run(True)
        if code == 2 and "there is no run" in words:
            self.demand(not self.marks(), "slices ran, but there is no run to resume")
            code, words = self.run(False)
        self.demand(code == 0, f"exit code {code} from the recovery")
        rows = self.check()
        self.demand(self.all_succeeded(rows), "not all slices have succeeded in the end")
        self.demand_none({k for k, a in rows.items() if a.outcome is None}, "attempts without an end")
        lost = {k for k, a in rows.items() if a.outcome == "lost"}
        self.demand_none(lost - self.unfinished_seen, "lost, though its end had been recorded")
        # Nobody had to write since: what was struck could not be put in order.
        unfinished = "nothing left" in words and (self.code != 0 or self.point.target.startswith("state.db"))
        self.check_files({"state.db-wal", "state.db-shm"} if unfinished else set())
        again, words = self.run(True)
        self.demand(again == 0 and "nothing left" in words, f"exit code {again} from a resume when all is done")

    def check_files(self, allowed):
        runs = [run for run, in read_rows(self.state, "SELECT id FROM run")]
        logs = {log for log, in read_rows(self.state, "SELECT log FROM attempt WHERE log IS NOT NULL")}
        logs |= {f"slices/0000/{a.slice}.{a.number}.log" for a in read_attempts(self.state)}
        known = {"state.db", "lock", "latest", *(f"runs/{r}/{f}" for r in runs for f in ("spec.yaml", "run.log"))}
        found = set()
        for where, _, names in os.walk(self.state):
            found |= {os.path.relpath(f"{where}/{name}", self.state) for name in names}
        if (self.state / "latest").is_symlink():
            found.add("latest")
        stray = {f for f in found - known - allowed if f.split("/", 2)[-1] not in logs and not self.is_cut_off(f)}
        self.demand_none(stray, "files that should not be there")
        self.demand_none(known - found, "files that are missing")
        self.demand(set(os.listdir(self.state / "runs")) == set(runs), "directories of runs that are not recorded")


    def is_cut_off(self, file):
        """Output of an attempt that was lost before the record had the file's name."""
        return re.search(r"/slices/\.slot-[\d.]+\.log$", file) and (self.state / file).stat().st_size > 0


@unittest.skipIf(SANITIZED, "sanitizers make calls of their own, and LeakSanitizer traces by itself")
class Syscalls(FaultTest):
    @classmethod
    def setUpClass(cls):
        if os.access("/dev/shm", os.W_OK):
            tempfile.tempdir = "/dev/shm"  # five times as many points a second; it is not the disk that fails here
        super().setUpClass()
        cls.inject = compile_inject()
        tried = subprocess.run([cls.inject, "/dev/null", "list", "/bin/true"], stderr=subprocess.PIPE, text=True)
        if tried.returncode == NO_TRACING:
            raise unittest.SkipTest(f"this system lets nobody trace a process: {tried.stderr.strip()}")

    # ---- the scenarios

    def prepare(self, directory, plan, more=""):
        directory.mkdir()
        (directory / "plan.csv").write_text("id,do\n" + "".join(f"{i},{do}\n" for i, do in enumerate(plan)))
        (directory / "jobs.yaml").write_text(
            f"slices: {{table: plan.csv}}\nn_procs: 2\nretries: 2\nretry_delay: 5ms\nkeep_runs: 1\n{more}"
            f"command: [{self.slice}, marks, '{{id}}', '{{do}}']\n")

    def prepare_fresh(self, directory):
        self.prepare(directory, ["say=hello", "fail=1", "sleep=0", "say=bye fail=1", "sleep=10"])

    def prepare_timeout(self, directory):
        """Slices that hang, one of them deaf: looked for in /proc, terminated, killed."""
        self.prepare(directory, ["hang=1", "say=hello", "deaf hang=1"], "timeout: 300ms\ngrace: 50ms\n")

    def prepare_print(self, directory):
        self.prepare(directory, ["say=hello", "write=300000", "say=bye fail=1"], "print: line\n")

    def prepare_resume(self, directory):
        """One run that is over, and one that was killed between its slices."""
        begun = self.dir / "begun"
        self.prepare_fresh(begun)
        quiet = {"env": self.environment(), "stderr": subprocess.DEVNULL}
        subprocess.run([RUNNER, "jobs.yaml"], cwd=begun, check=True, **quiet)
        (begun / "marks").unlink()
        for commit in range(3, 30):
            shutil.copytree(begun, directory, symlinks=True, ignore=sockets_in)
            order = f"{self.writer(begun)}:fdatasync:{commit}-{commit}:kill"
            subprocess.run([self.inject, "/dev/null", order, RUNNER, "jobs.yaml"], cwd=directory, **quiet)
            wait_for(lambda: not processes_in(directory), "its slices are gone")
            outcomes = [a.outcome for a in read_attempts(directory / ".runner" / "jobs")]
            if "succeeded" in outcomes and None in outcomes:
                return
            shutil.rmtree(directory)
        self.fail("no run was killed between its slices")

    def calls(self, scenario, template):
        """What runner calls in a scenario: (who, call, n, target)."""
        directory = self.dir / "listed"
        shutil.copytree(template, directory, symlinks=True, ignore=sockets_in)
        resume = ["--resume"] if scenario == "resume" else []
        subprocess.run([self.inject, directory / "list", "list", RUNNER, "-v", "jobs.yaml", *resume], cwd=directory,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=self.environment(), check=True,
                       timeout=DEADLINE)
        calls = [line.split() for line in (directory / "list").read_text().splitlines()]
        shutil.rmtree(directory)
        return [(who, call, int(n), target) for who, call, n, target in calls]

    def writer(self, directory):
        """The thread that keeps the record."""
        listed = self.calls("fresh", directory)
        synced = collections.Counter(who for who, call, _, target in listed if call == "fdatasync" and ".t" in who)
        return synced.most_common(1)[0][0]

    def points(self, scenario, template):
        listed = self.calls(scenario, template)
        main = next(i for i, (_, call, _, _) in enumerate(listed) if call == "munmap")  # of the dynamic loader's cache
        alike = collections.Counter()
        for who, call, number, target in listed[main + 1:]:
            alike[who, call, target] += 1
            if target in ("stat", "environ") and alike[who, call, target] > ALIKE:
                continue
            kills = ["kill"] if call in KILLED_AT else []
            if who == "p1" and call in KILLED_WITH_THE_GUARD:
                kills.append("killall")
            errors = ERRORS.get(call, "").split()
            if call == "epoll_ctl" and number <= 2:
                errors = []  # Asio does not look at the result when it sets up its reactor: a gap, with a hang behind it
            for fault in kills + errors:
                yield Point(scenario, who, call, number, number, fault, target)
            if call in SPELLS and who != "child":
                yield Point(scenario, who, call, number, number + SPELL - 1, SPELLS[call], target)

    def chosen(self, points):
        """All that were asked for; in the short form some of every kind first, chosen by name: how often a call is made
        differs a little from run to run, and a shuffled list would be another one each time."""
        if SWEEP not in ("", "all"):
            return [p for p in points if re.search(SWEEP, f"{p.scenario} {order_of(p)}")]
        points = sorted(points, key=lambda p: hashlib.md5(f"{SEED} {p.scenario} {order_of(p)}".encode()).digest())
        seen = collections.Counter()
        turn = {}
        for p in points:
            kind = (p.who == "child", p.call, p.fault, p.last - p.first)
            turn[p] = 0 if p.call in ("fsync", "fdatasync") and p.fault == "EIO" else seen[kind]
            seen[kind] += 1
        return sorted(points, key=turn.get)

    # ---- the sweep

    def strike(self, template, point):
        """(point, whether it was reached, what was breached or None)."""
        directory = self.dir / f"{point.scenario}-{order_of(point).replace(':', '-')}"
        shutil.copytree(template, directory, symlinks=True, ignore=sockets_in)
        one = Strike(self, point, directory)
        try:
            reached = one.strike()
        except AssertionError as breach:
            return point, True, f"{point.scenario} {order_of(point)} ({point.target}): {breach}\n{one.said[-700:]}"
        shutil.rmtree(directory)
        return point, reached, None

    def test_at_every_system_call(self):
        templates = {scenario: self.dir / scenario for scenario in ("fresh", "resume", "timeout", "print")}
        points = []
        for scenario, template in templates.items():
            getattr(self, f"prepare_{scenario}")(template)
            points += self.points(scenario, template)
        chosen = self.chosen(points)
        began = time.monotonic()
        results = []

        def strike(point):
            if time.monotonic() - began < ENOUGH:
                results.append(self.strike(templates[point.scenario], point))
                if SWEEP and (results[-1][-1] or len(results) % 500 == 0):
                    print(f"\n{len(results)} of {len(chosen)}: {results[-1][-1]}", flush=True)

        with concurrent.futures.ThreadPoolExecutor(2 * os.cpu_count()) as pool:
            for _ in pool.map(strike, chosen):
                pass
        self.tell(results, len(points), time.monotonic() - began)
        breaches = [breach for _, _, breach in results if breach]
        self.assertEqual(len(breaches), 0, "\n\n".join([f"RUNNER_SEED={SEED}", *breaches[:20]]))

    @staticmethod
    def tell(results, points, seconds):
        table = collections.defaultdict(collections.Counter)
        reached = [point for point, was_reached, _ in results if was_reached]
        for point in reached:
            table[point.call][point.fault if point.last == point.first else f"{point.fault} x{SPELL}"] += 1
        print(f"\n{len(reached)} points struck of {points}, {len(results) - len(reached)} not reached, "
              f"{sum(bool(breach) for _, _, breach in results)} breaches, RUNNER_SEED={SEED}; {seconds:.0f} s")
        for call, faults in sorted(table.items()):
            print(f"  {call}: " + ", ".join(f"{n} {fault}" for fault, n in sorted(faults.items())))


if __name__ == "__main__":
    unittest.main(verbosity=2)
