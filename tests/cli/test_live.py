"""runner status and runner logs of a run that is live, one that has ended and one that was killed."""
import contextlib
import os
import pathlib
import shutil
import signal
import sqlite3
import unittest

from support import RunnerTest, crash, engine_pid, wait_for

# Slice 0 succeeds, 1 fails, 2 and 3 wait for the file "go"; 4 to 9 have not begun by then.
SPEC = ("slices: 0-9\nn_procs: 2\nretry_delay: 10ms\ncommand: |\n"
        "  echo begin {slice}.{attempt}\n"
        "  case {slice} in\n"
        "    1) test -e go || exit 3 ;;\n"
        "    2|3) while ! test -e go; do sleep 0.02; done ;;\n"
        "  esac\n"
        "  echo end {slice}\n")


class Live(RunnerTest):
    def begin(self, *args):
        self.spec(SPEC)
        process = self.start("jobs.yaml", *args)
        wait_for(lambda: self.running() == [2, 3], "slices 2 and 3 run")
        return process

    def running(self):
        return [row[0] for row in self.attempts("pid > 0 AND outcome IS NULL")]

    def attempts(self, which):
        try:
            return self.rows(f"SELECT slice FROM attempt WHERE {which} ORDER BY slice")
        except sqlite3.OperationalError:  # no record yet
            return []

    def kill(self, process):
        crash(process)

    def job(self):
        return self.status()["jobs"][0]

    def test_status_of_a_live_run(self):
        process = self.begin()
        status = self.status()
        self.assertTrue(status["run"]["live"])
        self.assertEqual(status["run"]["pid"], engine_pid(process))
        job = status["jobs"][0]
        self.assertEqual([job[k] for k in ("total", "succeeded", "failed", "running", "waiting")], [10, 1, 1, 2, 6])
        table = self.ok("status", "jobs.yaml").stdout
        self.assertIn(str(engine_pid(process)), table)
        self.assertNotIn("--resume", table, "it cannot be resumed while it runs")
        self.assertNotIn("may have run", table)
        self.assertIn(str(engine_pid(process)), self.ok("status").stdout, "the one run recorded here needs no name")

    def test_status_follows_the_run(self):
        process = self.begin()
        self.write("go", "")
        self.assertEqual(process.wait(), 1)
        status = self.status()
        self.assertFalse(status["run"]["live"])
        self.assertEqual(status["run"]["state"], "terminated")
        self.assertEqual([status["jobs"][0][k] for k in ("succeeded", "failed", "running", "waiting")], [9, 1, 0, 0])
        table = self.ok("status", "jobs.yaml").stdout
        self.assertIn("runner jobs.yaml --resume", table)
        self.assertIn("exit code 3", table)
        self.ok("jobs.yaml", "--resume")
        self.assertEqual(self.status()["run"]["state"], "completed")
        self.assertNotIn("--resume", self.ok("status", "jobs.yaml").stdout)

    def test_status_without_a_spec_names_those_that_it_could_be(self):
        self.spec("slices: 0-1\ncommand: 'true'\n")
        self.ok("jobs.yaml")
        self.assertIn("slices  2: 2 succeeded", self.ok("status").stdout)
        self.write("other.yml", "name: night\nslices: 0-1\ncommand: 'true'\n")
        self.ok("other.yml")
        self.assertIn("which spec? runs are recorded here for: jobs.yaml other.yml; usage: runner status SPEC",
                      self.ok("status", code=2).stderr)

    def test_status_of_a_killed_run(self):
        self.kill(self.begin())
        before = self.rows("SELECT * FROM attempt")
        status = self.status()
        self.assertEqual(self.rows("SELECT * FROM attempt"), before, "looking changes nothing")
        self.assertFalse(status["run"]["live"])
        job = status["jobs"][0]
        lost = job["may_have_run"]
        self.assertEqual((lost["indices"][0][0], lost["count"]), (2, job["outcomes"]["lost"]))
        self.assertGreaterEqual(lost["count"], 2)
        self.assertEqual([job[k] for k in ("succeeded", "failed", "running")], [1, 1 + lost["count"], 0])
        table = self.ok("status", "jobs.yaml").stdout
        self.assertIn("may have run", table)
        self.assertIn("runner jobs.yaml --resume", table)

    def test_a_run_killed_after_its_last_slice_is_finished_by_a_resume(self):
        """All slices have ended, only the run's own end is not recorded: nothing is left, and status says so."""
        self.spec("slices: 0-3\ncommand: 'true'\n")
        self.ok("jobs.yaml")
        with sqlite3.connect(self.state_dir() / "state.db") as db:
            db.execute("UPDATE run SET state = 'running', ended_at = NULL")
        self.ok("jobs.yaml", "--resume")
        status = self.status()
        self.assertEqual((status["run"]["live"], status["run"]["state"]), (False, "completed"))
        self.assertNotIn("--resume", self.ok("status", "jobs.yaml").stdout)

    def test_logs_of_slices_that_run_have_ended_or_have_not_begun(self):
        process = self.begin()
        self.assertEqual(self.ok("logs", "jobs.yaml", "0").stdout, "begin 0.1\nend 0\n")
        self.assertEqual(self.ok("logs", "jobs.yaml", "1").stdout, "begin 1.1\n")
        self.assertEqual(self.ok("logs", "jobs.yaml", "2").stdout, "begin 2.1\n")
        self.assertIn("has not run", self.ok("logs", "jobs.yaml", "9", code=2).stderr)
        self.assertRegex(self.ok("logs", "jobs.yaml", "10", code=2).stderr,
                         r"^runner: no slice '10' in run \S+; there are 10 slices: 0, 1, 2, \.\.\.\n$")
        self.write("go", "")
        process.wait()
        self.assertEqual(self.ok("logs", "jobs.yaml", "2").stdout, "begin 2.1\nend 2\n")

    def test_logs_of_a_slice_by_its_full_name_though_its_job_is_alone(self):
        self.spec("slices: {list: [a, jobs/b]}\ncommand: echo {item}\n")
        self.ok("jobs.yaml")
        self.assertEqual(self.ok("logs", "jobs.yaml", "jobs/a").stdout, "a\n")
        self.assertEqual(self.ok("logs", "jobs.yaml", "jobs/b").stdout, "jobs/b\n", "a key goes first")
        self.assertIn("there are 2 slices: a, jobs/b\n", self.ok("logs", "jobs.yaml", "work/a", code=2).stderr)

    def test_logs_say_where_the_output_is_or_why_there_is_none(self):
        self.spec("slices: 0-0\nstdout: out/{slice}.{attempt}\ncommand: mkdir -p out; echo x; exit 3\n")
        (self.dir / "out").mkdir()
        where = "wrote nothing to its log, stdout is in out/0.1\n"
        self.assertIn("    0 " + where, self.ok("jobs.yaml", code=1).stderr)
        self.assertIn("    0 " + where, self.ok("status", "jobs.yaml").stdout)
        self.assertEqual(self.ok("logs", "jobs.yaml", "0").stderr, "runner: slice 0, attempt 1 " + where)
        self.assertEqual(self.read("out/0.1"), "x\n")
        self.spec("slices: 0-0\nstdout: out-{slot}\ncommand: exit 3\n")
        self.ok("jobs.yaml", code=1)
        self.assertIn("stdout is in out-{slot}\n", self.ok("logs", "jobs.yaml", "0").stderr)
        self.spec("slices: 0-0\ncommand: [no-such-program]\n")
        self.assertNotIn("wrote nothing", self.ok("jobs.yaml", code=1).stderr)
        self.assertEqual(self.ok("logs", "jobs.yaml", "0").stderr, "runner: slice 0, attempt 1 was not started: "
                         "cannot execute 'no-such-program': not found in PATH\n")

    def test_logs_of_a_killed_run(self):
        self.kill(self.begin())
        self.assertEqual(self.ok("logs", "jobs.yaml", "0").stdout, "begin 0.1\nend 0\n")
        self.assertEqual(self.ok("logs", "jobs.yaml", "2").stdout, "begin 2.1\n")
        self.assertEqual(self.ok("logs", "jobs.yaml", "2", "-f", timeout=20).stdout, "begin 2.1\n")
        self.write("go", "")
        self.ok("jobs.yaml", "--resume")
        self.assertEqual(self.ok("logs", "jobs.yaml", "2").stdout, "begin 2.2\nend 2\n")
        self.assertEqual(self.ok("logs", "jobs.yaml", "2", "--attempt", "1").stdout, "begin 2.1\n")

    def begin_noting_drafts(self, first):
        """Slice 0 does `first`; slice 1 comes after it, in its slot, and waits. Each notes where its output goes."""
        self.spec("slices: 0-1\nn_procs: 1\ncommand: |\n  readlink /proc/$$/fd/1 | cat >draft-{slice}.{attempt}\n"
                  f"  case {{slice}} in 0) {first} ;; *) echo out of 1; while ! test -e go; do sleep 0.02; done ;; esac\n")
        process = self.start("jobs.yaml")
        wait_for(lambda: self.running() == [1], "slice 1 runs")
        return process

    def forget_the_end_of_slice_0(self):
        """As the record is until that is committed, and for ever where the crash comes first."""
        draft = self.read("draft-0.1").strip().split("/slices/")[1]
        with sqlite3.connect(self.state_dir() / "state.db") as db:
            db.execute("UPDATE attempt SET outcome = NULL, ended_at = NULL, log = ? WHERE slice = 0", [f"slices/{draft}"])

    def test_logs_never_show_the_output_of_the_slice_that_came_after(self):
        for first, output in ((":", ""), ("echo out of 0", "out of 0\n")):
            with self.subTest(first=first):
                process = self.begin_noting_drafts(first)
                for state in ("live", "crashed", "resumed"):
                    if state == "crashed":
                        self.kill(process)
                    if state == "resumed":
                        self.write("go", "")
                        self.ok("jobs.yaml", "--resume")
                    else:
                        self.forget_the_end_of_slice_0()
                        self.assertEqual(self.ok("logs", "jobs.yaml", "1").stdout, "out of 1\n", state)
                    shown = self.ok("logs", "jobs.yaml", "0", "--attempt", "1")
                    self.assertEqual(shown.stdout, output, state)
                    self.assertEqual("written nothing" in shown.stderr or "wrote nothing" in shown.stderr, not output)
                os.unlink(self.dir / "go")
                shutil.rmtree(self.dir / ".runner")

    def test_what_a_lost_slice_left_empty_is_not_written_to_by_a_resume(self):
        self.spec("slices: 0-1\nn_procs: 1\ncommand: |\n"
                  "  test {slice}.{attempt} = 0.1 || echo out of {slice}.{attempt}\n"
                  "  while ! test -e go; do sleep 0.02; done\n")
        process = self.start("jobs.yaml")
        wait_for(lambda: self.running() == [0], "slice 0 runs")
        self.kill(process)
        process = self.start("jobs.yaml", "--resume")
        wait_for(lambda: self.attempts("number = 2 AND pid > 0") == [(0,)], "slice 0 runs again")
        wait_for(lambda: self.ok("logs", "jobs.yaml", "0").stdout == "out of 0.2\n", "it has written")
        self.assertEqual(self.ok("logs", "jobs.yaml", "0", "--attempt", "1").stdout, "")
        self.write("go", "")
        self.assertEqual(process.wait(), 0)

    def test_follow_ends_with_a_slice_that_wrote_nothing(self):
        self.spec("slices: 0-1\nn_procs: 1\ncommand: |\n  while ! test -e go-{slice}; do sleep 0.02; done\n"
                  "  test {slice} = 0 || echo out of 1\n")
        process = self.start("jobs.yaml")
        wait_for(lambda: self.running() == [0], "slice 0 runs")
        follow = self.start("logs", "jobs.yaml", "0", "-f")

        def has_opened_draft():
            for file in pathlib.Path(f"/proc/{follow.pid}/fd").iterdir():
                with contextlib.suppress(FileNotFoundError):  # closed meanwhile
                    if "/slices/.slot-" in os.readlink(file):
                        return True
            return False

        wait_for(has_opened_draft, "the draft is open")
        self.write("go-0", "")
        self.write("go-1", "")
        self.assertEqual(follow.communicate(timeout=30)[0], "")
        self.assertEqual(process.wait(), 0)

    def test_follow_shows_a_log_as_it_grows_and_ends_with_the_slice(self):
        process = self.begin()
        follow = self.start("logs", "jobs.yaml", "2", "-f")
        self.assertEqual(follow.stdout.readline(), "begin 2.1\n")
        self.assertIsNone(follow.poll())
        self.write("go", "")
        self.assertEqual(follow.communicate(timeout=30)[0], "end 2\n")
        self.assertEqual(follow.returncode, 0)
        process.wait()

    def test_follow_waits_for_a_slice_that_has_not_begun(self):
        process = self.begin()
        follow = self.start("logs", "jobs.yaml", "9", "-f")
        self.write("go", "")
        self.assertEqual(follow.communicate(timeout=30)[0], "begin 9.1\nend 9\n")
        self.assertEqual(follow.returncode, 0)
        process.wait()

    def test_follow_ends_when_runner_is_killed(self):
        process = self.begin()
        follow = self.start("logs", "jobs.yaml", "2", "-f")
        self.assertEqual(follow.stdout.readline(), "begin 2.1\n")
        self.kill(process)
        self.assertEqual(follow.communicate(timeout=30)[0], "")

    def test_attempts_are_told_apart(self):
        self.spec("slices: 0-0\nretries: 2\nretry_delay: 1ms\ncommand: echo try {attempt}; test {attempt} = 3\n")
        self.ok("jobs.yaml")
        for number in (1, 2, 3):
            self.assertEqual(self.ok("logs", "jobs.yaml", "0", "--attempt", number).stdout, f"try {number}\n")
        self.assertEqual(self.ok("logs", "jobs.yaml", "0").stdout, "try 3\n")
        self.assertIn("has no attempt 4", self.ok("logs", "jobs.yaml", "0", "--attempt", "4", code=2).stderr)

    def test_of_two_specs_of_one_name_the_one_that_ran_is_shown(self):
        for name in "ab":
            self.write(f"{name}.yaml", f"name: x\nslices: 0-0\ncommand: echo {name}; exit 1\n")
        self.ok("a.yaml", code=1)
        self.ok("b.yaml", code=1)
        status = self.ok("status", "a.yaml")
        self.assertIn("runner: this run is of b.yaml, which shares its record with a.yaml: give one", status.stderr)
        self.assertIn("to run what is left: runner b.yaml --resume\n", status.stdout)
        self.assertIn("b.yaml", status.stdout)
        self.assertEqual(self.ok("status", "b.yaml").stderr, "")

    def test_looking_does_not_disturb(self):
        """Readers come and go while a run records thousands of ends; none of them fails, nothing is missing."""
        self.spec("slices: 0-2999\nn_procs: 4\ncommand: [/bin/true]\n")
        process = self.start("jobs.yaml")
        wait_for(lambda: self.attempts("true"), "the run has begun")
        last = looks = 0
        while process.poll() is None:
            now = self.job()["succeeded"]
            self.assertGreaterEqual(now, last)
            last, looks = now, looks + 1
        self.assertEqual(process.returncode, 0)
        self.assertGreater(looks, 1)
        self.assertEqual(self.job()["succeeded"], 3000)

    def test_what_a_killed_runner_left_running_is_ended_before_its_slice_runs_again(self):
        """The death of runner takes its children along, but not what those have started in the background."""
        self.spec("slices: 0-0\ncommand: |\n"
                  "  if ! test -e go; then\n"
                  "    setsid sh -c 'echo $$ > survivor; exec sleep 1000' &\n"
                  "    while :; do sleep 0.02; done\n"
                  "  fi\n"
                  "  grep -s '^State:.[^ZX]' /proc/$(cat survivor)/status > wrong || rm wrong\n")
        process = self.start("jobs.yaml")
        wait_for(lambda: (self.dir / "survivor").exists() and self.read("survivor") and self.running() == [0],
                 "the slice's own child runs")
        self.kill(process)
        survivor = int(self.read("survivor"))
        try:
            os.kill(survivor, 0)  # it does survive
            self.write("go", "")
            self.ok("jobs.yaml", "--resume")
            self.assertFalse((self.dir / "wrong").exists())
        finally:
            try:
                os.kill(survivor, signal.SIGKILL)
            except ProcessLookupError:
                pass


class Slow(RunnerTest):
    def test_status_marks_a_slice_that_takes_much_longer_than_the_others(self):
        self.spec("slices: 0-5\nn_procs: 2\ncommand: 'test {slice} != 0 || while ! test -e go; do sleep 0.05; done'\n")
        process = self.start("jobs.yaml")
        wait_for((self.state_dir() / "latest").exists, "the run is recorded")
        wait_for(lambda: self.status()["jobs"][0]["succeeded"] == 5, "the others are done")
        wait_for(lambda: self.status()["jobs"][0]["running_attempts"][0]["slow"], "it is slow by now")
        self.assertRegex(self.ok("status", "jobs.yaml").stdout, r"\(slow: [\d.]+ times the median\)")
        self.write("go", "")
        self.assertEqual(process.wait(timeout=30), 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
