"""Two runners on one state directory: started at once, one after a crash, from two hosts, and on a copy of it.

Another host is played by a UTS namespace with a hostname of its own; a shared file system whose locks do not reach other
hosts by a library that says so (statfs) and grants every lock (fcntl).
"""
import collections
import os
import re
import subprocess
import tempfile
import unittest

from faults import FaultTest, compile_library, processes_in, wait_for
from support import RUNNER, crash

STARTS = 100
LIVE = re.compile(r"another run of \S*/jobs\.yaml is live: pid (\d+) on (\S+) since (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d); "
                  r"see it with: runner status jobs\.yaml")

NO_LOCKS = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdarg.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>
int statfs(const char* path, struct statfs* info) {
  int result = (int)syscall(SYS_statfs, path, info);
  info->f_type = 0x6969;
  return result;
}
int fcntl64(int fd, int command, ...) {
  va_list arguments;
  va_start(arguments, command);
  void* argument = va_arg(arguments, void*);
  va_end(arguments);
  return command == F_OFD_SETLK ? 0 : (int)syscall(SYS_fcntl, fd, command, argument);
}
int fcntl(int fd, int command, ...) __attribute__((alias("fcntl64")));
"""


def can_rename_host():
    tried = subprocess.run(["unshare", "--uts", "hostname", "elsewhere"], stderr=subprocess.DEVNULL)
    return tried.returncode == 0


def elsewhere(*command):
    return ["unshare", "--uts", "sh", "-c", 'hostname elsewhere && exec "$@"', "sh", *map(str, command)]


class TwoRunners(FaultTest):
    def begin(self, slices=4, go="go"):
        """A run whose slices wait for the file `go`."""
        self.spec(f"slices: 0-{slices - 1}\nn_procs: 4\ncommand: [{self.slice}, marks, '{{slice}}', 'say=hello wait={go}']\n")

    def popen(self, *command, **more):
        process = subprocess.Popen(command, cwd=self.dir, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                                   env=self.environment(more.pop("env", None)), **more)
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        return process

    def starts(self):
        return collections.Counter((m.key, m.attempt) for m in self.marks() if m.what == "S")

    def start_many(self):
        """As many runners as STARTS, held back until all of them are there; returns the one that runs."""
        os.mkfifo(self.dir / "gate")
        many = [self.popen("sh", "-c", ': < gate; exec "$0" jobs.yaml', RUNNER) for _ in range(STARTS)]
        with open(self.dir / "gate", "w"):
            wait_for(lambda: sum(p.poll() is None for p in many) <= 1, "one is left")
        return many

    def test_of_a_hundred_started_at_once_one_runs_and_the_others_say_who(self):
        self.begin()
        many = self.start_many()
        (one,) = [p for p in many if p.poll() is None]
        wait_for(lambda: len(self.starts()) == 4, "the slices of that one run")
        owners = set()
        for process in many:
            if process is not one:
                said = process.stderr.read()
                self.assertEqual(process.returncode, 75, said)
                owners.add(LIVE.search(said).groups())
        self.assertEqual(len(owners), 1, owners)
        (pid, host, _), = owners
        self.assertEqual(host, os.uname().nodename)
        status = self.status()["run"]
        self.assertEqual((status["pid"], status["live"]), (int(pid), True))
        self.assertIn(int(pid), processes_in(self.dir))
        self.write("go", "")
        self.assertEqual(one.wait(timeout=20), 0)
        self.assertEqual(self.starts(), {(key, 1): 1 for key in range(4)})
        self.assertEqual(self.rows("SELECT count(*) FROM run"), [(1,)])

    def test_when_the_one_that_runs_is_killed_the_next_start_works(self):
        self.begin()
        for resume in ([], ["--resume"]):
            process = self.popen(RUNNER, "jobs.yaml", *resume)
            wait_for(lambda: len(self.starts()) % 4 == 0 and self.starts() and len(processes_in(self.dir)) >= 5,
                     "four slices run")
            self.ok("jobs.yaml", code=75)
            crash(process)
        self.write("go", "")
        self.ok("jobs.yaml", "--resume")  # at once
        self.assertEqual(self.starts(), {(key, attempt): 1 for key in range(4) for attempt in (1, 2, 3)})
        self.assertEqual({row[2] for row in self.rows()}, {"lost", "succeeded"})

    # ---- other hosts

    @unittest.skipUnless(can_rename_host(), "no UTS namespace may be made here")
    def test_a_resume_on_another_host_is_refused_while_the_run_is_live(self):
        self.begin()
        process = self.popen(RUNNER, "jobs.yaml")
        wait_for(lambda: len(self.starts()) == 4, "four slices run")
        there = self.popen(*elsewhere(RUNNER, "jobs.yaml", "--resume"))
        said = there.stderr.read()
        self.assertEqual(there.wait(), 75, said)
        self.assertEqual(LIVE.search(said).group(2), os.uname().nodename)
        self.write("go", "")
        self.assertEqual(process.wait(timeout=20), 0)

    @unittest.skipUnless(can_rename_host(), "no UTS namespace may be made here")
    def test_a_live_run_on_another_host_is_known_by_its_signs_of_life_where_locks_are_not(self):
        library = compile_library(NO_LOCKS)
        self.begin()
        process = self.popen(RUNNER, "jobs.yaml", env={"LD_PRELOAD": library})
        wait_for(lambda: len(self.starts()) == 4, "four slices run")
        there = self.popen(*elsewhere(RUNNER, "jobs.yaml", "--resume"), env={"LD_PRELOAD": library})
        said = there.stderr.read()
        self.assertEqual(there.wait(), 75, said)
        self.assertRegex(said, r"the run of pid \d+ on \S+ since .* has no end; waiting 30 s for a sign of life of it")
        self.assertEqual(LIVE.search(said).group(2), os.uname().nodename)
        self.write("go", "")
        self.assertEqual(process.wait(timeout=20), 0)
        again = self.popen(*elsewhere(RUNNER, "jobs.yaml"), env={"LD_PRELOAD": library})
        said = again.stderr.read()
        self.assertEqual(again.wait(), 0, said)
        self.assertNotIn("waiting", said, "a run that ended in order is not waited for")

    # ---- copies

    def copy_of_a_killed_run(self):
        self.begin(slices=12, go="go-{slice}")
        process = self.popen(RUNNER, "jobs.yaml")
        wait_for(lambda: len(self.starts()) == 4, "four slices run")
        for slice in range(4):
            self.write(f"go-{slice}", "")
        # And nothing else happens: a commit on its way when runner dies is seen by some who read the record, and not by
        # others.
        wait_for(lambda: len(self.rows("SELECT 1 FROM attempt WHERE outcome = 'succeeded'")) == 4 and
                 len(self.starts()) == 8 and len(self.rows("SELECT 1 FROM attempt WHERE pid > 0")) == 8,
                 "four have ended, four run")
        crash(process)
        wait_for(lambda: processes_in(self.dir) == [], "its slices are gone")
        copy = self.dir / "copy"
        copy.mkdir()
        subprocess.run(["cp", "-a", ".runner", "jobs.yaml", "marks", copy], cwd=self.dir, check=True)
        for slice in range(12):
            (copy / f"go-{slice}").touch()
        return copy

    @unittest.skipUnless(can_rename_host(), "no UTS namespace may be made here")
    def test_a_copied_state_directory_is_resumed_on_another_machine(self):
        copy = self.copy_of_a_killed_run()
        done = {slice for slice, _, outcome, _, _ in self.rows() if outcome == "succeeded"}
        original = self.rows("SELECT * FROM attempt")
        os.rename(self.state_dir(), self.dir / "away")  # nothing in the copy may lead there
        there = subprocess.run(elsewhere(RUNNER, "jobs.yaml", "--resume"), cwd=copy, env=self.environment(),
                               capture_output=True, text=True)
        self.assertEqual(there.returncode, 0, there.stderr)
        self.assertRegex(there.stderr, r"run \S+ has no end and was copied here; if it is live where it was \(pid \d+ on "
                         + re.escape(os.uname().nodename) + r"\), its slices run in both places")
        self.assertFalse(self.state_dir().exists())

        status = self.ok("status", cwd=copy).stdout  # the spec is known by the record alone
        self.assertIn(f"spec    {copy}/jobs.yaml\n", status)
        self.assertIn("logs    .runner/jobs/runs/", status)
        for slice in range(12):
            self.assertEqual(self.ok("logs", "jobs.yaml", slice, cwd=copy).stdout, "hello\n")
        os.rename(self.dir / "away", self.state_dir())
        self.assertEqual(self.rows("SELECT * FROM attempt"), original)

        self.dir, top = copy, self.dir
        last = {slice: (outcome, host) for slice, outcome, host in
                self.rows("SELECT slice, outcome, host FROM attempt ORDER BY slice, number")}
        self.assertEqual({slice: outcome for slice, (outcome, _) in last.items()}, {i: "succeeded" for i in range(12)})
        self.assertEqual({slice for slice, (_, host) in last.items() if host != "elsewhere"}, done)
        self.assertEqual(max(self.starts().values()), 1)
        self.dir = top

    def test_a_resumed_copy_leaves_the_processes_of_the_original_alone(self):
        self.begin()
        process = self.popen(RUNNER, "jobs.yaml")
        wait_for(lambda: len(self.starts()) == 4, "four slices run")
        with tempfile.TemporaryDirectory() as copy:
            subprocess.run(["cp", "-a", ".runner", "jobs.yaml", copy], cwd=self.dir, check=True)
            open(f"{copy}/go", "w").close()
            self.ok("jobs.yaml", "--resume", cwd=copy)
        self.assertIsNone(process.poll())
        self.write("go", "")
        self.assertEqual(process.wait(timeout=20), 0)
        self.assertEqual(self.starts(), {(key, 1): 1 for key in range(4)})
        self.assertEqual(self.rows("SELECT DISTINCT number, outcome FROM attempt"), [(1, "succeeded")])


if __name__ == "__main__":
    unittest.main(verbosity=2)
