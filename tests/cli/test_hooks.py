"""prepare, shutdown and teardown, of a run and of a job: when they run, when not, and what is said."""
import signal
import unittest

from support import RunnerTest, crash, wait_for

HOOKS = """
prepare: echo prepare >> marks; test ! -e no-prepare
shutdown: {command: echo shutdown >> marks}
teardown: echo teardown >> marks; test ! -e no-teardown
slices: 0-1
n_procs: 1
command: "echo {slice} >> marks; test -e go || sleep 60; test ! -e broken-{slice}"
"""


class Hooks(RunnerTest):
    def setUp(self):
        super().setUp()
        self.spec(HOOKS)
        self.write("go", "")

    def marks(self):
        path = self.dir / "marks"
        return path.read_text().split() if path.exists() else []

    def take_marks(self):
        marks = self.marks()
        (self.dir / "marks").unlink(missing_ok=True)
        return marks

    def hooks(self):
        return dict(self.rows("SELECT name, state FROM job WHERE kind = 'hook' AND run = (SELECT max(number) FROM run)"))

    def test_all_of_them_around_a_run_that_succeeds(self):
        result = self.ok("jobs.yaml")
        self.assertEqual(self.marks(), ["prepare", "0", "1", "shutdown", "teardown"])
        self.assertEqual(set(self.hooks().values()), {"completed"})
        self.assertIn("jobs: all 2 slices succeeded", result.stderr)
        self.assertRegex(self.run_log(), r"\[jobs:prepare\] pid:\d+ completed\n(.*\n)*.*\[jobs/0\] pid:\d+ running")
        self.assertIn("hook    jobs:teardown: completed\n", self.ok("status", "jobs.yaml").stdout)
        self.assertIn("nothing left to run", self.ok("jobs.yaml", "--resume").stderr)
        self.assertEqual(len(self.marks()), 5)

    def test_a_dry_run_says_which_commands_are_no_slices(self):
        self.spec("slices: 0-1\ncommand: work {slice}\nprepare: make ready\nservices: {db: ./serve}\n")
        self.assertEqual(self.ok("jobs.yaml", "-n").stdout,
                         "work 0\nwork 1\n# service db\n./serve\n# hook jobs:prepare\nmake ready\n")

    def test_a_prepare_that_fails_disables_the_slices(self):
        self.write("no-prepare", "")
        result = self.ok("jobs.yaml", code=1)
        self.assertEqual(self.marks(), ["prepare", "teardown"])
        self.assertIn("failed: jobs:prepare: exit code 1", result.stderr)
        self.assertIn("jobs: disabled: it needs jobs:prepare, which did not complete (it failed)", result.stderr)

    def test_shutdown_is_for_success_and_teardown_for_any_end(self):
        self.write("broken-0", "")
        self.ok("jobs.yaml", code=1)
        self.assertEqual(self.take_marks(), ["prepare", "0", "1", "teardown"])
        (self.dir / "broken-0").unlink()
        result = self.ok("jobs.yaml", "--resume")
        self.assertEqual(self.marks(), ["prepare", "0", "shutdown", "teardown"])
        self.assertIn("jobs:prepare runs again, because jobs:teardown has run since", result.stderr)
        self.assertIn(" (1 retry)\n", result.stderr)  # of a slice: hooks are not counted

    def test_a_teardown_that_fails_is_told_and_runs_again(self):
        self.write("no-teardown", "")
        self.assertIn("jobs:teardown", self.ok("jobs.yaml", code=1).stderr)
        (self.dir / "no-teardown").unlink()
        self.take_marks()
        self.ok("jobs.yaml", "--resume")
        self.assertEqual(self.marks(), ["teardown"])

    def test_a_quiet_run_does_not_count_them_as_slices(self):
        self.spec("slices: 0-1\nshutdown: 'false'\nteardown: 'false'\ncommand: 'true'\n")
        self.assertIn("\njobs: hook jobs:shutdown failed, hook jobs:teardown failed; to run what is left: ",
                      self.ok("jobs.yaml", "-q", code=1).stderr)

    def test_teardown_runs_also_after_ctrl_c(self):
        (self.dir / "go").unlink()
        for number in (signal.SIGINT, signal.SIGTERM):
            process = self.start("jobs.yaml")
            wait_for(lambda: "0" in self.marks(), "the slice runs")
            process.send_signal(signal.SIGINT)
            if number == signal.SIGINT:
                wait_for(lambda: "SIGINT" in self.run_log(), "it is noticed")
                self.write("go", "")
                process.send_signal(signal.SIGTERM)
            else:
                process.send_signal(signal.SIGTERM)
            self.assertEqual(process.wait(timeout=30), 128 + signal.SIGINT)
            self.assertEqual(self.take_marks(), ["prepare", "0", "teardown"])
            (self.dir / "go").unlink(missing_ok=True)

    def test_a_shutdown_that_ctrl_c_kept_from_running_is_no_success(self):
        (self.dir / "go").unlink()
        self.spec("shutdown: echo shutdown >> marks\nslices: 0-0\n"
                  "command: 'echo 0 >> marks; while ! test -e go; do sleep 0.02; done'\n")
        process = self.start("jobs.yaml")
        wait_for(lambda: "0" in self.marks(), "the slice runs")
        process.send_signal(signal.SIGINT)
        wait_for(lambda: "SIGINT" in self.run_log(), "it is noticed")
        self.write("go", "")
        self.assertEqual(process.wait(timeout=30), 128 + signal.SIGINT)
        self.assertEqual(self.take_marks(), ["0"])
        self.ok("jobs.yaml", "--resume")
        self.assertEqual(self.marks(), ["shutdown"])

    def test_without_a_record_nothing_clears_up_and_the_run_ends(self):
        self.spec("grace: 1s\nslices: 0-0\nteardown: echo teardown >> marks\n"
                  "services: {s: exec sleep 60}\ncommand: mv .runner gone; exec sleep 60\n")
        said = self.ok("jobs.yaml", code=4).stderr
        self.assertIn("the record could not be kept", said)
        self.assertEqual(self.marks(), [])

    def test_a_teardown_without_anything_to_clear_up_keeps_no_run_from_completing(self):
        self.spec("allow_empty: true\nslices: {list: []}\nteardown: echo teardown >> marks\ncommand: 'true'\n")
        self.assertNotIn("to run what is left", self.ok("jobs.yaml").stderr)
        self.assertEqual(self.rows("SELECT state FROM run"), [("completed",)])
        self.assertEqual(self.marks(), [])

    def test_after_a_crash_prepare_is_not_repeated_and_teardown_is_made_up_for(self):
        (self.dir / "go").unlink()
        process = self.start("jobs.yaml")
        wait_for(lambda: "0" in self.marks(), "the slice runs")
        crash(process)
        self.write("go", "")
        self.take_marks()
        result = self.ok("jobs.yaml", "--resume")
        self.assertEqual(self.marks(), ["0", "1", "shutdown", "teardown"])
        self.assertIn("jobs:teardown had not run to its end: it runs when what is left is done", result.stderr)

    def test_a_crash_in_the_teardown_leaves_only_that_to_do(self):
        self.spec(HOOKS.replace("echo teardown >> marks;", "echo teardown >> marks; test -e go2 || sleep 60;"))
        process = self.start("jobs.yaml")
        wait_for(lambda: "teardown" in self.marks(), "the teardown runs")
        crash(process)
        self.write("go2", "")
        self.take_marks()
        self.ok("jobs.yaml", "--resume")
        self.assertEqual(self.marks(), ["teardown"])

    def crash_in_a_resumed_shutdown(self, spec):
        """The first session ends with a slice failed and torn down; the resume is killed in its shutdown."""
        self.spec(spec.replace("echo shutdown >> marks", "echo shutdown >> marks; test -e shut || sleep 60"))
        self.write("broken-0", "")
        self.ok("jobs.yaml", code=1)
        self.assertEqual(self.take_marks()[-1], "teardown")
        (self.dir / "broken-0").unlink()
        process = self.start("jobs.yaml", "--resume")
        wait_for(lambda: "shutdown" in self.marks(), "the shutdown runs")
        crash(process)
        self.write("shut", "")
        self.take_marks()

    def test_a_crash_in_the_shutdown_of_a_resume_is_cleared_up_after(self):
        for name, spec in (("with prepare", HOOKS), ("without", HOOKS.replace("prepare: ", "# prepare: "))):
            with self.subTest(name):
                self.crash_in_a_resumed_shutdown(spec)
                result = self.ok("jobs.yaml", "--resume")
                self.assertEqual(self.take_marks(), ["shutdown", "teardown"])
                self.assertIn("jobs:teardown had not run to its end", result.stderr)
                self.assertIn("nothing left to run", self.ok("jobs.yaml", "--resume").stderr)
                self.assertEqual(self.marks(), [])
                (self.dir / "shut").unlink()

    def test_a_shutdown_that_runs_again_finds_what_prepare_makes(self):
        for name, hooks, again in (
                ("all", HOOKS, ["prepare", "shutdown", "teardown"]),
                ("no prepare", HOOKS.replace("prepare: ", "# prepare: "), ["shutdown", "teardown"]),
                ("no teardown", HOOKS.replace("teardown: ", "# teardown: "), ["shutdown"])):
            with self.subTest(name):
                self.spec(hooks.replace("shutdown >> marks", "shutdown >> marks; test ! -e no-shutdown"))
                self.write("no-shutdown", "")
                self.ok("jobs.yaml", code=1)
                self.take_marks()
                (self.dir / "no-shutdown").unlink()
                result = self.ok("jobs.yaml", "--resume")
                self.assertEqual(self.take_marks(), again)
                self.assertEqual("jobs:prepare runs again" in result.stderr, name == "all")

    def test_a_shutdown_of_a_job_that_runs_again_is_within_the_hooks_of_the_run(self):
        self.spec("prepare: echo prepare >> marks\nteardown: echo teardown >> marks\njobs:\n"
                  "  a: {slices: 0-0, command: 'true', prepare: echo a:prepare >> marks,\n"
                  "      shutdown: 'echo a:shutdown >> marks; test ! -e no-shutdown', teardown: echo a:teardown >> marks}\n")
        self.write("no-shutdown", "")
        self.ok("jobs.yaml", code=1)
        self.take_marks()
        (self.dir / "no-shutdown").unlink()
        self.ok("jobs.yaml", "--resume")
        self.assertEqual(self.marks(), ["prepare", "a:prepare", "a:shutdown", "a:teardown", "teardown"])

    def test_what_was_torn_down_is_prepared_again_though_the_session_between_came_to_nothing(self):
        self.spec("prepare: 'echo prepare >> marks; test ! -e no-prepare'\nteardown: echo teardown >> marks\njobs:\n"
                  "  a: {slices: 0-1, command: 'test -e made && test ! -e broken-{slice}',\n"
                  "      prepare: echo a:prepare >> marks; touch made, teardown: echo a:teardown >> marks; rm -f made}\n")
        self.write("broken-0", "")
        self.ok("jobs.yaml", code=1)
        (self.dir / "broken-0").unlink()
        self.write("no-prepare", "")
        self.ok("jobs.yaml", "--resume", code=1)
        (self.dir / "no-prepare").unlink()
        self.take_marks()
        self.ok("jobs.yaml", "--resume")
        self.assertEqual(self.marks(), ["prepare", "a:prepare", "a:teardown", "teardown"])

    def test_hooks_of_a_job(self):
        self.spec("jobs:\n"
                  "  a: {command: echo a >> marks, prepare: echo a:prepare >> marks, teardown: echo a:teardown >> marks,\n"
                  "      shutdown: echo a:shutdown >> marks}\n"
                  "  b: {command: echo b >> marks, needs: a}\n"
                  "  c: {command: echo c >> marks, prepare: exit 1, teardown: echo c:teardown >> marks}\n")
        self.ok("jobs.yaml", code=1)
        marks = self.marks()
        self.assertEqual([m for m in marks if m[0] == "a" and m != "a:teardown"], ["a:prepare", "a", "a:shutdown"])
        self.assertGreater(marks.index("b"), marks.index("a:shutdown"))
        self.assertGreater(marks.index("a:teardown"), marks.index("a:shutdown"))
        self.assertNotIn("c", marks)
        self.assertIn("c:teardown", marks)
        self.take_marks()
        self.ok("jobs.yaml", "--slices", "a")
        self.assertEqual(self.marks(), ["a:prepare", "a", "a:shutdown", "a:teardown"])

    def test_a_hook_has_its_own_timeout_and_log(self):
        self.spec("prepare: {command: 'echo preparing; sleep 60', timeout: 200ms, grace: 100ms}\nslices: 0-0\ncommand: 'true'\n")
        self.ok("jobs.yaml", code=1)
        self.assertEqual(self.rows("SELECT outcome FROM attempt"), [("timed_out",)])
        self.assertEqual(self.ok("logs", "jobs.yaml", "jobs:prepare").stdout, "preparing\n")

    def test_a_hook_takes_what_does_not_speak_of_slices(self):
        self.spec("vars: {out: 'x y', mine: '{slice}-{item}'}\nenv: {OUT: '{out}', ITEM: '{item}'}\nslices: {list: [a]}\n"
                  "prepare: 'echo {out} \"$OUT\" \"${ITEM-unset}\" > prepared'\ncommand: 'true'\n")
        self.ok("jobs.yaml")
        self.assertEqual(self.read("prepared"), "x y x y unset\n")


if __name__ == "__main__":
    unittest.main(verbosity=2)
