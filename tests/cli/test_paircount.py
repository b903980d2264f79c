"""paircount, the example: its command line, and what several slices at once leave behind."""
import os
import subprocess
import tempfile
import unittest
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

PAIRCOUNT = os.environ["PAIRCOUNT"]
MOCK = ["--points", "300", "--random-points", "500"]


def paircount(*words):
    return subprocess.run([PAIRCOUNT, *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


class Paircount(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.dir = Path(directory.name)

    def count(self, index, *words, total=40):
        return paircount("count", "--mock", 1, *MOCK, "--slice", index, "--slices", total, "--out", self.dir, *words)

    def test_of_slices_run_at_once_exactly_one_prints_the_table(self):
        with ThreadPoolExecutor(10) as pool:
            runs = list(pool.map(lambda i: self.count(i, "--finish"), range(40)))
        self.assertEqual([r.returncode for r in runs], [0] * 40)
        tables = [r.stdout for r in runs if r.stdout]
        self.assertEqual(len(tables), 1)
        self.assertIn("300 galaxies, 500 randoms, 40 slices", tables[0])
        self.assertEqual(tables[0], (self.dir / "w_theta.txt").read_text())
        self.assertEqual(tables[0], paircount("merge", self.dir).stdout)
        self.assertEqual(len(list(self.dir.iterdir())), 41)

    def test_a_slice_counted_again_prints_no_second_table(self):
        for index in range(3):
            self.count(index, "--finish", total=3)
        self.assertEqual(self.count(1, "--finish", total=3).stdout, "")

    def test_the_number_of_slices_does_not_change_the_counts(self):
        self.count(0, total=1)
        whole = paircount("merge", self.dir).stdout
        (self.dir / "slice-000.csv").unlink()
        for index in range(7):
            self.count(index, total=7)
        self.assertEqual(paircount("merge", self.dir).stdout, whole.replace("1 slices", "7 slices"))

    def test_a_mock_from_files_counts_as_the_one_in_memory(self):
        galaxies, randoms = self.dir / "g.csv", self.dir / "r.csv"
        paircount("mock", "--seed", 1, *MOCK, "--galaxies", galaxies, "--randoms", randoms)
        self.count(2, total=5)
        in_memory = (self.dir / "slice-002.csv").read_text()
        paircount("count", "--galaxies", galaxies, "--randoms", randoms, "--slice", 2, "--slices", 5, "--out", self.dir)
        self.assertEqual((self.dir / "slice-002.csv").read_text(), in_memory)

    def test_merging_an_incomplete_set_names_what_is_missing(self):
        self.count(0, total=4)
        merged = paircount("merge", self.dir)
        self.assertEqual((merged.returncode, merged.stdout), (1, ""))
        self.assertIn("3 of 4 slices are missing: 1-3", merged.stderr)

    def test_wrong_command_lines_exit_2(self):
        for words in ([], ["cuont"], ["count"], ["count", "--mock", "x"], ["merge"], ["merge", "a", "b"],
                      ["count", "--mock", "1", "--slice", "4", "--slices", "4", "--out", "x"],
                      ["count", "--mock", "1", "--slice", "0", "--slices", "4", "--out", "x", "--max", "0"],
                      ["count", "--mock", "1", "--slice", "0", "--slices", "4", "--out", "x", "--colour", "red"]):
            run = paircount(*words)
            self.assertEqual((run.returncode, run.stdout), (2, ""), words)
            self.assertTrue(run.stderr.startswith("paircount: "), run.stderr)

    def test_a_missing_catalogue_is_named(self):
        run = paircount("count", "--galaxies", self.dir / "none.csv", "--randoms", "r.csv", "--slice", 0, "--slices", 1,
                        "--out", self.dir)
        self.assertEqual(run.returncode, 1)
        self.assertIn("none.csv", run.stderr)


if __name__ == "__main__":
    unittest.main()
