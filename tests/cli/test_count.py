"""Counters of a run: runner count, what counts and what does not, what a slice's file of counters may be."""
import json
import unittest

from support import RUNNER, RunnerTest

COUNT = f"{RUNNER} count"


class Count(RunnerTest):
    def run_slices(self, slices, command, code=0, more=""):
        """A run of that shell script, which finds its slice in $RUNNER_SLICE."""
        self.write("script", command)
        self.spec(f"slices: {slices}\n{more}command: [sh, script]\n")
        return self.ok("jobs.yaml", code=code)

    def totals(self):
        totals = self.status()["counters"]
        self.assertEqual(dict(self.rows("SELECT name, value FROM counter_total")), totals)
        return totals

    def test_totals_are_in_summary_status_json_and_record(self):
        said = self.run_slices("1-3", f"{COUNT} rows $((RUNNER_SLICE * 1000000)); {COUNT} files; {COUNT} balance -2\n")
        line = "counted balance -6, files 3, rows 6,000,000\n"
        self.assertIn("jobs: " + line, said.stderr)
        self.assertIn("\n" + line, self.ok("status", "jobs.yaml").stdout)
        self.assertEqual(self.totals(), {"balance": -6, "files": 3, "rows": 6000000})
        self.assertEqual(self.rows("SELECT slice, number, name, value FROM counter WHERE name = 'rows'"),
                         [(0, 1, "rows", 1000000), (1, 1, "rows", 2000000), (2, 1, "rows", 3000000)])
        self.assertFalse((self.state_dir() / "latest" / "counters").exists())

    def test_where_nobody_counts_nothing_is_left(self):
        said = self.run_slices("0-3", "true\n")
        self.assertNotIn("counted", said.stderr + self.ok("status", "jobs.yaml").stdout)
        self.assertEqual(self.totals(), {})
        self.assertFalse((self.state_dir() / "latest" / "counters").exists())

    def test_only_attempts_that_succeed_count(self):
        ends = "case $RUNNER_ATTEMPT.$RUNNER_SLICE in 1.0) exit 3;; 1.1) kill -9 $$;; 1.2) exec sleep 60;; 1.3) exit 0;; esac\n"
        self.run_slices("0-4", f"{COUNT} rows 100\n{ends}touch out-$RUNNER_SLICE\n{COUNT} rows 1\n",
                        more="timeout: 1s\nretries: 1\nretry_delay: 0s\nretry_on: [failed, killed, timed_out, missing_output]\n"
                             "outputs: ['out-{slice}']\n")
        self.assertEqual([row[0] for row in self.rows("SELECT outcome FROM attempt WHERE number = 1 ORDER BY slice")],
                         ["failed", "killed", "timed_out", "missing_output", "succeeded"])
        self.assertEqual(self.totals(), {"rows": 505})
        self.assertFalse((self.state_dir() / "latest" / "counters").exists())

    def test_a_resume_adds_to_what_was_counted_before(self):
        self.run_slices("0-4", f"{COUNT} rows 10; test $RUNNER_SLICE -lt 3 || test -e go\n", code=1)
        self.assertEqual(self.totals(), {"rows": 30})
        self.write("go", "")
        self.assertIn("counted rows 50\n", self.ok("jobs.yaml", "--resume").stderr)
        self.assertEqual(self.totals(), {"rows": 50})

    def test_a_hook_that_runs_again_counts_once(self):
        self.spec(f"prepare: {COUNT} made 5\nteardown: {COUNT} undone\nslices: 0-0\ncommand: {COUNT} rows; test -e go\n")
        self.ok("jobs.yaml", code=1)
        self.write("go", "")
        self.assertIn("counted made 5, rows 1, undone 1\n", self.ok("jobs.yaml", "--resume").stderr)
        self.assertEqual(self.rows("SELECT number FROM attempt WHERE number = 2"), [(2,)] * 3)
        self.assertEqual(self.totals(), {"made": 5, "rows": 1, "undone": 1})

    def test_slices_that_are_gone_after_accept_changes_do_not_count_any_more(self):
        self.spec(f"slices: {{list: [a, b, c]}}\ncommand: {COUNT} rows; test {{item}} != c\n")
        self.ok("jobs.yaml", code=1)
        self.spec(f"slices: {{list: [c, b]}}\ncommand: {COUNT} rows 10\n")
        self.assertIn("counted rows 11\n", self.ok("jobs.yaml", "--resume", "--accept-changes").stderr)
        self.assertEqual(self.status()["counters"], {"rows": 11})

    def test_what_is_left_of_an_ended_attempt_does_not_count_into_a_later_one(self):
        self.run_slices("0-1", f"""
            if test $RUNNER_SLICE = 0; then
              setsid sh -c 'touch begun; until test -e go; do sleep 0.01; done; {COUNT} rows 1000; touch done' > /dev/null 2>&1 &
              until test -e begun; do sleep 0.01; done  # before, it would end with the slice, as one of its group
            else
              touch go; until test -e done; do sleep 0.01; done
            fi
            {COUNT} rows 1\n""", more="n_procs: 1\n")
        self.assertEqual(self.totals(), {"rows": 2})

    def test_counters_that_cannot_be_read_are_no_success(self):
        damage = {"0": "echo garbage > $RUNNER_COUNTERS", "1": "rm $RUNNER_COUNTERS; ln -s /etc/passwd $RUNNER_COUNTERS",
                  "2": "rm $RUNNER_COUNTERS; mkdir $RUNNER_COUNTERS", "3": "rm $RUNNER_COUNTERS; mkfifo $RUNNER_COUNTERS",
                  "4": "truncate -s 100 $RUNNER_COUNTERS", "5": "truncate -s 1T $RUNNER_COUNTERS"}
        cases = "".join(f"{slice}) {command};;\n" for slice, command in damage.items())
        said = self.run_slices("0-6", f"{COUNT} rows 5\ncase $RUNNER_SLICE in {cases} esac\n", code=1)
        self.assertEqual([row[0] for row in self.rows("SELECT outcome FROM attempt ORDER BY slice")],
                         ["missing_output"] * 6 + ["succeeded"])
        self.assertEqual(self.totals(), {"rows": 5})
        self.assertIn("its counters cannot be used: they are 8 bytes long", said.stderr)

    def test_an_overflow_is_an_error_and_adds_nothing(self):
        self.run_slices("0-0", f"""
            {COUNT} big 9223372036854775806 || exit 1
            {COUNT} big || exit 1
            {COUNT} big 2> said; test $? = 4 || exit 1
            {COUNT} big -9223372036854775807\n""")
        self.assertEqual(self.read("said"), "runner: count big: a counter of this attempt would exceed 64 bits\n")
        self.assertEqual(self.totals(), {"big": 0})

    def test_a_total_that_does_not_fit_is_said_so(self):
        said = self.run_slices("0-1", f"{COUNT} big 9223372036854775807; {COUNT} small\n")
        self.assertIn("counted big (more than 64 bits hold), small 2\n", said.stderr)
        self.assertEqual(self.status()["counters"], {"big": None, "small": 2})

    def test_files_are_private_whatever_the_umask(self):
        self.run_slices("0-0", f"umask 0; {COUNT} rows; stat -c %a $RUNNER_COUNTERS $(dirname $RUNNER_COUNTERS) > modes\n")
        self.assertEqual(self.read("modes"), "600\n700\n")

    def test_wrong_usage(self):
        for args, words in ((["rows"], "outside of a slice"), ([], "which counter"), (["a b"], "no name for a counter"),
                            (["x" * 48], "no name for a counter"), (["rows", "1.5"], "whole number"),
                            (["rows", "9223372036854775808"], "64 bits"), (["rows", "1", "2"], "unexpected '2'")):
            with self.subTest(args=args):
                self.assertIn(words, self.ok("count", *args, code=2).stderr)
        self.assertIn("runner count NAME [N]", self.ok("help", "count").stdout)


if __name__ == "__main__":
    unittest.main(verbosity=2)
