"""Several jobs in one run: order, shares, what is disabled, what is selected, and how all of it is shown."""
import re
import unittest

from support import RUNNER, RunnerTest, crash, wait_for

PIPELINE = """
n_procs: 3
vars: {who: all}
jobs:
  prepare: {command: "echo {who} {name} >> marks"}
  work:
    slices: 0-9
    needs: prepare
    vars: {who: some}
    command: "echo {who} {name}/{slice} >> marks; test ! -e broken-{slice}"
  check: {slices: 0-9, needs_each: work, command: "echo {who} {name}/{slice} >> marks"}
  merge: {command: "echo {who} {name} >> marks", needs: [work, check]}
"""


class Jobs(RunnerTest):
    def setUp(self):
        super().setUp()
        self.spec(PIPELINE)

    def marks(self):
        return self.read("marks").split("\n")[:-1]

    def states(self):
        return dict(self.rows("SELECT name, state FROM job WHERE run = (SELECT max(number) FROM run)"))

    def test_jobs_follow_what_they_need(self):
        result = self.ok("jobs.yaml")
        marks = self.marks()
        self.assertEqual(marks[0], "all prepare")
        self.assertEqual(marks[-1], "all merge")
        self.assertEqual(len(marks), 22)
        for i in range(10):
            self.assertLess(marks.index(f"some work/{i}"), marks.index(f"all check/{i}"))
        self.assertEqual(set(self.states().values()), {"completed"})
        self.assertIn("jobs: all 4 jobs completed in", result.stderr)

    def test_run_log_shows_every_life_from_initial_to_completed(self):
        self.spec("log: {level: debug}\n" + PIPELINE)
        self.ok("jobs.yaml")
        lives = {}
        for name, state in re.findall(r"\[(\S+)\] pid:\d+ (\w+)", self.run_log()):
            lives.setdefault(name, []).append(state)
        whole = ["initial", "ready", "running", "completed"]
        for system in ("jobs", "prepare", "work", "check", "merge"):
            self.assertEqual(lives[system], whole, system)
        for i in range(10):
            self.assertEqual(lives[f"work/{i}"], whole)

    def test_what_needs_a_failed_slice_is_disabled_and_runs_after_a_resume(self):
        self.write("broken-4", "")
        result = self.ok("jobs.yaml", code=1)
        self.assertEqual(self.states(), {"prepare": "completed", "work": "terminated", "check": "terminated",
                                         "merge": "disabled"})
        reason = "it needs work, which did not complete (1 of 10 slices failed)"
        self.assertIn(f"merge: disabled: {reason}\n", result.stderr)
        self.assertRegex(self.run_log(), r"\[check/4\] pid:\d+ disabled, it needs the same slice of work, which failed")
        status = self.ok("status", "jobs.yaml").stdout
        self.assertIn(f"job     merge: disabled: {reason}\n", status)
        self.assertEqual([(j["name"], j["state"], j["reason"]) for j in self.status()["jobs"]][3],
                         ("merge", "disabled", reason))
        (self.dir / "broken-4").unlink()
        before = self.marks()
        self.ok("jobs.yaml", "--resume")
        self.assertEqual(sorted(self.marks()[len(before):]), ["all check/4", "all merge", "some work/4"])
        self.assertEqual(set(self.states().values()), {"completed"})

    def test_allow_failures(self):
        self.spec(PIPELINE.replace("needs: prepare\n", "needs: prepare\n    allow_failures: 10%\n")
                  .replace("needs: [work, check]", "needs: [work]"))
        self.write("broken-4", "")
        self.ok("jobs.yaml", code=1)
        self.assertEqual(self.states()["merge"], "completed")

    def test_slices_of_jobs_by_name(self):
        self.ok("jobs.yaml", "--slices", "work/3,7-8", "--slices", "merge")
        self.assertEqual(sorted(self.marks()), ["all merge", "some work/3", "some work/7", "some work/8"])
        self.ok("jobs.yaml", "--resume")  # nothing left: the other jobs are no part of this run
        self.assertEqual(len(self.marks()), 4)
        for wrong, said in (("3", "`3` names no job: write "), ("werk/3", "write work/LIST"),
                            ("work/10", "10")):
            result = self.ok("jobs.yaml", "--slices", wrong, code=2)
            self.assertIn(said, result.stderr)

    def test_a_slice_that_needs_one_that_is_left_out_is_disabled(self):
        self.spec("jobs:\n  a: {slices: 0-3, command: 'true'}\n  b: {slices: 0-3, needs_each: a, command: 'echo {slice} >> marks'}\n")
        result = self.ok("jobs.yaml", "--slices", "a/0-1", "--slices", "b", code=1)
        self.assertEqual(sorted(self.marks()), ["0", "1"])
        self.assertIn("b: 4 slices: 2 succeeded, 2 not run\n", result.stderr)
        self.assertIn("[b/2] pid", self.run_log())
        result = self.ok("jobs.yaml", "--resume", code=1)  # nor when a was done before
        self.assertEqual(sorted(self.marks()), ["0", "1"])
        self.assertIn("b: disabled: 2 of 4 slices did not run\n", result.stderr)
        foreign = self.ok("jobs.yaml", "--resume", "--slices", "a/2", code=2).stderr
        self.assertIn("--slices: a/2 is not of run ", foreign)
        self.assertIn(" with --slices a/0-1; in a run of their own: runner jobs.yaml --slices a/2\n", foreign)

    def test_what_is_left_for_another_time_is_not_shut_down(self):
        self.spec("shutdown: echo all >> marks\njobs:\n"
                  "  a: {command: test -e go, shutdown: echo a >> marks}\n"
                  "  b: {command: test -e go, shutdown: echo b >> marks}\n")
        self.ok("jobs.yaml", code=1)
        self.write("go", "")
        self.ok("jobs.yaml", "--resume", "--slices", "b")
        self.assertEqual(self.marks(), ["b"])
        self.ok("jobs.yaml", "--resume")
        self.assertEqual(self.marks(), ["b", "a", "all"])

    def test_one_job_may_be_named_too(self):
        self.spec("jobs: {only: {slices: 0-3, command: 'echo {slice} >> marks'}}\n")
        self.ok("jobs.yaml", "--slices", "only/2", "--slices", "1")
        self.assertEqual(sorted(self.marks()), ["1", "2"])
        self.assertIn("no slice only/7", self.ok("jobs.yaml", "--slices", "only/7", code=2).stderr)

    def test_failed_slices_are_printed_as_slices_takes_them(self):
        self.write("broken-4", "")
        self.write("broken-7", "")
        said = self.ok("jobs.yaml", code=1).stderr
        self.assertIn("exit code 1, 2 slices: work/4,7\n", said)
        self.assertEqual(self.ok("jobs.yaml", "-n", "--slices", "work/4,7").stdout.count("\n"), 2)

    def test_logs_by_job(self):
        self.spec("jobs: {a: {slices: 0-1, command: 'echo a {slice}'}, b: {command: echo b}}\n")
        self.ok("jobs.yaml")
        self.assertEqual(self.ok("logs", "jobs.yaml", "a/1").stdout, "a 1\n")
        self.assertEqual(self.ok("logs", "jobs.yaml", "b").stdout, "b\n")
        self.assertIn("whose slices are called JOB/SLICE", self.ok("logs", "jobs.yaml", "1", code=2).stderr)

    def test_check_draws_the_jobs_as_a_tree(self):
        drawn = self.ok("check", "jobs.yaml").stdout
        self.assertIn("jobs\n"
                      "  `-- prepare  1 slice: 0\n"
                      "      `-- work  10 slices: 0 ... 9, after prepare\n"
                      "          `-- check  10 slices: 0 ... 9, each after the same slice of work\n"
                      "              `-- merge  1 slice: 0, after work, after check\n", drawn)
        self.spec("services: {db: exec sleep 60}\nprepare: 'true'\n" + PIPELINE)
        with_more = self.ok("check", "jobs.yaml").stdout
        self.assertIn(drawn[drawn.index("jobs\n"):drawn.index("prepare\n")], with_more)
        self.assertIn("service db\n  command:    exec sleep 60\n", with_more)
        self.assertIn("hook jobs:prepare\n  command:    true\n", with_more)

    def test_max_failed_halts_its_own_job(self):
        self.spec("n_procs: 1\njobs:\n"
                  "  bad: {slices: 0-9, max_failed: 1, command: exit 1}\n"
                  "  good: {slices: 0-3, command: 'echo {slice} >> marks'}\n"
                  "  after: {needs: bad, command: echo after >> marks}\n")
        result = self.ok("jobs.yaml", code=3)
        self.assertIn("bad: max_failed: 2 slices failed, 1 allowed; no further slice of it is started", result.stderr)
        self.assertEqual(self.marks(), ["0", "1", "2", "3"])
        self.assertEqual(self.states(), {"bad": "terminated", "good": "completed", "after": "disabled"})

    def test_a_killed_run_goes_on_in_order(self):
        self.spec("n_procs: 2\njobs:\n"
                  "  a: {slices: 0-9, command: 'sleep 0.05; echo a/{slice} >> marks'}\n"
                  "  b: {slices: 0-9, needs_each: a, command: 'echo b/{slice} >> marks'}\n"
                  "  c: {needs: [a, b], command: 'echo c >> marks'}\n")
        process = self.start("jobs.yaml")
        wait_for(lambda: (self.dir / "marks").exists() and len(self.marks()) > 5, "some slices have run")
        crash(process)
        self.ok("jobs.yaml", "--resume")
        marks = self.marks()
        self.assertEqual(marks[-1], "c")
        self.assertEqual(marks.count("c"), 1)
        for i in range(10):
            self.assertLess(marks.index(f"a/{i}"), marks.index(f"b/{i}"))

    GATHER = ("jobs:\n  gen: {slices: 0-2, allow_failures: 1,\n"
              "        command: 'test {slice} != 1 || test -e fixed && echo {slice} > made{slice}'}\n"
              "  merge: {needs: gen, command: 'cat made* > merged; echo >> merges'}\n"
              "  print: {slices: 0-1, needs: merge, command: 'cat merged > print{slice}'}\n")

    def merged(self):
        return self.read("merged").split()

    def test_what_was_made_of_fewer_slices_than_there_are_now_is_made_again(self):
        """A resume ran the slice that was missing, and all the same said of the merge without it: succeeded."""
        self.spec(self.GATHER)
        self.ok("jobs.yaml", code=1)
        self.assertEqual(self.merged(), ["0", "2"])
        self.write("fixed", "")
        resumed = self.ok("jobs.yaml", "--resume")
        self.assertIn("merge runs again, because gen, which it needs, had slices to run first\n", resumed.stderr)
        self.assertIn("print runs again, because merge, which it needs, was outdated, too\n", resumed.stderr)
        self.assertEqual(self.merged(), ["0", "1", "2"])
        self.assertEqual(self.read("print1").split(), ["0", "1", "2"])
        self.assertEqual(self.rows("SELECT number, outcome, detail FROM attempt WHERE job = 1 ORDER BY 1"),
                         [(1, "succeeded", None),
                          (2, "cancelled", "it is to run again: gen, which it needs, had slices to run first"),
                          (3, "succeeded", None)])
        self.assertIn("nothing left", self.ok("jobs.yaml", "--resume").stderr)
        self.assertEqual(len(self.read("merges")), 2)

    def test_what_was_made_of_fewer_slices_is_known_by_a_later_resume_too(self):
        self.spec(self.GATHER)
        self.ok("jobs.yaml", code=1)
        self.write("fixed", "")
        self.ok("jobs.yaml", "--resume", "--slices", "print")  # nothing of what it needs is chosen: all is as it was
        self.assertEqual(self.merged(), ["0", "2"])
        chosen = self.ok("jobs.yaml", "--resume", "--slices", "gen").stderr
        self.assertIn("merge is to run again, in a resume that it is part of, because gen", chosen)
        self.assertEqual(self.merged(), ["0", "2"])
        status = self.ok("status", "jobs.yaml").stdout
        self.assertIn("to run what is left: runner jobs.yaml --resume", status)
        self.assertEqual(self.ok("jobs.yaml", "--resume", "-q").stderr, "")
        self.assertEqual(self.merged(), ["0", "1", "2"])
        self.assertEqual(self.read("print0").split(), ["0", "1", "2"])

    def test_what_is_to_run_again_outlives_a_crash(self):
        self.spec("n_procs: 1\njobs:\n"
                  "  a: {slices: 0-1, allow_failures: 1, command: 'test {slice} != 1 || test -e fixed'}\n"
                  "  b: {slices: 0-1, needs: a, command: 'cat v > b{slice}; test {slice} != 1 || test ! -e hang || exec sleep 1000'}\n"
                  "  c: {slices: 0-1, needs_each: b, command: 'cp b{slice} c{slice}'}\n")
        self.write("v", "old")
        self.ok("jobs.yaml", code=1)
        for name, text in (("v", "new"), ("fixed", ""), ("hang", "")):
            self.write(name, text)
        process = self.start("jobs.yaml", "--resume")
        wait_for(lambda: self.read("b1") == "new", "b is half done")
        crash(process)
        (self.dir / "hang").unlink()
        self.ok("jobs.yaml", "--resume")
        self.assertEqual([self.read(name) for name in ("b0", "b1", "c0", "c1")], ["new"] * 4)

    def test_a_slice_that_ran_before_the_one_that_it_needs_runs_again_after_it(self):
        self.spec("jobs:\n  a: {slices: 0-2, allow_failures: 1, command: 'test {slice} != 2 || test -e ok'}\n"
                  "  b: {slices: 0-2, needs_each: a, command: 'test -e ok && echo late > b{slice} || echo early > b{slice}'}\n"
                  "  c: {needs: b, command: 'cat b? > c'}\n")
        self.ok("jobs.yaml", code=1)
        self.ok("jobs.yaml", "--resume", "--slices", "b/2")
        self.write("ok", "")
        self.ok("jobs.yaml", "--resume")
        self.assertEqual(self.read("c").split(), ["early", "early", "late"])

    def test_what_is_paired_with_another_slice_than_before_runs_again(self):
        spec = ("jobs:\n  a: {slices: {list: [LIST]}, command: 'echo {item} > a{index}'}\n"
                "  b: {slices: 0-2, needs_each: a, command: 'cp a{slice} b{slice}; %s count n'}\n" % RUNNER)
        self.spec(spec.replace("LIST", "x, y, z"))
        self.ok("jobs.yaml")
        self.spec(spec.replace("LIST", "w, y, z"))
        self.assertIn("1 slice of b runs again, because a, which it needs, had slices to run first",
                      self.ok("jobs.yaml", "--resume", "--accept-changes").stderr)
        self.assertEqual([self.read(f"b{i}").strip() for i in range(3)], ["w", "y", "z"])
        self.spec(spec.replace("LIST", "z, y, w"))
        again = self.ok("jobs.yaml", "--resume", "--accept-changes")
        self.assertIn("2 slices of b run again, because a, which it needs, has another slice at its place", again.stderr)
        self.assertEqual(self.rows("SELECT value FROM counter_total"), [(3,)])
        self.assertEqual(len(self.ok("status", "jobs.yaml", "--format", "joblog").stdout.splitlines()), 1 + 3 + 6)  # x went with the part that was split off
        self.assertEqual(self.rows("SELECT slice, count(*) FROM attempt WHERE job = 1 AND outcome = 'succeeded' GROUP BY 1"),
                         [(0, 3), (1, 1), (2, 2)])

    def test_slices_that_are_new_or_gone_are_merged(self):
        self.spec(self.GATHER)
        self.write("fixed", "")
        self.ok("jobs.yaml")
        self.spec(self.GATHER.replace("0-2", "0-4"))
        self.ok("jobs.yaml", "--resume", "--accept-changes")
        self.assertEqual(self.merged(), ["0", "1", "2", "3", "4"])
        self.spec(self.GATHER.replace("0-2", "0-1"))
        for name in ("made2", "made3", "made4"):
            (self.dir / name).unlink()
        gone = self.ok("jobs.yaml", "--resume", "--accept-changes", "-n")
        self.assertIn("echo >> merges", gone.stdout)
        gone = self.ok("jobs.yaml", "--resume", "--accept-changes")
        self.assertIn("merge runs again, because gen, which it needs, has lost slices since it ran", gone.stderr)
        self.assertEqual(self.merged(), ["0", "1"])

    def test_a_prepare_that_used_what_was_missing_runs_again_too(self):
        """A resume ran the slice that was missing and the job after it, with what the prepare had made without it."""
        self.spec("n_procs: 2\njobs:\n"
                  "  b: {slices: 0-1, needs: a, prepare: 'cat out? > all', command: 'cp all b{slice}'}\n"
                  "  a: {slices: 0-2, allow_failures: 1, command: 'test {slice} != 2 || test -e ok && echo {slice} > out{slice}'}\n")
        for between in ([], ["--slices", "a/2"]):
            self.ok("jobs.yaml", code=1)
            self.write("ok", "")
            if between:
                self.ok("jobs.yaml", "--resume", *between)
            resumed = self.ok("jobs.yaml", "--resume").stderr
            if not between:
                self.assertIn("b:prepare runs again, because a, which it needs, had slices to run first\n", resumed)
            self.assertEqual(self.read("b0").split(), ["0", "1", "2"])
            for name in ("ok", "out2"):
                (self.dir / name).unlink()

    def test_what_is_to_run_again_is_told_from_what_failed_and_what_ran(self):
        self.spec("jobs:\n  a: {slices: 0-2, allow_failures: 1, command: 'test {slice} != 2 || test -e ok'}\n"
                  "  b: {slices: 0-1, needs: a, command: 'echo b{slice}'}\n"
                  "  c: {needs: b, command: echo c}\n")
        self.ok("jobs.yaml", code=1)
        self.write("ok", "")
        said = self.ok("jobs.yaml", "--resume", "--slices", "a/2", "--slices", "c").stderr
        self.assertIn("b is to run again, in a resume that it is part of, because a, which it needs, had slices", said)
        self.assertIn("c runs again, because b, which it needs, was outdated, too\n", said)
        self.assertIn("b is to run again", self.read(self.state_dir() / "latest" / "run.log"))
        job = self.status()["jobs"][1]
        self.assertEqual((job["failed"], job["waiting"], job["waiting_slices"]["selection"]), (0, 2, "b/0-1"))
        self.ok("jobs.yaml", "--resume", "--slices", "b/0")
        status = self.ok("status", "jobs.yaml").stdout
        self.assertIn("slices  2: 1 succeeded, 1 to run again (1 retry)\n\n  to run again, 1 slice: b/1\n", status)
        logs = self.ok("logs", "jobs.yaml", "b/1")
        self.assertIn("attempt 2 was not started: it is to run again", logs.stderr)
        self.assertIn("what it wrote before that: --attempt 1\n", logs.stderr)
        self.assertEqual(self.ok("logs", "jobs.yaml", "b/1", "--attempt", "1").stdout, "b1\n")
        self.assertEqual(self.rows("SELECT job, slice, state FROM slice_state WHERE state <> 'completed'"),
                         [("b", 1, "ready"), ("c", 0, "ready")])
        self.assertEqual(self.rows("SELECT count(*) FROM failure"), [(0,)])
        end = self.ok("jobs.yaml", "--resume").stderr
        self.assertIn("all 3 jobs completed", end)
        self.assertIn("(5 retries)", end)  # a/2, b/0, b/1, and c twice
        self.assertEqual([job["retries"] for job in self.status()["jobs"]], [1, 2, 2])
        self.assertEqual(self.rows("SELECT count(*) FROM joblog"), [(3 + 2 + 1 + 5,)])
        self.assertEqual(len(self.ok("status", "jobs.yaml", "--format", "joblog").stdout.splitlines()), 1 + 11)

    def test_what_did_not_wait_for_a_job_is_not_run_again_for_it(self):
        spec = ("jobs:\n  a: {slices: {list: [LIST]}, command: 'true'}\n"
                "  b: {slices: {list: [p, q]}, needs_each: a, command: 'echo {item} >> ran'}\n")
        self.spec(spec.replace("LIST", "x, y"))
        self.ok("jobs.yaml", "--slices", "b")
        for change in (("LIST", "w, y"), ("LIST", "x, y"), ("p, q", "q, p")):
            self.spec(spec.replace(*change).replace("LIST", "x, y"))
            self.ok("jobs.yaml", "--resume", "--accept-changes")
            self.assertIn("nothing left to run", self.ok("jobs.yaml", "--resume").stderr)
        self.assertEqual(sorted(self.read("ran").split()), ["p", "q"])  # two at a time

    def test_nothing_is_outdated_by_a_resume_that_has_nothing_to_run(self):
        spec = ("jobs:\n  a: {slices: {list: [LIST]}, command: 'true'}\n"
                "  b: {slices: 0-2, needs_each: a, command: 'true'}\n")
        self.spec(spec.replace("LIST", "x, y, z"))
        self.ok("jobs.yaml")
        self.spec(spec.replace("LIST", "x, w, z"))
        said = self.ok("jobs.yaml", "--resume", "--accept-changes", "--slices", "a/x").stderr
        self.assertNotIn("again", said)
        self.spec(spec.replace("LIST", "x, y, z"))
        self.assertIn("nothing left to run", self.ok("jobs.yaml", "--resume").stderr)

    def test_each_slice_that_is_outdated_is_so_for_its_own_reason(self):
        spec = ("jobs:\n  c: {needs: b, command: 'true'}\n"  # before what it needs
                "  b: {slices: 0-2, needs_each: a, command: 'true'}\n"
                "  a: {slices: {list: [LIST]}, command: 'true'}\n")
        self.spec(spec.replace("LIST", "x, y, z"))
        self.ok("jobs.yaml")
        self.spec(spec.replace("LIST", "y, x, w"))
        self.ok("jobs.yaml", "--resume", "--accept-changes")
        other = "it is to run again: a, which it needs, has another slice at its place"
        self.assertEqual(self.rows("SELECT j.name, slice, detail FROM attempt a JOIN job j USING (run, job) "
                                   "WHERE a.number = 2 ORDER BY 1, 2"),
                         [("b", 0, other), ("b", 1, other),
                          ("b", 2, "it is to run again: a, which it needs, had slices to run first"),
                          ("c", 0, "it is to run again: b, which it needs, was outdated, too")])

    def test_a_resume_counts_the_slices_that_succeeded_before_it(self):
        self.spec("jobs:\n  gen: {slices: 0-2, command: 'test {slice} != 1'}\n"
                  "  each: {slices: 0-2, needs_each: gen, command: 'true'}\n")
        self.ok("jobs.yaml", code=1)
        self.ok("jobs.yaml", "--resume", code=1)
        self.assertEqual(self.rows("SELECT name, reason FROM job ORDER BY name"),
                         [("each", "1 of 3 slices did not run"), ("gen", "1 of 3 slices failed")])

    def test_limits_hold_across_jobs(self):
        count = "'mkdir at-{name}-{slice} && ls -d at-* | wc -l >> counts && sleep 0.02 && rmdir at-{name}-{slice}'"
        self.spec(f"n_procs: 8\nlimits: {{scratch: 2}}\nslices: 0-9\nuses: {{scratch: 1}}\n"
                  f"jobs: {{a: {{command: {count}}}, b: {{command: {count}}}}}\n")
        self.ok("jobs.yaml")
        counts = list(map(int, self.read("counts").split()))
        self.assertEqual(len(counts), 20)
        self.assertLessEqual(max(counts), 2)

    def test_other_jobs_than_before_are_no_resume(self):
        self.ok("jobs.yaml")
        self.spec(PIPELINE.replace("merge:", "gather:"))
        for more in ([], ["--accept-changes"]):
            refused = self.ok("jobs.yaml", "--resume", *more, code=2).stderr
            self.assertIn("the jobs of ", refused)
            self.assertRegex(refused, r"then: .*merge.*\n  now:  .*gather")


if __name__ == "__main__":
    unittest.main(verbosity=2)
