"""The state directory is deleted, replaced, moved or made read-only in the middle of a run, whole or in parts.

Whatever happens to it: runner notices within seconds, also while no slice ends; says which file and what to type next;
ends with code 4; leaves no process behind; makes no directory where the record was; and what it had announced is in the
record, if that still exists.
"""
import os
import re
import shutil
import sqlite3
import subprocess
import unittest

from faults import FaultTest, compile_library, processes_in, wait_for

NOTICED = 10.0  # seconds; it looks every second
DONE, SLICES = 30, 60  # so many have ended when it happens, and four of the others run
BROKEN_FSYNC = r"""
#define _GNU_SOURCE
#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>
static int sync_unless_broken(long call, int fd) {
  if (access("broken", F_OK) != 0) return (int)syscall(call, fd);
  errno = EIO;
  return -1;
}
int fsync(int fd) { return sync_unless_broken(SYS_fsync, fd); }
int fdatasync(int fd) { return sync_unless_broken(SYS_fdatasync, fd); }
"""
GONE = r"(was removed or replaced while the run was live|cannot open a log: .*: No such file or directory)\b"


class LostRecord(FaultTest):
    def begin(self, env=None):
        """A run that has come half way; what it says goes to a file, as this test looks at it more than once."""
        rows = [f"{i},{'say=hello' if i < DONE else 'say=hello wait=go'}" for i in range(SLICES)]
        self.write("plan.csv", "id,actions\n" + "\n".join(rows) + "\n")
        self.spec("slices: {table: plan.csv}\nn_procs: 4\ngrace: 1s\n"
                  f"command: [{self.slice}, marks, '{{id}}', '{{actions}}']\n")
        with open(self.dir / "said", "w") as said:
            process = self.start("-v", "jobs.yaml", env=env, stdout=said, stderr=said)
        wait_for(lambda: len(self.announced()) == DONE and len(self.starts()) == DONE + 4, "it has come half way")
        return process

    def go_on(self):
        """The slices that run need not wait any more, nor those that follow."""
        self.write("go", "")

    def assert_noticed(self, process, *words):
        """Returns what it said at last."""
        self.assertEqual(process.wait(timeout=NOTICED), 4, self.read("said")[-2000:])
        said = self.read("said")
        last = said[said.index("runner: the record could not be kept: "):]
        for word in words:
            self.assertRegex(last, word)
        self.assertIn("runner jobs.yaml --resume", last)
        self.assertNotRegex(last, "succeeded: |all .* slices")
        self.assertNotRegex(said, " slices: .* running")  # nothing runs any more
        wait_for(lambda: processes_in(self.dir) == [], "no slice is left running", deadline=2)
        return last

    def announced(self):
        return {int(key) for key in re.findall(r"(?m)^succeeded: jobs/(\d+) after ", self.read("said"))}

    def starts(self):
        return {(m.key, m.attempt) for m in self.marks() if m.what == "S"}

    def check_record(self):
        """All that was announced is in the record, and no slice began that is not."""
        rows = {(slice, number): outcome for slice, number, outcome, _, _ in self.rows()}
        succeeded = {slice for (slice, _), outcome in rows.items() if outcome == "succeeded"}
        self.assertGreaterEqual(len(self.announced()), DONE)
        self.assertEqual(self.announced() - succeeded, set(), "announced, but not recorded")
        self.assertEqual(self.starts() - set(rows), set(), "started, but not recorded")

    def check_resume(self):
        """What had been announced does not run again; the rest does, and all succeeds."""
        before, announced = self.starts(), self.announced()
        self.go_on()
        self.ok("jobs.yaml", "--resume")
        again = {key for key, _ in self.starts() - before}
        self.assertEqual(again & announced, set())
        last = {slice: outcome for slice, _, outcome, _, _ in self.rows()}
        self.assertEqual(last, {i: "succeeded" for i in range(SLICES)})

    # ---- gone

    def test_a_state_directory_that_is_deleted_ends_the_run(self):
        """Also while no slice ends."""
        for slices_end in (False, True):
            with self.subTest(slices_end=slices_end):
                process = self.begin()
                os.rename(self.state_dir(), self.dir / "away")  # at once, as rm -r of a directory in use is not
                shutil.rmtree(self.dir / "away")
                if slices_end:
                    self.go_on()
                self.assert_noticed(process, str(self.state_dir()), GONE)
                self.assertFalse(self.state_dir().exists(), "a directory was made where the record had been")
                refused = self.ok("jobs.yaml", "--resume", code=2)
                self.assertIn("there is no run of", refused.stderr)
                self.assertIn("start one: runner jobs.yaml", refused.stderr)
                (self.dir / "marks").unlink()

    def test_a_state_directory_that_is_deleted_by_rm_ends_the_run(self):
        process = self.begin()
        self.go_on()
        while subprocess.run(["rm", "-rf", self.state_dir()], stderr=subprocess.DEVNULL).returncode != 0:
            pass  # something was made in it meanwhile
        self.assert_noticed(process)
        self.assertFalse((self.state_dir() / "state.db").exists())

    def test_a_state_directory_that_is_moved_away_is_resumed_when_it_is_back(self):
        process = self.begin()
        os.rename(self.state_dir(), self.dir / "away")
        self.go_on()
        self.assert_noticed(process, GONE)
        self.assertFalse(self.state_dir().exists())
        os.rename(self.dir / "away", self.state_dir())
        self.check_record()
        self.check_resume()

    def test_a_state_directory_that_is_replaced_by_another_is_left_alone(self):
        process = self.begin()
        subprocess.run(["cp", "-a", self.state_dir(), self.dir / "other"], check=True)
        before = (self.dir / "other" / "state.db").read_bytes()
        os.rename(self.state_dir(), self.dir / "away")
        os.rename(self.dir / "other", self.state_dir())
        self.assert_noticed(process, GONE)
        self.assertEqual((self.state_dir() / "state.db").read_bytes(), before)
        self.check_record()  # of the copy: nothing had been announced since
        shutil.rmtree(self.state_dir())
        os.rename(self.dir / "away", self.state_dir())
        self.check_record()
        self.check_resume()

    # ---- in parts

    def test_a_database_that_is_deleted_or_replaced_ends_the_run(self):
        for replaced in (False, True):
            with self.subTest(replaced=replaced):
                process = self.begin()
                database = self.state_dir() / "state.db"
                if replaced:
                    self.write(self.dir / "other.db", "another file")
                    os.rename(self.dir / "other.db", database)
                else:
                    database.unlink()
                    self.go_on()
                self.assert_noticed(process, f"{database}: was removed or replaced")
                self.assertEqual(database.exists(), replaced)
                shutil.rmtree(self.dir / ".runner")
                for name in ("marks", "go"):
                    (self.dir / name).unlink(missing_ok=True)

    def test_a_deleted_write_ahead_log_loses_nothing(self):
        process = self.begin()
        (self.state_dir() / "state.db-wal").unlink()
        self.go_on()
        self.assert_noticed(process, "state.db-wal: was removed or replaced")
        self.check_record()
        self.check_resume()

    def test_a_database_or_log_that_is_cut_short_ends_the_run(self):
        """It went on into files with holes, ended with 0, and nobody could read them."""
        for name in ("state.db", "state.db-wal"):
            with self.subTest(name=name):
                process = self.begin()
                os.truncate(self.state_dir() / name, 0)
                self.go_on()
                self.assert_noticed(process, f"{self.state_dir()}/{name}: was cut short while the run was live")
                shutil.rmtree(self.dir / ".runner")
                for left in ("marks", "go"):
                    (self.dir / left).unlink(missing_ok=True)

    def test_an_emptied_record_is_not_taken_for_none(self):
        """A resume advised to start anew, as if nothing had run."""
        self.begin()
        self.go_on()
        wait_for(lambda: self.status()["run"]["state"] == "completed", "the run is over")
        os.truncate(self.state_dir() / "state.db", 0)
        for args in (["jobs.yaml", "--resume"], ["jobs.yaml"], ["status", "jobs.yaml"]):
            told = self.ok(*args, code=4).stderr
            self.assertIn("state.db: is empty, though there are directories of runs beside it: their record was lost", told)

    def test_a_log_that_is_deleted_while_its_slice_runs_is_told(self):
        self.spec("slices: 0-1\nn_procs: 1\ncommand: echo said; rm -f .runner/jobs/runs/*/slices/.slot*\n")
        result = self.ok("jobs.yaml", code=4)
        self.assertIn("logs of slices are not complete: jobs/0: its log was removed while it ran",
                      result.stderr)
        self.assertEqual(self.rows("SELECT outcome, log, detail FROM attempt"),
                         [("succeeded", None, "its log was removed while it ran")] * 2)

    def test_what_another_program_moves_or_vacuums_is_not_cut_short(self):
        process = self.begin()
        with sqlite3.connect(self.state_dir() / "state.db", timeout=30) as other:
            other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            self.assertEqual((self.state_dir() / "state.db-wal").stat().st_size, 0)
        other.close()
        self.go_on()
        self.assertEqual(process.wait(timeout=60), 0, self.read("said")[-2000:])
        self.check_record()

    def test_a_deleted_lock_lets_nobody_in_beside_the_run_for_long(self):
        process = self.begin()
        (self.state_dir() / "lock").unlink()
        second = self.start("jobs.yaml", stderr=subprocess.DEVNULL)
        self.assertEqual(process.wait(timeout=NOTICED), 4, self.read("said")[-2000:])
        self.assertIn(f"{self.state_dir()}/lock: was removed or replaced", self.read("said"))
        self.go_on()
        self.assertEqual(second.wait(timeout=NOTICED), 0)
        self.assertEqual(self.rows("SELECT run, count(*) FROM attempt WHERE outcome = 'succeeded' GROUP BY run"),
                         [(1, DONE), (2, SLICES)])

    def test_a_deleted_run_directory_ends_the_run_and_is_not_made_again(self):
        process = self.begin()
        run_dir = (self.state_dir() / "latest").resolve()
        os.rename(run_dir, self.dir / "away")
        self.go_on()
        self.assert_noticed(process, "cannot open a log: ", str(run_dir))
        self.assertFalse(run_dir.exists())
        self.check_record()
        self.check_resume()

    # ---- read-only

    def test_logs_that_cannot_be_made_end_the_run_and_fail_no_slice(self):
        """As in a directory without write permission, which does not hold root back."""
        process = self.begin()
        undo = self.make_immutable((self.state_dir() / "latest").resolve() / "slices")
        self.go_on()
        self.assert_noticed(process, "cannot open a log: .*: (Operation not permitted|Permission denied)")
        undo()
        self.check_record()
        self.assertNotIn("not_started", self.read("said"))
        self.check_resume()

    def test_a_database_that_becomes_read_only_ends_the_run(self):
        process = self.begin()
        undo = [self.make_immutable(self.state_dir() / name) for name in ("state.db", "state.db-wal")]
        self.go_on()
        self.assert_noticed(process, str(self.state_dir() / "state.db") + ": ")
        for one in undo:
            one()
        self.check_record()
        self.check_resume()

    # ---- broken

    def test_an_fsync_that_fails_ends_the_run_at_once(self):
        process = self.begin(env={"LD_PRELOAD": compile_library(BROKEN_FSYNC)})
        self.write("broken", "")
        self.go_on()
        self.assert_noticed(process, r"the disk did not take the record \(fsync: Input/output error\); what was not "
                                     "acknowledged before cannot be trusted: check the disk and the kernel's log")
        self.check_record()
        (self.dir / "broken").unlink()
        self.check_resume()

    def make_immutable(self, path):
        done = subprocess.run(["chattr", "+i", path], capture_output=True, text=True)
        if done.returncode != 0:
            self.skipTest(f"chattr +i does not work here: {done.stderr.strip()}")

        def undo():
            subprocess.run(["chattr", "-i", path], check=True)
        self.addCleanup(subprocess.run, ["chattr", "-i", path], stderr=subprocess.DEVNULL)
        return undo


if __name__ == "__main__":
    unittest.main(verbosity=2)
