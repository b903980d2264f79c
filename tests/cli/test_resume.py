"""What is left is finished, nothing is lost or repeated unsaid."""
import os
import signal
import subprocess
import unittest

from support import RunnerTest, crash, engine_pid, wait_for


class Resume(RunnerTest):
    def test_failed_slices_run_again_and_nothing_else(self):
        self.spec("slices: 0-9\ncommand: echo {slice} >> ran; test -e fixed || test $(({slice} % 3)) -ne 0\n")
        self.ok("jobs.yaml", code=1)
        self.write("fixed", "")
        self.write("ran", "")
        self.ok("jobs.yaml", "--resume")
        self.assertEqual(sorted(self.read("ran").split()), ["0", "3", "6", "9"])
        self.assertEqual(self.rows("SELECT slice, number, outcome FROM attempt WHERE slice IN (3, 4) ORDER BY 1, 2"),
                         [(3, 1, "failed"), (3, 2, "succeeded"), (4, 1, "succeeded")])
        again = self.ok("resume", "jobs.yaml")
        self.assertIn("nothing left", again.stderr)

    def test_a_new_run_says_that_the_one_before_is_left_behind(self):
        self.spec("slices: 0-1\ncommand: test -e fixed\n")
        first = self.ok("jobs.yaml", code=1)
        self.assertNotIn("new run", first.stderr)
        run_id = self.status()["run"]["id"]
        self.write("fixed", "")
        self.assertEqual(self.ok("jobs.yaml", "-q", "-n").stderr, "")
        second = self.ok("jobs.yaml")
        self.assertIn(f"this is a new run; --resume would have gone on with {run_id}, which left something undone: "
                      f"runner status jobs.yaml --run {run_id}\n", second.stderr)
        self.assertNotIn("new run", self.ok("jobs.yaml").stderr)  # the one before was completed
        self.spec("slices: 0-0\nkeep_runs: 1\ncommand: 'false'\n")
        self.ok("jobs.yaml", code=1)
        self.assertIn("left something undone and is forgotten now (keep_runs)", self.ok("jobs.yaml", code=1).stderr)

    def test_a_run_behind_which_another_was_begun_says_how_its_slices_run(self):
        """It said `--resume`, which goes on with the other one."""
        self.spec("slices: 0-9\ncommand: test {slice} -lt 5 || test -e fixed\n")
        self.ok("jobs.yaml", code=1)
        run_id = self.status()["run"]["id"]
        self.ok("jobs.yaml", "--slices", "5", code=1)
        status = self.ok("status", "jobs.yaml", "--run", run_id).stdout
        self.assertTrue(status.endswith("\nto run what is left: runner jobs.yaml --slices 5-9\n"), status)
        self.assertTrue(self.ok("status", "jobs.yaml").stdout.endswith(": runner jobs.yaml --resume\n"))
        self.write("fixed", "")
        self.ok(*status.rsplit(": runner ", 1)[1].split())

    def test_a_list_that_changed_is_told_from_a_spec_that_did(self):
        self.spec("slices: {files: '*.csv'}\ncommand: 'true'\n")
        self.write("a.csv", "")
        self.ok("jobs.yaml")
        self.write("b.csv", "")
        said = self.ok("jobs.yaml", "--resume", code=2).stderr
        self.assertRegex(said, r"what the slices of \S+/jobs.yaml are made from changed since run")
        self.assertIn("the list of slices changed (1 then, 2 now)\n", said)

    def test_a_run_that_could_not_begin_is_not_resumed(self):
        self.spec("slices: 0-3\nkeep_runs: 2\ncommand: test {slice} != 2\n")
        self.ok("jobs.yaml", code=1)
        run_id = self.status()["run"]["id"]
        latest = self.state_dir() / "latest"
        latest.unlink()
        os.makedirs(latest / "in the way")
        for _ in range(3):
            failed = self.ok("jobs.yaml", code=4)
            self.assertIn(f"{latest}: a directory is in the way, a symbolic link belongs there: remove it", failed.stderr)
        os.rmdir(latest / "in the way")
        os.rmdir(latest)
        self.assertEqual(self.status()["run"]["id"], run_id)
        self.assertIn("resumed: 3 of 4 slices done before", self.ok("jobs.yaml", "--resume", code=1).stderr)

    def test_the_run_of_another_spec_is_not_resumed(self):
        """Slices of this one were taken for done, because slices of that one were."""
        os.makedirs(self.dir / "other")
        command = "slices: 0-3\ncommand: echo {slice} >> marks; test {slice} != 2\n"
        for path in ("jobs.yaml", "other/jobs.yaml"):
            self.write(path, command)
        self.ok("jobs.yaml", "--state-dir", "shared", code=1)
        for more in ([], ["--accept-changes"]):
            refused = self.ok("other/jobs.yaml", "--state-dir", "shared", "--resume", *more, code=2)
            self.assertIn(f"the last run in {self.dir}/shared is of {self.dir}/jobs.yaml, which shares its record with "
                          f"{self.dir}/other/jobs.yaml: give one of them another `name`", refused.stderr)
        self.assertFalse((self.dir / "other/marks").exists())
        begun = self.ok("other/jobs.yaml", "--state-dir", "shared", code=1).stderr
        self.assertRegex(begun, r"would have gone on with \S+ of jobs.yaml, which shares its record with this spec and left")
        os.rename(self.dir / "other/jobs.yaml", self.dir / "other/moved.yaml")  # no other spec: the same elsewhere
        self.write("other/moved.yaml", "name: jobs\n" + command)
        resumed = self.ok("other/moved.yaml", "--state-dir", "shared", "--resume", "--accept-changes", code=1)
        self.assertIn("resumed: 3 of 4 slices done before", resumed.stderr)

    def test_resume_keeps_the_run_id(self):
        self.spec("slices: 0-1\ncommand: test -e fixed\n")
        self.ok("jobs.yaml", code=1)
        run_id = self.status()["run"]["id"]
        self.write("fixed", "")
        self.ok("jobs.yaml", "--resume")
        self.assertEqual(self.status()["run"]["id"], run_id)
        self.assertEqual(self.status()["run"]["resumes"], 1)

    def test_no_run_to_resume(self):
        self.spec("slices: 0-1\ncommand: 'true'\n")
        result = self.ok("jobs.yaml", "--resume", code=2)
        self.assertIn("no run", result.stderr)
        result = self.ok("jobs.yaml", "--resume", "--state-dir", "my record", code=2)
        self.assertIn("runner jobs.yaml --state-dir 'my record'", result.stderr)

    def crash(self, spec, ready):
        """Runs `spec` until ready(), then kills runner; returns when its children are gone too."""
        self.spec(spec)
        process = self.start("jobs.yaml")
        wait_for(ready, "the run is under way")
        crash(process)

    def test_after_a_crash_slices_that_may_have_run_are_named_and_run_again(self):
        self.crash("slices: 0-4\nn_procs: 2\ncommand: echo {slice} >> ran; test -e go || exec sleep 1000\n",
                   lambda: os.path.exists(self.dir / "ran") and len(self.read("ran").split()) == 2 and
                   len(self.rows("SELECT 1 FROM attempt WHERE pid > 0")) == 2)
        status = self.ok("status", "jobs.yaml").stdout
        self.assertRegex(status, r"may have run before, no end was recorded: 0-[12]\n")  # 2: if it was claimed already
        self.assertEqual(self.status()["jobs"][0]["may_have_run"]["indices"][0][0], 0)
        self.write("go", "")
        result = self.ok("jobs.yaml", "--resume")
        self.assertIn("may have run before", result.stderr)
        rows = self.rows("SELECT slice, number, outcome FROM attempt ORDER BY 1, 2")
        self.assertIn((0, 1, "lost"), rows)
        self.assertIn((0, 2, "succeeded"), rows)
        marks = self.read("ran").split()
        for i in range(5):
            named = [row for row in rows if row[0] == i]
            self.assertEqual(named[-1][2], "succeeded")
            self.assertLessEqual(marks.count(str(i)), len(named))

    def test_what_a_crash_left_alive_is_ended_before_its_slice_runs_again(self):
        # The child of the shell does not die with runner, as the shell itself does.
        self.crash("slices: 0-0\ncommand: 'test -e go || { (echo x > up; exec sleep 1000); true; }'\n",
                   lambda: (self.dir / "up").exists() and self.rows("SELECT 1 FROM attempt WHERE pid > 0"))
        survivor = f"RUNNER_RUN_ID={self.status()['run']['id']}".encode()

        def alive():
            found = []
            for process in filter(str.isdigit, os.listdir("/proc")):
                try:
                    with open(f"/proc/{process}/environ", "rb") as environ:
                        if survivor in environ.read().split(b"\0"):
                            found.append(process)
                except OSError:
                    pass
            return found

        self.assertNotEqual(alive(), [])
        self.write("go", "")
        self.ok("jobs.yaml", "--resume")
        self.assertEqual(alive(), [])

    def test_a_second_runner_is_refused(self):
        self.spec("slices: 0-0\ncommand: touch up; exec sleep 1000\n")
        process = self.start("jobs.yaml")
        wait_for(lambda: (self.dir / "up").exists() and self.rows("SELECT 1 FROM attempt WHERE pid > 0"),
                 "the slice is up and recorded")
        for args in (["jobs.yaml"], ["jobs.yaml", "--resume"]):
            result = self.ok(*args, code=75)
            self.assertIn(f"pid {engine_pid(process)} on ", result.stderr)
        live = self.status()
        self.assertTrue(live["run"]["live"])
        self.assertEqual(live["jobs"][0]["running"], 1)
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(), 128 + signal.SIGTERM)

    def test_a_changed_spec_is_shown_and_refused(self):
        self.spec("slices: {list: [a, b, c]}\ncommand: echo {item} >> ran; test {item} != b\n")
        self.ok("jobs.yaml", code=1)
        self.spec("slices: {list: [z, c, b, a]}\ncommand: echo {item} >> ran\n")
        result = self.ok("jobs.yaml", "--resume", code=2)
        self.assertIn("[z, c, b, a]", result.stderr)
        self.assertIn("--accept-changes", result.stderr)
        self.write("ran", "")
        accepted = self.ok("jobs.yaml", "--resume", "--accept-changes")
        self.assertIn("2 slices succeeded before the spec changed, and what came of that is kept; to run all of them as it "
                      "is now: runner jobs.yaml\n", accepted.stderr)
        self.assertEqual(sorted(self.read("ran").split()), ["b", "z"])
        self.assertEqual(self.status()["jobs"][0]["succeeded"], 4)
        self.ok("jobs.yaml", "--resume")

    def test_a_change_is_accepted_where_nothing_is_left_to_run(self):
        self.spec("slices: 0-5\ncommand: echo {slice} >> ran; test {slice} != 5\n")
        self.ok("jobs.yaml", code=1)
        for slices in ("0-4", "0-3 # a comment"):
            self.spec(f"slices: {slices}\ncommand: echo {{slice}} >> ran\n")
            self.ok("jobs.yaml", "--resume", code=2)
            accepted = self.ok("jobs.yaml", "--resume", "--accept-changes").stderr
            self.assertRegex(accepted, r"all [45] slices succeeded")
            self.assertNotIn("nothing left to run", accepted)
            again = self.ok("jobs.yaml", "--resume").stderr
            self.assertRegex(again, r"^runner: nothing left to run: every slice of run \S+ succeeded\n$")
        self.assertEqual(len(self.read("ran").split()), 6)
        self.spec("slices: 0-3\ncommand: 'true'\n")
        self.assertIn("the change of the spec is not accepted by that",
                      self.ok("jobs.yaml", "--resume", "--accept-changes", "--slices", "1").stderr)
        self.ok("jobs.yaml", "--resume", code=2)

    def test_a_subset_of_a_list_that_changed_is_not_guessed(self):
        self.spec("slices: {list: [a, b, c]}\ncommand: test -e fixed\n")
        self.ok("jobs.yaml", "--slices", "a,b", code=1)
        self.spec("slices: {list: [z, b, a]}\ncommand: test -e fixed\n")
        result = self.ok("jobs.yaml", "--resume", "--accept-changes", code=2)
        self.assertIn("begun with --slices", result.stderr)

    def test_the_exit_code_tells_of_what_was_asked_for(self):
        self.spec("slices: 0-9\ncommand: test -e fixed\n")
        self.ok("jobs.yaml", code=1)
        self.write("fixed", "")
        self.ok("jobs.yaml", "--resume", "--slices", "3")
        self.ok("jobs.yaml", "--resume", "--slices", "3")
        self.assertEqual(self.status()["jobs"][0]["succeeded"], 1)

    def test_a_subset_is_finished_as_a_subset(self):
        self.spec("slices: 0-99\ncommand: echo {slice} >> ran; test -e fixed || test {slice} != 7\n")
        self.ok("jobs.yaml", "--slices", "5-9", code=1)
        self.assertEqual(self.status()["jobs"][0]["total"], 5)
        self.write("fixed", "")
        self.ok("jobs.yaml", "--resume")
        self.assertEqual(sorted(self.read("ran").split()), ["5", "6", "7", "7", "8", "9"])

    def test_slices_that_the_run_was_begun_without_are_refused(self):
        self.spec("slices: 0-9\ncommand: echo {slice} >> ran\n")
        self.ok("jobs.yaml", "--slices", "0-4")
        result = self.ok("jobs.yaml", "--resume", "--slices", "3-7", code=2)
        self.assertIn("5-7 are not of run", result.stderr)
        self.assertIn("--slices 5-7", result.stderr)
        self.assertEqual(len(self.read("ran").split()), 5)

    def test_status_lists_what_a_stopped_run_did_not_come_to(self):
        self.spec("slices: 0-19\nn_procs: 1\nmax_failed: 2\ncommand: echo {slice} >> ran; test {slice} -gt 8\n")
        self.ok("jobs.yaml", "--slices", "3-14", code=3)
        ran = len(self.read("ran").split())
        waiting = self.status()["jobs"][0]["waiting_slices"]
        self.assertEqual((waiting["count"], waiting["indices"]), (12 - ran, [[3 + ran, 14]]))
        self.assertIn(f"not run, {12 - ran} slices: {waiting['selection']}\n", self.ok("status", "jobs.yaml").stdout)
        self.ok("jobs.yaml", "--resume", "--slices", "9-14")
        self.assertEqual(self.status()["jobs"][0]["waiting_slices"]["indices"], [[3 + ran, 8]] if ran < 6 else [])

    def test_a_new_run_that_is_refused_leaves_no_state_directory(self):
        self.spec("slices: 0-9\ncommand: 'true'\n")
        self.assertIn("--slices: ", self.ok("jobs.yaml", "--slices", "99", code=2).stderr)
        self.assertFalse((self.dir / ".runner").exists())

    def test_settings_of_the_first_invocation_are_kept(self):
        self.spec("slices: 0-1\nvars: {x: none}\ncommand: echo {x} >> ran; test -e fixed\n")
        self.ok("jobs.yaml", "--set", "x=mine", code=1)
        self.write("fixed", "")
        dry = self.ok("jobs.yaml", "--resume", "--dry-run")
        self.assertEqual(dry.stdout.count("mine"), 2)
        refused = self.ok("jobs.yaml", "--resume", "--set", "x=two words", code=2).stderr
        self.assertIn("runner jobs.yaml --set 'x=two words' --resume --accept-changes\n", refused)
        self.assertIn("to start anew: runner jobs.yaml --set 'x=two words'\n", refused)
        self.ok("jobs.yaml", "--resume")
        self.assertEqual(self.read("ran").split(), ["mine"] * 4)

    def test_the_selection_that_status_prints_can_be_pasted_back(self):
        self.spec("slices: 10-19\ncommand: echo {slice} >> ran; case {slice} in 12|14|15|16) exit 1;; esac\n")
        self.ok("jobs.yaml", code=1)
        selection = self.status()["jobs"][0]["failed_slices"]["selection"]
        self.assertEqual(selection, "12,14-16")
        self.write("ran", "")
        self.ok("jobs.yaml", "--slices", selection, code=1)
        self.assertEqual(sorted(self.read("ran").split()), ["12", "14", "15", "16"])

    def test_so_can_a_long_list_that_the_summary_and_the_table_print(self):
        self.spec("slices: 0-39\ncommand: echo {slice} >> ran; exit $(({slice} % 2))\n")
        odd = list(map(str, range(1, 40, 2)))
        for text in (self.ok("jobs.yaml", code=1).stderr, self.ok("status", "jobs.yaml").stdout):
            self.assertIn(f"exit code 1, 20 slices: {','.join(odd)}\n", text)
        self.write("ran", "")
        self.ok("jobs.yaml", "--slices", ",".join(odd), code=1)
        self.assertEqual(sorted(self.read("ran").split()), sorted(odd))

    def test_of_a_list_that_is_too_long_it_is_said_where_it_is(self):
        self.spec("slices: 0-1999\nn_procs: 8\ncommand: exit $(({slice} % 2))\n")
        said = self.ok("jobs.yaml", code=1).stderr
        where = " and 988 more, all of them: runner status jobs.yaml --json\n"
        self.assertIn(where, said)
        self.assertIn(where, self.ok("status", "jobs.yaml").stdout)
        selection = self.status()["jobs"][0]["failed_slices"]["selection"]
        self.assertEqual(selection, ",".join(map(str, range(1, 2000, 2))))


