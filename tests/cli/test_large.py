"""Runs of many slices, which tests/bench/make_run makes in no time: what is seen of them, and their resume."""
import os
import sqlite3
import subprocess
import unittest

from support import RunnerTest

SLICES = 20_000


class Large(RunnerTest):
    def make(self, left):
        self.spec(f"slices: 0-{SLICES - 1}\nn_procs: 2\ncommand: [/bin/true]\n")
        subprocess.run([os.environ["MAKE_RUN"], self.dir / "jobs.yaml", str(left)], check=True, stdout=subprocess.PIPE)

    def job(self):
        return self.status()["jobs"][0]

    def test_what_is_left_of_many_is_seen_and_resumed(self):
        self.make(10)
        job = self.job()
        self.assertEqual(job["succeeded"], SLICES - 10)
        self.assertEqual(job["failed_slices"]["selection"], f"{SLICES - 10}-{SLICES - 1}")
        self.ok("--resume", "jobs.yaml", "-q")
        self.assertEqual(self.job()["succeeded"], SLICES)

    def test_failures_among_successes_keep_all_that_is_known_of_them(self):
        self.make(SLICES)
        with sqlite3.connect(self.state_dir() / "state.db") as db:
            db.execute("UPDATE attempt SET outcome = 'succeeded', exit_code = 0 WHERE slice % 5000 <> 7")
            db.execute("UPDATE attempt SET outcome = 'killed', exit_code = NULL, signal = 11 WHERE slice = 5007")
        db.close()
        job = self.job()
        self.assertEqual(job["succeeded"], SLICES - 4)
        self.assertEqual(job["failed_slices"]["selection"], "7,5007,10007,15007")
        self.assertEqual((job["outcomes"]["failed"], job["outcomes"]["killed"]), (3, 1))
        self.assertIn("signal 11 (SIGSEGV), 1 slice: 5007", self.ok("status", "jobs.yaml").stdout)


if __name__ == "__main__":
    unittest.main()
