"""Whatever 0, 1 and 2 are - closed, full, a pipe that nobody reads to its end, no terminal - a run is a run."""
import os
import shutil
import signal
import subprocess
import unittest

from support import RUNNER, RunnerTest, wait_for

SPEC = "slices: 0-19\nn_procs: 3\ncommand: echo out {slice}; echo err {slice} >&2\n"


class Streams(RunnerTest):
    def shell(self, script, code=0, timeout=60, **more):
        """Runs a shell script in which $RUNNER is the binary; the session has no terminal."""
        result = subprocess.run(["/bin/bash", "-c", script], cwd=self.dir, env=self.environment({"RUNNER": RUNNER}),
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=timeout,
                                start_new_session=True, **more)
        self.assertEqual(result.returncode, code, f"{script}\nstdout: {result.stdout}\nstderr: {result.stderr}")
        return result

    def check_run(self, slices=20):
        """The record is whole, and nothing but the record is in it. Then it is removed, for the next run."""
        self.assertEqual(self.rows("PRAGMA integrity_check"), [("ok",)])
        self.assertEqual(self.rows("SELECT count(*) FROM attempt WHERE outcome = 'succeeded'"), [(slices,)])
        self.assertEqual((self.state_dir() / "lock").read_text(), "", "the owner's note is taken back at an orderly end")
        for line in self.run_log().splitlines():
            self.assertRegex(line, r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6} \[jobs")
        self.assertEqual(sorted(self.ok("logs", "jobs.yaml", "7").stdout.splitlines()), ["err 7", "out 7"])
        shutil.rmtree(self.state_dir())

    def test_closed_descriptors(self):
        for closed in ("<&-", ">&-", "2>&-", "<&- >&-", ">&- 2>&-", "<&- >&- 2>&-"):
            for options in ("", "--print line", "--print group"):
                with self.subTest(closed=closed, options=options):
                    self.spec(SPEC)
                    self.shell(f'exec "$RUNNER" -v jobs.yaml {options} {closed}')
                    self.check_run()

    def test_slices_of_a_runner_with_closed_descriptors_have_theirs(self):
        self.spec("slices: 0-0\ncommand: readlink /proc/self/fd/0 /proc/self/fd/1 /proc/self/fd/2; ls /proc/self/fd\n")
        self.shell('exec "$RUNNER" jobs.yaml <&- >&- 2>&-')
        lines = self.ok("logs", "jobs.yaml", "0").stdout.splitlines()
        self.assertEqual(lines[0], "/dev/null")
        self.assertIn("/slices/", lines[1])
        self.assertEqual(lines[3:], ["0", "1", "2", "3"])  # 3 is the listing itself

    def test_a_full_stdout_or_stderr_does_not_end_the_run(self):
        for redirection in (">/dev/full", "2>/dev/full", ">/dev/full 2>&1"):
            for options in ("", "--print line", "--print group"):
                with self.subTest(redirection=redirection, options=options):
                    self.spec(SPEC)
                    result = self.shell(f'"$RUNNER" jobs.yaml {options} {redirection}', code=4 if options else 0)
                    self.check_run()
                    if options and redirection == ">/dev/full":
                        self.assertIn("cannot write to stdout: No space left on device", result.stderr)

    def test_printed_output_that_is_lost_is_an_error_however_quiet(self):
        for options in ("-q", "", "-v"):
            for how in ("line", "group"):
                with self.subTest(options=options, how=how):
                    self.spec("slices: 0-2\ncommand: echo {slice}\n")
                    result = self.shell(f'"$RUNNER" {options} --print {how} jobs.yaml >/dev/full', code=4)
                    self.assertEqual(result.stderr.splitlines()[-1],
                                     "runner: not all of the slices' output was printed: cannot write to stdout: No space "
                                     "left on device; their logs have it: runner logs jobs.yaml SLICE")
                    self.assertEqual(self.rows("SELECT count(*) FROM attempt WHERE outcome = 'succeeded'"), [(3,)])
                    shutil.rmtree(self.state_dir())

    def test_data_that_cannot_be_written_is_a_failure(self):
        self.spec(SPEC)
        self.ok("jobs.yaml")
        for command in ("status jobs.yaml", "status jobs.yaml --json", "status jobs.yaml --format joblog",
                        "logs jobs.yaml 3", "jobs.yaml -n", "check jobs.yaml", "help", "--version"):
            with self.subTest(command=command):
                result = self.shell(f'"$RUNNER" {command} >/dev/full', code=4)
                self.assertIn("cannot write to stdout: No space left on device", result.stderr)

    def test_a_reader_that_goes_away_does_not_end_the_run(self):
        for options in ("--print line", "--print group", "-v --print line 2>&1"):
            with self.subTest(options=options):
                self.spec(SPEC)
                self.shell(f'"$RUNNER" jobs.yaml {options} | head -n 1; exit ${{PIPESTATUS[0]}}')
                self.check_run()

    def test_a_dry_run_stops_when_nobody_reads_on(self):
        self.spec("slices: 0-99999999\ncommand: /bin/echo {slice}\n")
        result = self.shell('"$RUNNER" jobs.yaml -n | head -n 2; echo ${PIPESTATUS[0]} >&2', timeout=30)
        self.assertEqual(result.stdout, "/bin/echo 0\n/bin/echo 1\n")
        self.assertEqual(result.stderr, "141\n", "as any filter: ended by SIGPIPE, without a word")

    def test_status_and_logs_into_head(self):
        self.spec("slices: 0-0\ncommand: seq 1000000\n")
        self.ok("jobs.yaml")
        result = self.shell('"$RUNNER" logs jobs.yaml 0 | head -n 1; echo ${PIPESTATUS[0]} >&2')
        self.assertEqual((result.stdout, result.stderr), ("1\n", "141\n"))

    def test_slices_get_the_default_signals_whatever_runner_inherited(self):
        self.spec("slices: 0-0\ncommand: grep -E '^Sig(Ign|Blk)' /proc/self/status\n")
        self.shell("trap '' PIPE HUP INT TERM CHLD; exec \"$RUNNER\" jobs.yaml")
        self.assertEqual(self.ok("logs", "jobs.yaml", "0").stdout.split(),
                         ["SigBlk:", "0" * 16, "SigIgn:", "0" * 16])

    def test_an_ignored_sigchld_is_no_hindrance(self):
        self.spec(SPEC)
        self.shell("trap '' CHLD; exec \"$RUNNER\" jobs.yaml")
        self.check_run()

    def test_nohup_means_that_a_hangup_changes_nothing(self):
        self.spec("slices: 0-3\nn_procs: 1\ncommand: touch up-{slice}; while ! test -e go; do sleep 0.02; done\n")
        process = self.start("jobs.yaml", preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
        wait_for((self.dir / "up-0").exists, "the first slice runs")
        process.send_signal(signal.SIGHUP)
        self.write("go", "")
        _, stderr = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 0, stderr)
        self.assertNotIn("SIGHUP", stderr)

    def test_an_interrupt_that_was_ignored_at_the_start_stays_so(self):
        """As a shell without job control starts what goes to the background: its Ctrl-C is not for this one."""
        self.spec("slices: 0-3\nn_procs: 1\ncommand: touch up-{slice}; while ! test -e go; do sleep 0.02; done\n")
        process = self.start("jobs.yaml", preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN))
        wait_for((self.dir / "up-0").exists, "the first slice runs")
        process.send_signal(signal.SIGINT)
        self.write("go", "")
        self.assertEqual(process.wait(timeout=60), 0)

    def test_a_stderr_that_nobody_reads_does_not_stop_the_slices(self):
        self.spec("slices: 0-2999\nn_procs: 4\ncommand: [/bin/false]\n")
        reading, writing = os.pipe()
        process = self.start("-v", "jobs.yaml", stderr=writing, stdout=subprocess.DEVNULL)
        os.close(writing)
        # Four times what a pipe holds. All slices end; only the last words wait for a reader.
        wait_for(lambda: (self.state_dir() / "state.db").exists(), "the record is there")
        wait_for(lambda: self.count("failed") == 3000, "all slices have ended")
        with os.fdopen(reading, "rb") as said:
            text = said.read().decode()
        self.assertEqual(process.wait(timeout=60), 1)
        self.assertIn("--resume", text)

    def count(self, outcome):
        try:
            return self.rows(f"SELECT count(*) FROM attempt WHERE outcome = '{outcome}'")[0][0]
        except Exception:  # no table yet
            return -1


if __name__ == "__main__":
    unittest.main(verbosity=2)