class Signals(RunnerTest):
    def begin(self, command, n=4):
        self.spec(f"slices: 0-{n - 1}\nn_procs: 2\ngrace: 300ms\ncommand: |\n  echo x >> up-{{slice}}\n  {command}\n")
        process = self.start("jobs.yaml")
        wait_for(lambda: (self.dir / "up-0").exists() and (self.dir / "up-1").exists(), "two slices run")
        return process

    def test_the_first_interrupt_lets_running_slices_end(self):
        process = self.begin("while ! test -e go; do sleep 0.05; done")
        process.send_signal(signal.SIGINT)
        first = process.stderr.readline()
        while "SIGINT" not in first:
            first = process.stderr.readline()
        self.write("go", "")
        _, stderr = process.communicate()
        self.assertEqual(process.returncode, 130)
        self.assertEqual([row[2] for row in self.rows()], ["succeeded"] * 2)
        self.assertIn("--resume", stderr)
        self.ok("jobs.yaml", "--resume")

    def test_the_second_interrupt_terminates_them(self):
        process = self.begin("exec sleep 1000")
        process.send_signal(signal.SIGINT)
        while "SIGINT" not in process.stderr.readline():
            pass
        process.send_signal(signal.SIGINT)
        process.communicate()
        self.assertEqual(process.returncode, 130)
        self.assertEqual([row[2] for row in self.rows()], ["cancelled"] * 2)

    def test_sigterm_terminates_and_kills_after_the_grace(self):
        process = self.begin("trap '' TERM; while :; do sleep 0.1; done")
        process.send_signal(signal.SIGTERM)
        process.communicate()
        self.assertEqual(process.returncode, 143)
        self.assertEqual([row[2] for row in self.rows()], ["cancelled"] * 2)

    def test_the_third_interrupt_kills_at_once(self):
        self.spec("slices: 0-0\ngrace: 1000s\ncommand: trap '' TERM; echo x > up; while :; do sleep 0.1; done\n")
        process = self.start("jobs.yaml")
        wait_for((self.dir / "up").exists, "the slice is up")
        for word in ("no further slice", "terminating", "killing"):
            process.send_signal(signal.SIGINT)
            line = process.stderr.readline()
            while word not in line:
                self.assertNotEqual(line, "", f"runner ended without saying '{word}'")
                line = process.stderr.readline()
        process.communicate()
        self.assertEqual(process.returncode, 130)

    def test_output_that_nobody_reads_can_be_left(self):
        self.spec("slices: 0-0\ncommand: head -c 1000000 /dev/zero\n")
        process = self.start("jobs.yaml", "--print", "group", stdout=subprocess.PIPE)
        while "succeeded" not in process.stderr.readline():
            pass
        # The signal that comes in the instant before the end changes nothing; the next one ends it.
        wait_for(lambda: process.send_signal(signal.SIGTERM) or process.poll() is not None, "it ends", 10)
        self.assertEqual(process.returncode, -signal.SIGTERM)
        self.assertEqual(self.status()["run"]["state"], "completed")

    def test_a_signal_that_comes_when_all_is_done_changes_nothing(self):
        process = self.begin("while ! test -e go; do sleep 0.05; done", n=2)
        process.send_signal(signal.SIGHUP)
        while "SIGHUP" not in process.stderr.readline():
            pass
        self.write("go", "")
        process.communicate()
        self.assertEqual(process.returncode, 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
