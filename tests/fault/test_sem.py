"""runner sem under contention and kills: never more than its slots inside, by their own marks, and nobody starves."""
import os
import signal
import subprocess
import unittest

from faults import RunnerTest, compile_slice, processes_in, wait_for
from support import RUNNER

SLOTS = 3
CONTENDERS = int(os.environ.get("RUNNER_CONTENDERS", 200))


class Sem(RunnerTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.inside = compile_slice("inside.c")

    def setUp(self):
        super().setUp()
        (self.dir / "marks").mkdir()

    def contend(self, key, *how, ms=10, slots=SLOTS):
        return subprocess.Popen([RUNNER, "sem", "gpu", "--dir", "sems", "--slots", str(slots), "--", self.inside, "marks",
                                 str(key), str(ms), str(slots), *how], cwd=self.dir, env=self.environment(),
                                stdin=subprocess.DEVNULL)

    def log(self):
        path = self.dir / "log"
        return [line.split() for line in path.read_text().rpartition("\n")[0].splitlines()] if path.exists() else []

    def test_never_too_many_are_inside_and_everybody_comes_in_although_one_in_ten_is_killed_there(self):
        how = {key: ["kill"] for key in range(5, CONTENDERS, 20)} | {key: ["orphan"] for key in range(15, CONTENDERS, 20)}
        contenders = [self.contend(key, *how.get(key, [])) for key in range(CONTENDERS)]
        codes = {key: process.wait(timeout=120) for key, process in enumerate(contenders)}
        self.assertEqual(codes, {key: -signal.SIGKILL if key in how else 0 for key in codes})
        wait_for(lambda: not processes_in(self.dir), "nothing is left behind")

        entered = [line[1:] for line in self.log() if line[0] == "in"]
        self.assertEqual([line for line in entered if line[1] == "TOO-MANY"], [])
        self.assertEqual(max(int(line[1]) for line in entered), SLOTS)
        self.assertEqual(sorted(int(line[0]) for line in entered), list(range(CONTENDERS)))
        left = sorted(int(line[1]) for line in self.log() if line[0] == "out")
        self.assertEqual(left, [key for key in range(CONTENDERS) if how.get(key) != ["kill"]])
        again = [self.contend(f"again-{key}", ms=0) for key in range(SLOTS)]
        self.assertEqual([process.wait(timeout=60) for process in again], [0] * SLOTS)

    def test_who_waits_comes_in_although_others_come_back_at_once(self):
        greedy = [subprocess.Popen(["sh", "-c", f"while test ! -e stop; do '{RUNNER}' sem gpu --dir sems -- "
                                    f"'{self.inside}' marks {key} 1 1; done"], cwd=self.dir, env=self.environment())
                  for key in range(4)]
        try:
            for patient in range(5):
                before = len(self.log())
                self.assertEqual(self.contend(f"patient-{patient}", ms=1, slots=1).wait(timeout=60), 0)
                between = [line[1] for line in self.log()[before:] if line[0] == "in"].index(f"patient-{patient}")
                print(f"others who came in between start and entry: {between}")
        finally:
            (self.dir / "stop").touch()
            for process in greedy:
                process.wait(timeout=60)
        self.assertNotIn("TOO-MANY", [line[-1] for line in self.log()])


if __name__ == "__main__":
    unittest.main(verbosity=2)
