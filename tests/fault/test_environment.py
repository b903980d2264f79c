"""Where runner is started from: whatever it inherits, or finds missing, a run is a run or is refused with a reason."""
import ctypes
import fcntl
import os
import pathlib
import pty
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest

from faults import RUNNER, SANITIZED, OtherUserTest, wait_for

FAKETIME = list(pathlib.Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
SPEC = "slices: 0-9\nn_procs: 3\ncommand: echo out {slice}\n"


class Environment(OtherUserTest):
    def check_run(self, slices=10):
        self.assertEqual(self.rows("SELECT outcome, count(*) FROM attempt GROUP BY 1"), [("succeeded", slices)])
        self.assertEqual(self.ok("logs", "jobs.yaml", "7").stdout.split()[-1], "7")

    # ---- what a parent leaves behind

    def test_signals_that_the_parent_blocked_reach_runner_all_the_same(self):
        self.spec("slices: 0-0\ncommand: grep SigBlk /proc/self/status; touch up; exec sleep 1000\n")
        process = self.start("jobs.yaml", preexec_fn=lambda: signal.pthread_sigmask(signal.SIG_BLOCK,
                                                                                    signal.valid_signals()))
        wait_for((self.dir / "up").exists, "the slice runs")
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(timeout=30), 128 + signal.SIGTERM)
        self.assertEqual(self.ok("logs", "jobs.yaml", "0").stdout.split(), ["SigBlk:", "0" * 16])

    def test_no_environment_at_all(self):
        self.spec(SPEC)
        result = subprocess.run([RUNNER, "jobs.yaml"], cwd=self.dir, env={}, stdin=subprocess.DEVNULL,
                                stderr=subprocess.PIPE, timeout=60)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.check_run()

    def test_odd_variables_change_nothing(self):
        self.write("list.txt", "a\nzürich\n日本\n")
        self.spec("slices: {lines: list.txt}\ncommand: [/usr/bin/printf, '%s\\n', '{line}']\n")
        for odd in ({"LC_ALL": "C"}, {"LC_ALL": "xx_YY.UTF-8", "LANG": "nonsense"}, {"HOME": "", "TERM": ""},
                    {"TMPDIR": "/nonexistent", "SQLITE_TMPDIR": "/nonexistent"}, {"TZ": "No/Where"},
                    {"PATH": ""}, {"COLUMNS": "-1", "LINES": "x"}):
            with self.subTest(env=odd):
                shutil.rmtree(self.state_dir(), ignore_errors=True)
                self.assertEqual(sorted(self.ok("jobs.yaml", "--print", "line", env=odd).stdout.splitlines()),
                                 ["a: a", "zürich: zürich", "日本: 日本"])
                self.assertEqual(self.rows("SELECT key, outcome FROM attempt ORDER BY slice"),
                                 [("a", "succeeded"), ("zürich", "succeeded"), ("日本", "succeeded")])
                self.assertEqual(self.ok("logs", "jobs.yaml", "zürich", env=odd).stdout, "zürich\n")

    def test_an_environment_of_a_megabyte_is_handed_on(self):
        self.spec("slices: 0-9\nn_procs: 3\ncommand: test ${#BIG_9} = 100000 && echo {slice}\n")
        self.ok("jobs.yaml", env={f"BIG_{i}": "x" * 100000 for i in range(10)})
        self.check_run()

    def test_no_argument_not_even_a_name(self):
        """Kernels from 5.18 on make it one empty argument; before, argv is empty."""
        call = ("import ctypes, sys; none = (ctypes.c_char_p * 1)(None); "
                "ctypes.CDLL(None).execve(sys.argv[1].encode(), none, none)")
        result = subprocess.run([sys.executable, "-c", call, RUNNER], cwd=self.dir, capture_output=True, text=True,
                                timeout=30)
        self.assertIn(result.returncode, (0, 2), result.stderr)
        self.assertIn("runner --help", result.stdout + result.stderr)

    def test_a_umask_that_shuts_the_owner_out_is_for_the_slices(self):
        self.spec("slices: 0-9\nn_procs: 3\ncommand: umask; test -e go\n")
        for mask in (0o777, 0o277, 0o022):
            with self.subTest(umask=oct(mask)):
                self.as_other("jobs.yaml", umask=mask, code=1)
                self.write("go", "")
                self.as_other("jobs.yaml", "--resume", umask=mask)
                self.assertEqual(self.as_other("logs", "jobs.yaml", "7", umask=mask).stdout, f"{mask:04o}\n")
                self.as_other("status", "jobs.yaml", umask=mask)
                (self.dir / "go").unlink()

    # ---- where it works

    def test_a_working_directory_that_was_removed(self):
        self.spec(SPEC)
        script = 'cd gone && rmdir ../gone && exec "$0" "$@"'
        for arguments, code, said in (
                (["../jobs.yaml"], 2, "../jobs.yaml: is relative to a working directory that was removed"),
                (["check", "../jobs.yaml"], 2, "is relative to a working directory that was removed"),
                ([self.dir / "jobs.yaml", "--state-dir", "x"], 2, "--state-dir: is relative to a working directory"),
                ([self.dir / "jobs.yaml"], 0, "all 10 slices succeeded"),
                (["status", self.dir / "jobs.yaml"], 0, "")):
            with self.subTest(arguments=arguments):
                (self.dir / "gone").mkdir()
                result = subprocess.run(["/bin/sh", "-c", script, RUNNER, *map(str, arguments)], cwd=self.dir,
                                        env=self.environment(), capture_output=True, text=True, timeout=60)
                self.assertEqual(result.returncode, code, result.stderr)
                self.assertIn(said, result.stderr)
        self.check_run()

    def test_a_working_directory_deeper_than_a_path_may_be_long(self):
        state = tempfile.mkdtemp(prefix="runner-test-")
        self.addCleanup(subprocess.run, ["rm", "-rf", state, self.dir], check=True)
        make = ("import os\nfor i in range(300):\n    os.mkdir('d' * 20); os.chdir('d' * 20)\n"
                "open('jobs.yaml', 'w').write('slices: 0-9\\ncommand: pwd -P | wc -c\\n')\n"
                "import sys; os.execv(sys.argv[1], sys.argv[1:])")
        for arguments, code, said in ((["jobs.yaml"], 4, "File name too long"),
                                      (["jobs.yaml", "--state-dir", state], 0, "all 10 slices succeeded"),
                                      (["status", "jobs.yaml"], 4, "cannot be opened")):
            with self.subTest(arguments=arguments):
                result = subprocess.run([sys.executable, "-c", make, RUNNER, *arguments], cwd=self.dir,
                                        env=self.environment(), capture_output=True, text=True, timeout=60)
                self.assertEqual(result.returncode, code, result.stderr)
                self.assertIn(said, result.stderr)
                subprocess.run(["rm", "-rf", self.dir / ("d" * 20)], check=True)

    @unittest.skipUnless(os.geteuid() == 0 and subprocess.run(["unshare", "-m", "true"]).returncode == 0,
                         "mounting needs root")
    def test_a_read_only_place(self):
        self.spec(SPEC)
        state = tempfile.mkdtemp(prefix="runner-test-")
        self.addCleanup(subprocess.run, ["rm", "-rf", state], check=True)
        script = 'mount --bind . . && mount -o remount,ro,bind . && cd "$PWD" && exec "$0" "$@"'
        for arguments, code, said in ((["jobs.yaml"], 4, "Read-only file system: choose another place with --state-dir"),
                                      (["jobs.yaml", "-n"], 0, ""), (["check", "jobs.yaml"], 0, ""),
                                      (["status", "jobs.yaml"], 2, "no run of jobs.yaml is recorded"),
                                      (["jobs.yaml", "--state-dir", state], 0, "all 10 slices succeeded"),
                                      (["status", "jobs.yaml", "--state-dir", state], 0, "")):
            with self.subTest(arguments=arguments):
                result = subprocess.run(["unshare", "-m", "/bin/sh", "-c", script, RUNNER, *arguments], cwd=self.dir,
                                        env=self.environment(), capture_output=True, text=True, timeout=60)
                self.assertEqual(result.returncode, code, result.stderr)
                self.assertIn(said, result.stderr)

    # ---- its clock

    @unittest.skipUnless(FAKETIME, "libfaketime is not installed")
    @unittest.skipIf(SANITIZED, "a sanitizer wants to be loaded first")
    def test_a_clock_that_jumps_by_a_year_both_ways(self):
        """Timeouts, durations and the record: only the dates themselves may be odd. What times files have is the
        kernel's to say, and that does not jump here: see test_exec_files.cpp."""
        self.spec("slices: 0-5\nn_procs: 2\ntimeout: 5m\n"
                  "command: touch up-{slice}; while ! test -e go-{slice}; do sleep 0.02; done\n")
        clock = self.write("clock", "+0d\n")
        process = self.start("jobs.yaml", env={
            "LD_PRELOAD": str(FAKETIME[0]), "FAKETIME_TIMESTAMP_FILE": str(clock), "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1", "DONT_FAKE_MONOTONIC": "1", "NO_FAKE_STAT": "1"})
        for pair, offset in ((0, "+365d"), (2, "-365d"), (4, "+0d")):
            for i in (pair, pair + 1):
                wait_for((self.dir / f"up-{i}").exists, f"slice {i} runs")
            self.write("clock.new", offset + "\n").rename(clock)
            for i in (pair, pair + 1):
                self.write(f"go-{i}", "")
        _, stderr = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 0, stderr)
        self.assertRegex(stderr, r"all 6 slices succeeded in [\d.]+m?s\n")
        rows = self.rows("SELECT outcome, number, started_at, ended_at, runtime_s FROM attempt ORDER BY slice")
        years = [round((started - rows[0][2]) / (365 * 86400)) for _, _, started, _, _ in rows]
        self.assertEqual(years, [0, 0, 1, 1, -1, -1], "the clock jumped")
        for outcome, number, started, ended, runtime in rows:
            self.assertEqual((outcome, number), ("succeeded", 1))
            self.assertLessEqual(started, ended)
            self.assertTrue(0 < runtime < 60, runtime)
        self.assertEqual(self.rows("SELECT started_at <= ended_at FROM run"), [(1,)])
        self.assertNotRegex(self.ok("status", "jobs.yaml").stdout, r"after -|for -")

    # ---- its streams

    def test_a_terminal_that_has_gone(self):
        self.spec(SPEC)
        master, terminal = os.openpty()
        os.close(master)
        result = subprocess.run([RUNNER, "jobs.yaml", "--print", "line"], cwd=self.dir, env=self.environment(),
                                stdin=terminal, stdout=terminal, stderr=terminal, timeout=60)
        os.close(terminal)
        self.assertEqual(result.returncode, 0)
        self.check_run()

    def test_a_background_run_is_not_stopped_by_a_terminal_with_tostop(self):
        """As a job of a shell: in a group of its own, which is not the terminal's foreground."""
        self.spec(SPEC)
        session = ("import os, subprocess, sys, termios\n"
                   "mode = termios.tcgetattr(0); mode[3] |= termios.TOSTOP; termios.tcsetattr(0, termios.TCSANOW, mode)\n"
                   "child = subprocess.Popen(sys.argv[1:], process_group=0)\n"
                   "status = os.waitpid(child.pid, os.WUNTRACED)[1]\n"
                   "if os.WIFSTOPPED(status): child.kill()\n"
                   "open('status', 'w').write(str(status))\n")
        pid, terminal = pty.fork()
        if pid == 0:
            os.chdir(self.dir)
            os.execve(sys.executable, [sys.executable, "-c", session, RUNNER, "jobs.yaml"], self.environment())
        said = b""
        try:
            while piece := os.read(terminal, 4096):
                said += piece
        except OSError:  # EIO: nobody has it open any more
            pass
        os.close(terminal)
        os.waitpid(pid, 0)
        self.assertEqual(self.read("status"), "0", said)
        self.check_run()

    def test_a_stdout_that_does_not_block_gets_everything(self):
        """Somebody who shares the pipe has set O_NONBLOCK on it, and it is full for a while."""
        self.spec("slices: 0-19999\ncommand: /bin/echo {slice}\n")
        self.assertEqual(self.through_full_pipe("jobs.yaml", "-n").splitlines(),
                         [f"/bin/echo {i}" for i in range(20000)])
        self.spec("slices: 0-0\ncommand: seq 100000\n")
        numbers = [str(i) for i in range(1, 100001)]
        self.assertEqual(self.through_full_pipe("jobs.yaml", "-q", "--print", "group").splitlines(), numbers)
        self.assertEqual(self.through_full_pipe("logs", "jobs.yaml", "0").splitlines(), numbers)

    def through_full_pipe(self, *args):
        reading, writing = os.pipe()
        os.set_blocking(writing, False)
        process = self.start(*args, stdout=writing)
        os.close(writing)
        size = fcntl.fcntl(reading, fcntl.F_GETPIPE_SZ)
        wait_for(lambda: self.waiting_in(reading) > size - 4096 or process.poll() is not None, "the pipe is full")
        with os.fdopen(reading, "rb") as pipe:
            text = pipe.read().decode()
        self.assertEqual(process.wait(timeout=60), 0, process.stderr.read())
        return text

    @staticmethod
    def waiting_in(pipe):
        count = ctypes.c_int()
        fcntl.ioctl(pipe, 0x541B, count)  # FIONREAD
        return count.value


if __name__ == "__main__":
    unittest.main(verbosity=2)
