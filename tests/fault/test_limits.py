"""Limits of the system: a machine that refuses processes, files or memory makes a run slower, or ends it with a word and
an exact record. It never makes a slice fail that was not started, and is never a crash."""
import os
import pathlib
import resource
import signal
import subprocess
import unittest

from faults import RUNNER, SANITIZED, OtherUserTest, wait_for

PIDS = pathlib.Path("/sys/fs/cgroup/pids")  # v1; the test of v2 needs a delegated group and is the same code


def limited(which, soft, hard=None):
    return lambda: resource.setrlimit(which, (soft, soft if hard is None else hard))


class Limits(OtherUserTest):
    def check_run(self, result, slices, said=""):
        self.assertEqual(self.rows("SELECT outcome, count(*), max(number) FROM attempt GROUP BY 1"),
                         [("succeeded", slices, 1)], result.stderr)
        notices = [line for line in result.stderr.splitlines() if line.startswith("notice: ")]
        self.assertEqual(len(notices), 1 if said else 0, notices)
        self.assertIn(said, result.stderr)

    def widest(self):
        """Most attempts at once, by their own words."""
        now = most = 0
        for mark in (self.dir / "marks").read_text().split():
            now += 1 if mark == "in" else -1
            most = max(most, now)
        return most

    # ---- open files

    def test_too_few_open_files_to_work_with(self):
        self.spec("slices: 0-9\ncommand: [true]\n")
        result = self.ok("jobs.yaml", code=2, preexec_fn=limited(resource.RLIMIT_NOFILE, 40))
        self.assertEqual(result.stderr, "runner: the limit of open files (ulimit -n) is 40, runner needs 64; "
                                        "raise it with: ulimit -n 64\n")
        self.assertFalse(self.state_dir().exists())

    def test_few_open_files_mean_fewer_slices_at_once(self):
        self.spec("slices: 0-299\nn_procs: 5000\n"
                  "command: echo in >> marks; ulimit -n; (cat; cat) | cat; echo out >> marks\n")
        for options, most in (([], 16), (["--print", "line"], 8)):
            with self.subTest(options=options):
                (self.dir / "marks").unlink(missing_ok=True)
                result = self.ok("jobs.yaml", *options, preexec_fn=limited(resource.RLIMIT_NOFILE, 40, 64))
                self.assertEqual(self.rows("SELECT DISTINCT outcome, number FROM attempt"), [("succeeded", 1)])
                self.assertIn(f"notice: {most} at a time, not 5,000: the limit of open files", result.stderr)
                self.assertEqual(result.stderr.count("notice"), 1, result.stderr)
                self.assertLessEqual(self.widest(), most)
                self.assertEqual(self.ok("logs", "jobs.yaml", "7").stdout, "40\n", "slices have the limit they had")

    # ---- processes

    def test_few_processes_mean_fewer_slices_at_once(self):
        """Shells that need processes of their own: they must not take them from each other."""
        self.spec("slices: 0-39\nn_procs: 5000\n"
                  "command: echo in >> marks; sleep 0.02 | cat; (true); echo out >> marks\n")
        self.write("marks", "", 0o666)
        result = self.as_other("jobs.yaml", prepare=limited(resource.RLIMIT_NPROC, 24))
        self.check_run(result, 40, "(ulimit -u 24), and a slice may need 4")
        self.assertLessEqual(self.widest(), 6)

    def test_processes_that_others_take_meanwhile(self):
        """The limit falls to nothing while the run is on: what waits is launched when there is room again."""
        self.spec("slices: 0-7\nn_procs: 2\ncommand: [/bin/sh, -c, ': > up-{slice}; while ! test -e go-{slice}; do "
                  "sleep 0.02; done']\n")
        process = self.start_as_other("jobs.yaml", "-v")
        wait_for((self.dir / "up-1").exists, "two slices run")
        engine = self.engine(process)
        before = resource.getrlimit(resource.RLIMIT_NPROC)[0]
        self.as_other("--pid", engine, "--nproc=1:", program="prlimit")
        self.write("go-0", "")
        wait_for(lambda: "cannot make a process" in self.run_log(), "the shortage is told")
        self.write("go-1", "")
        wait_for(lambda: self.rows("SELECT count(*) FROM attempt WHERE outcome = 'succeeded'") == [(2,)], "both ended")
        self.assertFalse((self.dir / "up-2").exists())
        self.as_other("--pid", engine, f"--nproc={before if before >= 0 else 'unlimited'}:", program="prlimit")
        for i in range(2, 8):
            self.write(f"go-{i}", "")
        _, stderr = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 0, stderr)
        self.assertEqual(stderr.count("cannot make a process"), 1, stderr)
        self.assertEqual(self.rows("SELECT outcome, number, count(*) FROM attempt GROUP BY 1, 2"),
                         [("succeeded", 1, 8)])

    def engine(self, process):
        """The process that launches: the one with the slices as children."""
        pid = int((self.state_dir() / "lock").read_text().splitlines()[1])
        self.assertIn(pid, (process.pid, *self.children(process.pid)))
        return pid

    @staticmethod
    def children(pid):
        return [int(child) for child in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    @unittest.skipUnless(os.geteuid() == 0 and (PIDS / "cgroup.procs").exists() and os.access(PIDS, os.W_OK),
                         "there is no cgroup of pids to make a group in")
    def test_a_cgroup_with_few_processes(self):
        group = PIDS / f"runner-test-{os.getpid()}"
        try:
            group.mkdir()
        except OSError as error:
            self.skipTest(str(error))
        self.addCleanup(group.rmdir)
        (group / "pids.max").write_text("24")
        self.spec("slices: 0-39\nn_procs: 50\ncommand: echo in >> marks; sleep 0.02 | cat; echo out >> marks\n")
        result = self.ok("jobs.yaml", preexec_fn=lambda: (group / "cgroup.procs").write_text(str(os.getpid())))
        self.check_run(result, 40, "more processes (cgroup pids.max)")
        self.assertLessEqual(self.widest(), 6)
        wait_for(lambda: not (group / "cgroup.procs").read_text(), "the group is empty")

    @unittest.skipIf(SANITIZED, "LeakSanitizer wants a process of its own")
    def test_no_process_for_runner_itself(self):
        self.spec("slices: 0-9\ncommand: [true]\n")
        for limit in (1, 2):
            with self.subTest(limit=limit):
                result = self.as_other("jobs.yaml", code=4, prepare=limited(resource.RLIMIT_NPROC, limit))
                self.assertIn("Resource temporarily unavailable", result.stderr)
                self.assertNotIn("a bug", result.stderr)

    def check_refused_or_whole(self, result):
        """Whatever there was no room for: a word, an exit code of its own, and nothing lost."""
        self.assertIn(result.returncode, (0, 4), result.stderr)
        if result.returncode == 4:
            self.assertRegex(result.stderr, "not enough memory, processes or open files|out of memory|"
                                            "Cannot allocate|Resource temporarily")
        self.assertNotIn("a bug", result.stderr)

    # ---- memory

    @unittest.skipIf(SANITIZED, "sanitizers map terabytes")
    def test_little_memory(self):
        self.spec("slices: 0-99\nn_procs: 10\ncommand: [echo, '{slice}']\n")
        for mib in (16, 20, 24, 28, 32, 36, 40, 48, 200):
            with self.subTest(mib=mib):
                result = self.runner("jobs.yaml", preexec_fn=limited(resource.RLIMIT_AS, mib << 20))
                if "while loading shared libraries" in result.stderr or result.returncode == 127:
                    continue  # not ours to say
                self.check_refused_or_whole(result)
        self.assertEqual(result.returncode, 0)

    @unittest.skipIf(SANITIZED, "sanitizers map terabytes")
    def test_memory_that_runs_out_in_the_middle(self):
        """Every slice that ended and was told so is in the record; the resume runs the others and those in doubt."""
        self.spec("slices: 0-499\nn_procs: 4\ncommand: [/bin/sh, -c, 'echo {slice} >> ran']\n")
        process = self.start("jobs.yaml", "--print", "group")
        wait_for(lambda: (self.dir / "ran").exists(), "slices run")
        engine = self.engine(process)
        now = int(pathlib.Path(f"/proc/{engine}/statm").read_text().split()[0]) * resource.getpagesize()
        resource.prlimit(engine, resource.RLIMIT_AS, (now, now))
        stdout, stderr = process.communicate(timeout=60)
        self.assertIn(process.returncode, (0, 4), stderr)
        self.ok("jobs.yaml", "--resume")
        self.assertEqual(self.rows("SELECT count(DISTINCT slice) FROM attempt WHERE outcome = 'succeeded'"), [(500,)])

    @unittest.skipIf(SANITIZED, "sanitizers take more stack")
    def test_stacks(self):
        self.spec("slices: 0-9\ncommand: echo {slice}\n")
        result = self.ok("jobs.yaml", code=2, preexec_fn=limited(resource.RLIMIT_STACK, 128 << 10))
        self.assertIn("the limit of the stack (ulimit -s) is 128 KiB, runner needs 256 KiB", result.stderr)
        for size in (256 << 10, resource.RLIM_INFINITY):
            self.ok("jobs.yaml", "--print", "line",
                    preexec_fn=limited(resource.RLIMIT_STACK, size, resource.RLIM_INFINITY))

    # ---- sizes of files

    def test_a_limit_of_file_sizes_ends_the_run_with_a_word_and_a_resume_goes_on(self):
        self.spec("slices: 0-199\nn_procs: 4\ncommand: echo {slice} >> ran\n")
        for kib in (16, 80):
            with self.subTest(kib=kib):
                result = self.ok("jobs.yaml", code=4, preexec_fn=limited(resource.RLIMIT_FSIZE, kib << 10))
                self.assertIn("File too large", result.stderr)
        self.assertIn("the record could not be kept", result.stderr)
        self.ok("jobs.yaml", "--resume")
        self.assertEqual(self.rows("SELECT count(DISTINCT slice) FROM attempt WHERE outcome = 'succeeded'"), [(200,)])

    # ---- what is handed on

    def test_slices_have_the_limits_that_runner_was_started_with(self):
        self.spec("slices: 0-0\ncommand: ulimit -a > limits; grep NoNewPrivs /proc/self/status\n")

        def prepare():
            for which, soft in ((resource.RLIMIT_NOFILE, 100), (resource.RLIMIT_CORE, 0), (resource.RLIMIT_CPU, 77),
                                (resource.RLIMIT_STACK, 1 << 20)):
                resource.setrlimit(which, (soft, resource.getrlimit(which)[1]))

        own = subprocess.run(["/bin/sh", "-c", "ulimit -a"], preexec_fn=prepare, capture_output=True, text=True)
        result = subprocess.run(["setpriv", "--no-new-privs", RUNNER, "jobs.yaml"], cwd=self.dir, preexec_fn=prepare,
                                env=self.environment(), capture_output=True, text=True, timeout=60)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(self.read("limits"), own.stdout)
        self.assertEqual(self.ok("logs", "jobs.yaml", "0").stdout, "NoNewPrivs:\t1\n")

    # ---- a reader that takes its time

    def test_the_timeout_stands_still_while_nobody_reads_what_slices_write(self):
        self.spec("slices: 0-1\nn_procs: 2\ntimeout: 1500ms\ncommand: seq 400000; touch wrote-{slice}\n")
        process = self.start("jobs.yaml", "-q", "--print", "line")
        wait_for((self.state_dir() / "state.db").exists, "the run begins")
        engine = self.engine(process)

        def stuck():
            """Both have been there for longer than their timeout."""
            found = self.children(engine)
            return len(found) == 2 and all(self.age(child) > 2 for child in found)
        wait_for(stuck, "both slices wait in write(2)")
        self.assertFalse((self.dir / "wrote-0").exists())
        out = process.communicate(timeout=60)[0]
        self.assertEqual(process.returncode, 0)
        self.assertEqual(len(out.splitlines()), 800000)
        self.assertEqual(self.rows("SELECT outcome, number FROM attempt"), [("succeeded", 1)] * 2)

    @staticmethod
    def age(pid):
        with open("/proc/uptime") as uptime, open(f"/proc/{pid}/stat") as stat:
            started = int(stat.read().rsplit(")", 1)[1].split()[19]) / os.sysconf("SC_CLK_TCK")
            return float(uptime.read().split()[0]) - started


if __name__ == "__main__":
    unittest.main(verbosity=2)
