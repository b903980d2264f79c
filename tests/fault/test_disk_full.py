"""The disk under the state directory fills up in the middle of a run.

The state directory lies on a small tmpfs of the test's own, mounted in a mount namespace of its own, which ends with the
test whatever happens. Where neither root nor user namespaces may mount, the tests are skipped and say so; what the store
does then is tested there with a faulty disk as well.
"""
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import unittest

from faults import FaultTest, wait_for
from support import RUNNER

MIB = 1 << 20
WAITING = "no new slice is started until it can be written"
GOING_ON = "the record can be written again"


def enter_mount_namespace():
    """Starts this program again where it may mount; returns when that is so, or cannot be had."""
    if "OWN_MOUNTS" in os.environ:
        return
    for how in (["--mount"], ["--mount", "--user", "--map-root-user"]):
        with tempfile.TemporaryDirectory() as there:
            command = ["unshare", *how, "--propagation", "private"]
            tried = subprocess.run([*command, "mount", "-t", "tmpfs", "none", there], stderr=subprocess.DEVNULL)
        if tried.returncode == 0:
            os.environ["OWN_MOUNTS"] = "yes"
            os.execvp("unshare", [*command, sys.executable, *sys.argv])


@unittest.skipUnless("OWN_MOUNTS" in os.environ, "neither root nor a user namespace may mount a tmpfs here")
class DiskFull(FaultTest):
    def setUp(self):
        super().setUp()
        self.disk = self.dir / "disk"
        self.disk.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={24 * MIB}", "none", self.disk], check=True)
        self.addCleanup(subprocess.run, ["umount", "--lazy", self.disk], check=True)

    def state_dir(self, name="jobs"):
        return self.disk / "state"

    # ---- the disk

    def fill(self, leave=0):
        """Leaves so many bytes free, to the page."""
        with open(self.disk / "filler", "wb", buffering=0) as filler:
            try:
                while True:
                    filler.write(b"x" * 4096)
            except OSError:
                pass
            filler.truncate(max(0, filler.tell() - leave))

    def make_room(self):
        (self.disk / "filler").unlink()

    # ---- the run

    def begin(self, actions, slices=200, *options, more=""):
        self.spec(f"slices: 0-{slices - 1}\nn_procs: 4\nstate_dir: disk/state\n{more}"
                  f"command: [{self.slice}, {self.dir}/marks, '{{slice}}', '{actions}']\n")
        return self.go("-v", "jobs.yaml", *options)

    def go(self, *args):
        """Starts runner; what it says goes to a file, as this test looks at it more than once."""
        with open(self.dir / "said", "a") as said:
            return self.start(*args, stdout=said, stderr=said)

    def said(self):
        return self.read("said")

    def wait_for_words(self, words, process):
        wait_for(lambda: words in self.said() or process.poll() is not None, words)
        self.assertIn(words, self.said())

    def started(self):
        return {(m.key, m.attempt) for m in self.marks() if m.what == "S"}

    def ended(self):
        return {(m.key, m.attempt) for m in self.marks() if m.what == "E"}

    def check_announced(self):
        """What was said to have succeeded is in the record, and no slice ran that is not."""
        said = self.said()
        if os.path.exists(self.state_dir() / "latest" / "run.log"):
            said += self.run_log()
        announced = {int(key) for key in re.findall(r"(?m)succeeded: jobs/(\d+) after .*\n", said)}
        announced |= {int(key) for key in re.findall(r"(?m)^.*\[jobs/(\d+)\] pid:\d+ completed$", said)}
        rows = {(slice, number): outcome for slice, number, outcome, _, _ in self.rows()}
        self.assertEqual(announced - {key for (key, _), outcome in rows.items() if outcome == "succeeded"}, set())
        self.assertEqual(self.started() - set(rows), set())
        return announced

    def check_all_succeeded(self, slices=200):
        last = {slice: outcome for slice, _, outcome, _, _ in self.rows()}
        self.assertEqual(last, {i: "succeeded" for i in range(slices)})
        self.assertEqual(self.rows("PRAGMA integrity_check"), [("ok",)])
        starts = [(m.key, m.attempt) for m in self.marks() if m.what == "S"]
        self.assertEqual(len(starts), len(set(starts)), "an attempt was started twice")

    # ---- the tests

    def test_a_run_goes_on_when_space_returns(self):
        process = self.begin("sleep=20")
        wait_for(lambda: len(self.ended()) > 20, "the run is under way")
        self.fill()
        self.wait_for_words(WAITING, process)
        self.assertIn("no space left on the disk: free some", self.said().lower())
        self.check_announced()
        # What has begun may end, and nothing begins.
        wait_for(lambda: self.started() == self.ended(), "nothing runs any more", deadline=20)
        quiet = self.started()
        time.sleep(0.3)
        self.assertEqual(self.started(), quiet)
        self.make_room()
        self.assertEqual(process.wait(timeout=60), 0, self.said())
        self.assertIn(GOING_ON, self.said())
        self.check_announced()
        self.check_all_succeeded()
        self.assertEqual(self.rows("SELECT max(number) FROM attempt"), [(1,)], "nothing had to run again")

    def test_a_run_gives_up_and_is_resumed(self):
        process = self.begin("sleep=20")
        wait_for(lambda: len(self.ended()) > 20, "the run is under way")
        self.fill()
        self.assertEqual(process.wait(timeout=120), 4, self.said())  # after the writer's patience of 30 s
        said = self.said()
        self.assertIn("the record could not be kept", said)
        self.assertIn("no space left on the disk: free some", said.lower())
        self.assertIn("runner jobs.yaml --resume", said)
        again = self.ok("jobs.yaml", "--resume", code=4)
        self.assertIn("no space left", again.stderr.lower())
        self.make_room()
        announced = self.check_announced()
        self.assertGreater(len(announced), 0)
        self.assertLess(len(announced), 200)
        before = {(m.key, m.attempt) for m in self.marks()}
        self.ok("jobs.yaml", "--resume")
        self.check_all_succeeded()
        after = {key for key, _ in {(m.key, m.attempt) for m in self.marks()} - before}
        self.assertEqual(after & announced, set(), "what had been announced does not run again")

    def test_a_full_disk_starts_nothing(self):
        self.state_dir().mkdir()
        self.fill()
        process = self.begin("exit=0")
        self.assertEqual(process.wait(timeout=20), 4, self.said())
        self.assertRegex(self.said().lower(), "no space left")
        self.assertEqual(self.marks(), [])
        self.make_room()
        self.ok("jobs.yaml")
        self.check_all_succeeded()

    def test_a_disk_with_nearly_nothing_left(self):
        """Wherever the space ends - in the tables, the log, the shared memory of the WAL - nobody dies of it."""
        for leave in [4096 * pages for pages in (1, 2, 4, 8, 12, 16, 20, 24, 32, 40, 48, 64, 80)]:
            with self.subTest(leave=leave):
                self.write("said", "")
                self.write("marks", "")
                self.fill(leave)
                process = self.begin("say=hello", slices=40)
                wait_for(lambda: WAITING in self.said() or process.poll() is not None, "it waits or has ended")
                if process.poll() is None:
                    self.make_room()
                    self.assertIn(process.wait(timeout=60), (0, 1), self.said())
                    self.check_announced()
                else:
                    self.assertIn(process.returncode, (0, 1, 4), self.said())
                    self.make_room()
                subprocess.run(["rm", "-rf", self.state_dir()], check=True)

    def test_logs_that_cannot_be_written_are_the_slices_trouble(self):
        """Slice 0 fills what is left with its log and fails for it; the others run when there is room again."""
        self.state_dir().mkdir()
        self.fill(leave=3 * MIB)
        process = self.begin(f"write={4 * MIB}", 3, "--n-procs", "1")
        self.wait_for_words(WAITING, process)
        self.make_room()
        self.assertEqual(process.wait(timeout=60), 1, self.said())
        self.check_announced()
        self.assertEqual(self.rows("SELECT slice, outcome, exit_code FROM attempt ORDER BY slice"),
                         [(0, "failed", 74), (1, "succeeded", 0), (2, "succeeded", 0)])
        self.assertEqual(len(self.ok("logs", "jobs.yaml", "2").stdout), 4 * MIB)

    def test_output_that_runner_cannot_keep_does_not_stop_the_slice(self):
        """With --print runner writes the logs: the slice knows nothing of a full disk; record and exit code say it."""
        self.state_dir().mkdir()
        self.fill(leave=3 * MIB)
        process = self.begin(f"write={4 * MIB}", 3, "--n-procs", "1", "--print", "group")
        wait_for(lambda: WAITING in self.said() or process.poll() is not None, "it waits or has ended")
        self.make_room()
        self.assertEqual(process.wait(timeout=60), 4, self.said()[-1000:])
        self.assertIn("its output is not printed in full", self.said())
        self.assertRegex(self.said(), "runner: logs of slices are not complete: "
                                      "jobs/0: its log is incomplete: No space left on device")
        self.check_announced()
        rows = self.rows("SELECT outcome, detail FROM attempt ORDER BY slice")
        self.assertEqual([row[0] for row in rows], ["succeeded"] * 3)
        self.assertIn("its log is incomplete: No space left on device", rows[0][1])

    def test_slices_wait_for_room_for_their_stdout(self):
        """Another disk than the record's takes no more files: that is no slice's fault, and none is used up."""
        out = self.disk / "out"
        out.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "nr_inodes=2", "none", out], check=True)  # its root and one file
        self.addCleanup(subprocess.run, ["umount", "--lazy", out], check=True)
        (out / "filler").touch()
        process = self.begin("say=out", 4, more="stdout: disk/out/{slice}\n")
        wait_for(lambda: "waits until that has passed" in self.said() or process.poll() is not None, "it waits")
        self.assertIn("cannot write stdout disk/out/0: No space left on device; what is to start waits", self.said())
        subprocess.run(["mount", "-o", "remount,nr_inodes=10", out], check=True)
        self.assertEqual(process.wait(timeout=60), 0, self.said())
        self.check_all_succeeded(4)

    def test_one_ctrl_c_ends_a_run_whose_slices_wait_for_room(self):
        """They waited on: nothing ran, and yet only a second Ctrl-C ended the run."""
        out = self.disk / "out"
        out.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "nr_inodes=1", "none", out], check=True)  # its root
        self.addCleanup(subprocess.run, ["umount", "--lazy", out], check=True)
        process = self.begin("exit=0", 4, more="stdout: disk/out/{slice}\n")
        wait_for(lambda: "waits until that has passed" in self.said() or process.poll() is not None, "it waits")
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(timeout=60), 128 + signal.SIGINT, self.said())
        self.assertEqual(self.rows("SELECT DISTINCT outcome FROM attempt"), [("cancelled",)])
        self.assertIn("slice 0, attempt 1 was not started", self.ok("logs", "jobs.yaml", "0").stderr)
        subprocess.run(["mount", "-o", "remount,nr_inodes=10", out], check=True)
        self.assertEqual(self.go("jobs.yaml", "--resume").wait(timeout=60), 0, self.said())

    def test_a_third_ctrl_c_does_not_wait_for_room(self):
        """It did, for half a minute, and then said of a slice that had run to its end that it had not run."""
        self.state_dir().mkdir()
        self.fill(leave=3 * MIB)
        process = self.begin(f"write={4 * MIB}", 3, "--n-procs", "1")
        self.wait_for_words(WAITING, process)
        self.assertIn("(tried again for 30 s)", self.said())
        for words in ("no further slice is started", "terminating", "killing"):
            process.send_signal(signal.SIGINT)
            wait_for(lambda words=words: words in self.said() or process.poll() is not None, words)
        self.assertEqual(process.wait(timeout=15), 4, self.said())
        self.assertIn("1 not recorded, 2 not run", self.said())
        self.make_room()
        self.assertEqual(self.go("jobs.yaml", "--resume").wait(timeout=60), 0, self.said())
        self.check_all_succeeded(3)

    def test_a_small_disk_holds_the_record_and_not_its_log_beside_it(self):
        """The write-ahead log grew to 16 MB wherever there was less, and ended the run with the disk full of it."""
        subprocess.run(["mount", "-o", f"remount,size={2 * MIB}", self.disk], check=True)
        process = self.begin("exit=0", 3000, more="log: {level: warning}\n")
        self.assertEqual(process.wait(timeout=120), 0, self.said()[-1000:])
        self.check_all_succeeded(3000)

    def test_status_reads_a_record_on_a_full_disk(self):
        self.begin("exit=0").wait(timeout=60)
        self.fill()
        self.assertEqual(self.status()["jobs"][0]["succeeded"], 200)


if __name__ == "__main__":
    enter_mount_namespace()
    unittest.main(verbosity=2)
