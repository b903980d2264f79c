"""memcheck finds nothing in a short run: no byte that was not set, nothing beyond an allocation, no leak."""
import shutil
import subprocess
import unittest

from faults import SANITIZED
from support import DEADLINE, RUNNER, RunnerTest

SPEC = """slices: 0-19
n_procs: 4
retries: 1
retry_delay: 1ms
timeout: 30s
outputs: ["out/{slice}"]
command: |
  echo {slice}
  test {attempt} = 2 || test {slice} != 7 || exit 3
  mkdir -p out && touch out/{slice}
"""


@unittest.skipIf(shutil.which("valgrind") is None, "valgrind is not installed")
@unittest.skipIf(SANITIZED, "one of the two is enough")
class Valgrind(RunnerTest):
    def check(self, *args):
        """Guard and engine both: what is forked is looked at, what is executed is not."""
        tool = ["valgrind", "-q", "--leak-check=full", "--error-exitcode=99", "--trace-children=no",
                f"--log-file={self.dir}/valgrind.%p"]
        result = subprocess.run([*tool, RUNNER, *args], cwd=self.dir, env=self.environment(), stdin=subprocess.DEVNULL,
                                capture_output=True, text=True, timeout=10 * DEADLINE)
        logs = list(self.dir.glob("valgrind.*"))
        self.assertTrue(logs)
        # The others ("--123-- WARNING: unhandled syscall") tell of what an old valgrind does not know.
        found = [line for log in logs for line in log.read_text().splitlines() if line.startswith("==")]
        self.assertEqual((result.returncode, found), (0, []), result.stderr)

    def test_a_short_run_and_what_is_asked_about_it(self):
        self.spec(SPEC)
        self.check("jobs.yaml", "-q")
        self.check("jobs.yaml", "-q", "--no-guard", "--print", "group")
        self.check("status", "jobs.yaml")
        self.check("check", "jobs.yaml")


if __name__ == "__main__":
    unittest.main(verbosity=2)
