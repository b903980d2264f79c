"""A process that SIGKILL does not end: one in a frozen cgroup of version 1 is as deaf as one that hangs in the kernel."""
import os
import pathlib
import signal
import unittest

from faults import FaultTest, wait_for
from support import is_alive

FREEZER = pathlib.Path("/sys/fs/cgroup/freezer")


class Unkillable(FaultTest):
    def setUp(self):
        super().setUp()
        self.cgroup = FREEZER / f"runner-test-{os.getpid()}"
        try:
            self.cgroup.mkdir()
        except OSError as error:
            self.skipTest(f"no process can be frozen here: {error}")
        self.addCleanup(self.remove)

    def thaw(self):
        (self.cgroup / "freezer.state").write_text("THAWED")

    def remove(self):
        self.thaw()
        for pid in (self.cgroup / "cgroup.procs").read_text().split():
            os.kill(int(pid), signal.SIGKILL)
        wait_for(self.is_removed, "the cgroup is empty")

    def is_removed(self):
        try:
            self.cgroup.rmdir()
        except OSError:  # zombies count
            return False
        return True

    def test_its_slice_is_lost_and_named_and_the_run_goes_on(self):
        self.spec("slices: 0-3\nn_procs: 2\ntimeout: 500ms\ngrace: 100ms\nretries: 3\nretry_delay: 1ms\ncommand: |\n"
                  f"  if [ {{slice}} = 1 ]; then echo $$ > {self.cgroup}/cgroup.procs; echo $$ > pid; sleep 1000; fi\n")
        process = self.start("jobs.yaml")
        wait_for(lambda: (self.dir / "pid").exists() and self.read("pid"), "it is where it can be frozen")
        pid = int(self.read("pid"))
        (self.cgroup / "freezer.state").write_text("FROZEN")
        ended = "SELECT slice, outcome FROM attempt WHERE outcome IS NOT NULL ORDER BY slice"
        wait_for(lambda: len(self.rows(ended)) == 4, "all have ended, one way or other")
        self.assertTrue(is_alive(pid))
        self.thaw()
        said = process.communicate()[1]
        self.assertEqual(process.returncode, 1, said)
        self.assertEqual(self.rows(ended), [(0, "succeeded"), (1, "lost"), (2, "succeeded"), (3, "succeeded")])
        self.assertIn("lost", said)
        self.assertIn(f"SIGKILL has had no effect for 10 s on process {pid}", self.run_log())


if __name__ == "__main__":
    unittest.main(verbosity=2)
