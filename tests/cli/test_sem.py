"""runner sem, alone and in slices: what it passes on, when it refuses, what does not hold a slot."""
import fcntl
import os
import signal
import struct
import time
import unittest

from support import RUNNER, RunnerTest, children_of, is_alive, wait_for


class Sem(RunnerTest):
    def sem(self, *command, code=0, options=(), **more):
        return self.ok("sem", "gpu", "--dir", "sems", *options, "--", *command, code=code, **more)

    def hold(self, *options, command="touch inside; exec sleep 600"):
        """Somebody who is in it."""
        process = self.start("sem", "gpu", "--dir", "sems", *options, "--", "sh", "-c", command)
        wait_for((self.dir / "inside").exists, "the slot is held")
        return process

    def test_it_is_as_if_the_command_had_been_started_itself(self):
        result = self.sem("sh", "-c", "cat; echo err >&2; exit 9", code=9, stdin=None, input="data\n")
        self.assertEqual((result.stdout, result.stderr), ("data\n", "err\n"))
        self.sem("sh", "-c", "kill -9 $$", code=128 + signal.SIGKILL)
        self.assertIn("not found in PATH", self.sem("no-such-program", code=127).stderr)
        self.write("data", "x")
        self.assertIn("Permission denied", self.sem("./data", code=126).stderr)
        self.assertEqual(self.sem("echo", "--slots", "--", "-x").stdout, "--slots -- -x\n")

    def test_the_command_knows_its_slot(self):
        self.assertEqual(self.sem("sh", "-c", "echo $RUNNER_SEM_SLOT").stdout, "0\n")
        self.hold("--slots", "2")
        self.assertEqual(self.sem("sh", "-c", "echo $RUNNER_SEM_SLOT", options=["--slots", "2"]).stdout, "1\n")

    def test_signals_are_handed_on(self):
        process = self.hold(command="trap 'exit 7' TERM; touch inside; while :; do sleep 0.01; done")
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(timeout=60), 7)

    def test_a_holder_that_is_killed_gives_back_its_slot_and_leaves_no_command_behind(self):
        process = self.hold()
        command = children_of(process.pid)[0]
        process.kill()
        self.sem("true", options=["--timeout", "60s"])
        wait_for(lambda: not is_alive(command), "the command is dead")

    def test_what_the_command_leaves_behind_does_not_hold_the_slot(self):
        try:
            self.sem("sh", "-c", "sleep 600 > /dev/null 2>&1 & echo $! > left")
            self.sem("true", options=["--timeout", "0"])
            self.assertTrue(is_alive(int(self.read("left"))))
        finally:
            os.kill(int(self.read("left")), signal.SIGKILL)

    def test_what_goes_on_inside_after_a_kill_holds_it_until_it_ends(self):
        try:
            process = self.hold(command="sh -c 'echo $$ > inner; touch inside; until test -e go; do sleep 0.01; done'; true")
            process.kill()
            process.wait()
            self.sem("true", options=["--timeout", "0.2"], code=75)
            self.assertTrue(is_alive(int(self.read("inner"))))
        finally:
            self.write("go", "")
        self.sem("true", options=["--timeout", "60s"])

    def test_waiting_ends_with_75_when_the_time_is_over(self):
        self.hold()
        begin = time.monotonic()
        result = self.sem("touch", "entered", options=["--timeout", "0.2s"], code=75)
        self.assertGreaterEqual(time.monotonic() - begin, 0.2)
        self.assertEqual(result.stderr, "runner: sem: the one slot of gpu was not free in time\n")
        self.start("sem", "gpu", "--dir", "sems", "--", "true")
        wait_for(self.somebody_waits, "somebody is first in the queue")
        self.sem("touch", "entered", options=["--timeout", "0.2s"], code=75)
        self.assertFalse((self.dir / "entered").exists())

    def somebody_waits(self):
        """Whether the byte is locked that the first in the queue has (src/shared/semaphore.cpp)."""
        with open(self.dir / "sems" / "gpu.sem", "r+b") as file:
            asked = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 1, 1, 0)
            return struct.unpack("hhqqi4x", fcntl.fcntl(file, 36, asked))[0] != fcntl.F_UNLCK  # 36: F_OFD_GETLK

    def test_who_waits_can_be_stopped(self):
        self.hold()
        process = self.start("sem", "gpu", "--dir", "sems", "--", "true")
        wait_for(self.somebody_waits, "it waits")
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(timeout=60), -signal.SIGTERM)

    def test_another_number_of_slots_is_refused_while_anybody_is_inside(self):
        process = self.hold("--slots", "2")
        result = self.sem("true", options=["--slots", "3"], code=2)
        self.assertIn("gpu has 2 slots while anybody holds one or waits, not 3", result.stderr)
        process.kill()
        process.wait()
        wait_for(lambda: self.runner("sem", "gpu", "--dir", "sems", "--slots", "3", "--", "true").returncode == 0,
                 "the other number is taken when nobody is inside")

    def test_wrong_usage_says_what_to_type(self):
        for args, words in ((["gpu", "--", "true"], "--dir DIR"), (["gpu", "--dir", "x"], "which command"),
                            (["--dir", "x", "--", "true"], "which semaphore"),
                            (["../x", "--dir", "x", "--", "true"], "no name for a semaphore"),
                            (["a", "true", "--dir", "x", "--", "true"], "unexpected 'true'"),
                            (["gpu", "--slots", "0", "--", "true"], "1 to 1000"),
                            (["gpu", "--timeout", "soon", "--", "true"], "--timeout")):
            with self.subTest(args=args):
                self.assertIn(words, self.ok("sem", *args, code=2).stderr)
        self.assertEqual(os.listdir(self.dir), [])

    def test_slices_share_the_semaphores_of_their_run(self):
        self.spec("slices: 0-11\nn_procs: 6\n"
                  f"command: [{RUNNER}, sem, disk, --slots, '2', --, sh, -c, 'mkdir in-$RUNNER_SEM_SLOT && "
                  "ls -d in-* | wc -l >> counts && sleep 0.02 && rmdir in-$RUNNER_SEM_SLOT']\n")
        self.ok("jobs.yaml")
        counts = list(map(int, self.read("counts").split()))
        self.assertEqual(len(counts), 12)
        self.assertEqual(set(counts), {1, 2})
        directory = self.state_dir() / "latest" / "sem"
        self.assertEqual([(path.name, path.stat().st_mode & 0o777) for path in directory.iterdir()],
                         [("disk.sem", 0o600)])
        self.assertEqual(directory.stat().st_mode & 0o777, 0o700)


if __name__ == "__main__":
    unittest.main(verbosity=2)
