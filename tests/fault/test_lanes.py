"""Slices so short that they follow each other in lanes, without the loop in between: what they did themselves is
compared with what the record says they did.

That lanes are at work is seen by their threads. Where slices end in every way, take long or are steered, a run goes in
and out of them all the time.
"""
import os
import pathlib
import random
import re
import signal
import time
import unittest

from faults import FaultTest, compile_library, processes_in, wait_for
from support import crash, engine_pid

# The allocation with the number in RUNNER_FAIL_AT, of all that lanes make, finds no memory.
NO_MEMORY = r"""
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

void* __libc_malloc(size_t size);

void* malloc(size_t size) {
  static long number = 0;
  char name[16] = "";
  prctl(PR_GET_NAME, name);
  if (strncmp(name, "lane ", 5) == 0 && __atomic_add_fetch(&number, 1, __ATOMIC_RELAXED) == atol(getenv("RUNNER_FAIL_AT"))) return NULL;
  return __libc_malloc(size);
}
"""

SEED = int(os.environ.get("RUNNER_SEED", random.randrange(10**6)))


def lanes_of(pid):
    """How many threads of the engine are lanes."""
    names = []
    for task in pathlib.Path(f"/proc/{pid}/task").glob("*/comm"):
        try:
            names.append(task.read_text())
        except OSError:
            pass  # gone meanwhile
    return sum(name.startswith("lane ") for name in names)


class Lanes(FaultTest):
    def begin(self, count, actions="''", more="", *args):
        self.spec(f"slices: 0-{count - 1}\nn_procs: 2\n{more}command: [{self.slice}, marks, '{{slice}}', {actions}]\n")
        return self.start("-q", "jobs.yaml", *args)

    def wait_for_lanes(self, process):
        wait_for(lambda: lanes_of(engine_pid(process)) == 2, "slices follow each other in lanes")

    def started(self):
        return [mark for mark in self.marks() if mark.what == "S"]

    def outcomes(self):
        """Of the newest run."""
        rows = self.rows("SELECT DISTINCT outcome FROM attempt WHERE run = (SELECT max(number) FROM run)")
        return {row[0] for row in rows}

    def assert_exact(self, outcomes=("succeeded",)):
        """Every start that was marked is the attempt in the record, with its process, and none was started twice."""
        marked = {(mark.key, mark.attempt): mark.pid for mark in self.started()}
        self.assertEqual(len(marked), len(self.started()), "an attempt was started twice")
        rows = self.rows("SELECT slice, number, pid, outcome FROM attempt WHERE run = (SELECT max(number) FROM run)")
        # One that was ended at once may not have come to its mark.
        recorded = {(slice, number): pid for slice, number, pid, outcome in rows
                    if pid is not None and (outcome != "cancelled" or (slice, number) in marked)}
        self.assertEqual(sorted(marked.items() ^ recorded.items()), [])
        self.assertEqual({outcome for *_, outcome in rows}, set(outcomes))

    def test_short_slices_are_recorded_as_they_ran(self):
        process = self.begin(4000)
        self.wait_for_lanes(process)
        self.assertEqual(process.wait(), 0, process.stderr.read())
        self.assertEqual(len(self.started()), 4000)
        self.assert_exact()
        slots = self.rows("SELECT count(*), count(DISTINCT pid) FROM attempt WHERE ended_at >= started_at")
        self.assertEqual(slots, [(4000, 4000)])
        log = self.run_log()
        self.assertEqual((log.count(" running\n"), log.count(" completed\n")), (4001, 4001))  # with the run's own
        self.assertEqual([name for name in os.listdir(self.state_dir() / "latest" / "slices")], [])

    def test_a_mixture_is_recorded_as_it_ran(self):
        rng = random.Random(SEED)
        kinds = {"": ("succeeded", 0, None), "say=hello": ("succeeded", 0, None), "exit=3": ("failed", 3, None),
                 "signal=9": ("killed", None, 9), "sleep=15": ("succeeded", 0, None), "say=last exit=1": ("failed", 1, None)}
        plan = [rng.choice([""] * 60 + ["say=hello"] * 20 + list(kinds)) for _ in range(3000)]
        self.write("plan.csv", "id,actions\n" + "".join(f"{i},{actions}\n" for i, actions in enumerate(plan)))
        self.spec(f"slices: {{table: plan.csv}}\nn_procs: 2\ncommand: [{self.slice}, marks, '{{id}}', '{{actions}}']\n")
        process = self.start("-q", "jobs.yaml")
        self.wait_for_lanes(process)
        self.assertEqual(process.wait(), 1, f"seed {SEED}: {process.stderr.read()[-2000:]}")
        self.assert_exact(("succeeded", "failed", "killed"))
        rows = self.rows("SELECT slice, outcome, exit_code, signal, log FROM attempt ORDER BY slice")
        self.assertEqual([row[1:4] for row in rows], [kinds[actions] for actions in plan], f"seed {SEED}")
        for slice, *_, log in rows:
            said = [word[4:] for word in plan[slice].split() if word.startswith("say=")]
            text = (self.state_dir() / "latest" / log).read_text() if log else ""
            self.assertEqual(text, "".join(f"{word}\n" for word in said), f"slice {slice}, seed {SEED}")

    def test_nothing_is_started_after_a_failure_that_halts(self):
        for on_halt in ("drain", "kill"):
            with self.subTest(on_halt=on_halt):
                (self.dir / "marks").unlink(missing_ok=True)
                self.write("plan.csv", "id,actions\n" + "".join(f"{i},{'exit=1' if i == 3000 else ''}\n" for i in range(6000)))
                self.spec(f"slices: {{table: plan.csv}}\nn_procs: 2\nmax_failed: 0\non_halt: {on_halt}\n"
                          f"command: [{self.slice}, marks, '{{id}}', '{{actions}}']\n")
                process = self.start("-q", "jobs.yaml")
                self.wait_for_lanes(process)
                self.assertEqual(process.wait(), 3, process.stderr.read())
                keys = [mark.key for mark in self.marks() if mark.what == "E"]
                after = self.started()[[mark.key for mark in self.started()].index(3000) + 1:]
                # One may run beside it, and one begin in the other slot while it ends.
                self.assertLessEqual(len(after), 3, f"{len(keys)} slices ended")
                outcomes = self.outcomes()
                self.assertLessEqual(outcomes, {"succeeded", "failed", "cancelled"} if on_halt == "kill" else {"succeeded", "failed"})
                self.assert_exact(outcomes)

    def test_nothing_is_started_after_a_halt_by_one_that_was_ended_and_said_that_all_is_well(self):
        """The engine aborted: what timed out exits with 0, which is no success, and lanes went on."""
        self.write("plan.csv", "id,actions\n" + "".join(f"{i},{'deaf wait=go' if i == 300 else ''}\n" for i in range(100_000)))
        self.spec("slices: {table: plan.csv}\nn_procs: 2\ntimeout: 2s\ngrace: 60s\nmax_failed: 0\n"
                  f"command: [{self.slice}, marks, '{{id}}', '{{actions}}']\n")
        process = self.start("-q", "jobs.yaml")
        self.wait_for_lanes(process)
        wait_for(lambda: any(mark.key == 300 for mark in self.started()), "it is started")
        begun = time.monotonic()
        wait_for(lambda: time.monotonic() > begun + 3, "it is asked to end")
        count = len(self.started())
        wait_for(lambda: len(self.started()) > count + 300, "slices follow each other while it does not")
        self.write("go", "")
        self.assertEqual(process.wait(), 3, process.stderr.read()[-2000:])
        self.assert_exact(("succeeded", "timed_out"))

    def test_slices_that_become_long_keep_their_order(self):
        """What had been offered was left until the end, or until another job was through."""
        self.write("plan.csv", "id,actions\n" + "".join(f"{i},{'sleep=50' if i >= 3000 else ''}\n" for i in range(3150)))
        self.spec(f"slices: {{table: plan.csv}}\nn_procs: 2\ncommand: [{self.slice}, marks, '{{id}}', '{{actions}}']\n")
        process = self.start("-q", "jobs.yaml")
        self.wait_for_lanes(process)
        self.assertEqual(process.wait(), 0, process.stderr.read())
        keys = [mark.key for mark in self.started()]
        late = [place - key for place, key in enumerate(keys)][2990:]
        self.assertLess(max(late), 60, keys[2990:])  # else some 100: with the last
        self.assertLess(sum(by < -20 for by in late), 20, keys[2990:])  # those that pass what was offered

    def test_a_halt_that_meets_a_retry_in_a_lane_counts_its_slice_once(self):
        """The engine aborted: a retry that a lane had launched, which the scheduler did not know yet, was given up."""
        for _ in range(4):
            (self.dir / "marks").unlink(missing_ok=True)
            rows = [f"{i},{'fail=1' if i >= 1500 else ''}" for i in range(2000)] + ["2000,sleep=60 exit=1"]
            self.write("plan.csv", "id,actions\n" + "\n".join(rows) + "\n")
            self.spec("slices: {table: plan.csv}\nn_procs: 2\nretries: 1\nretry_delay: 1ms\nmax_failed: 0\n"
                      f"command: [{self.slice}, marks, '{{id}}', '{{actions}}']\n")
            process = self.start("-q", "jobs.yaml")
            self.assertEqual(process.wait(), 3, process.stderr.read())
            self.assertNotIn("lost", self.outcomes())

    def test_what_succeeded_before_a_halt_was_told_is_a_success(self):
        """Slices that had done their work were cancelled by a failure in another slot that was told before their ends."""
        for _ in range(3):
            (self.dir / "marks").unlink(missing_ok=True)
            rows = [f"{i},{'sleep=100 exit=1' if i == 1000 else ''}" for i in range(6000)]
            self.write("plan.csv", "id,actions\n" + "\n".join(rows) + "\n")
            self.spec(f"slices: {{table: plan.csv}}\nn_procs: 2\nmax_failed: 0\non_halt: kill\n"
                      f"command: [{self.slice}, marks, '{{id}}', '{{actions}}']\n")
            process = self.start("-q", "jobs.yaml")
            self.assertEqual(process.wait(), 3, process.stderr.read())
            ended = [mark.key for mark in self.marks() if mark.what == "E"]
            before = set(ended[:ended.index(1000)]) if 1000 in ended else set(ended[:-2])
            cancelled = {slice for slice, in self.rows("SELECT slice FROM attempt WHERE outcome = 'cancelled' "
                                                       "AND run = (SELECT max(number) FROM run)")}
            # Marked as done and about to exit is not exited: at most the one that ran beside it.
            self.assertLessEqual(len(cancelled & before), 1)
            self.assertLessEqual(len(cancelled), 1)

    def test_a_slot_that_is_scaled_away_is_used_no_more(self):
        self.spec("slices: 0-99999\nn_procs: 4\ncommand: 'echo $RUNNER_SLOT >> slots'\n")
        process = self.start("-q", "jobs.yaml")
        wait_for(lambda: lanes_of(engine_pid(process)) == 4, "slices follow each other in lanes")
        self.ok("scale", "jobs.yaml", "2")
        before = len(self.read("slots").split())
        wait_for(lambda: len(self.read("slots").split()) > before + 300, "it goes on")
        later = self.read("slots").split()[before + 4:]  # what ran then may end where it is
        self.ok("cancel", "jobs.yaml")
        process.wait()
        self.assertLessEqual(set(later), {"0", "1"})

    def test_what_cannot_be_executed_stands_in_nobodys_way(self):
        rows = [f"{i},{'/no/such/program' if i == 2000 else '/bin/true'}" for i in range(6000)]
        self.write("plan.csv", "id,program\n" + "\n".join(rows) + "\n")
        self.spec("slices: {table: plan.csv}\nn_procs: 2\ncommand: ['{program}']\n")
        self.ok("-q", "jobs.yaml", code=1)
        [(slice, before)] = self.rows("SELECT slice, (SELECT count(*) FROM attempt WHERE started_at < failed.started_at) "
                                      "FROM attempt AS failed WHERE outcome <> 'succeeded'")
        self.assertEqual(slice, 2000)
        self.assertLess(abs(before - 2000), 200, "it was put off")

    def test_a_lane_without_memory_ends_the_run(self):
        library = compile_library(NO_MEMORY)
        for number in [*range(1, 16), *range(1000, 1004)]:
            with self.subTest(number=number):
                (self.dir / "marks").unlink(missing_ok=True)
                self.spec(f"slices: 0-799\nn_procs: 2\ncommand: [{self.slice}, marks, '{{slice}}', '']\n")
                done = self.runner("-q", "jobs.yaml", env={"LD_PRELOAD": library, "RUNNER_FAIL_AT": str(number)})
                self.assertEqual(done.returncode, 4, done.stderr)
                self.assertIn("not enough memory, processes or open files to go on", done.stderr)
                self.assertEqual(processes_in(self.dir), [])
                self.ok("-q", "jobs.yaml", "--resume")
                self.assertEqual({mark.key for mark in self.started()}, set(range(800)))
                self.assertEqual(len({mark[1:3] for mark in self.started()}), len(self.started()))

    def test_what_ran_without_a_record_is_told(self):
        """Of what ran in lanes when the record was lost some was said not to have run."""
        self.spec(f"slices: 0-99999\nn_procs: 2\ncommand: [{self.slice}, marks, '{{slice}}', '']\n")
        with open(self.dir / "said", "w") as said:
            process = self.start("jobs.yaml", stderr=said)
        self.wait_for_lanes(process)
        wait_for(lambda: len(self.started()) > 500, "it is under way")
        (self.state_dir() / "state.db").unlink()
        self.assertEqual(process.wait(), 4)
        told = re.search(r"100,000 slices: ([\d,]+) succeeded, ([\d,]+) not recorded, ([\d,]+) not run", self.read("said"))
        self.assertTrue(told, self.read("said")[-1000:])
        succeeded, unrecorded, not_run = (int(count.replace(",", "")) for count in told.groups())
        self.assertEqual(succeeded + unrecorded, len(self.started()))
        self.assertEqual(100_000 - not_run, len(self.started()))

    def test_interrupted_it_leaves_no_row_open(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            with self.subTest(signal=number.name):
                (self.dir / "marks").unlink(missing_ok=True)
                process = self.begin(100_000)
                self.wait_for_lanes(process)
                process.send_signal(number)
                self.assertEqual(process.wait(), 128 + number, process.stderr.read())
                outcomes = self.outcomes()
                self.assertLessEqual(outcomes, {"succeeded", "cancelled"})
                self.assert_exact(outcomes)
                self.assertEqual(processes_in(self.dir), [])

    def test_steered_it_does_as_it_is_told(self):
        process = self.begin(30_000)
        self.wait_for_lanes(process)
        for _ in range(5):
            self.ok("suspend", "jobs.yaml")
            before = len(self.started())
            self.ok("status", "jobs.yaml")
            self.assertEqual(len(self.started()), before, "something was started while the run was suspended")
            self.ok("resume", "jobs.yaml")
            wait_for(lambda: len(self.started()) > before + 100, "it goes on")
        self.ok("scale", "jobs.yaml", "1")
        self.ok("scale", "jobs.yaml", "2")
        self.ok("disable", "jobs.yaml", "--slices", "29990-29999")
        self.ok("cancel", "jobs.yaml")
        process.wait()
        outcomes = self.outcomes()
        self.assertLessEqual(outcomes, {"succeeded", "cancelled"})
        self.assert_exact(outcomes)

    def test_killed_it_names_what_may_have_run_and_goes_on(self):
        process = self.begin(6000)
        for _ in range(4):
            before = len(self.started())
            self.wait_for_lanes(process)
            wait_for(lambda: len(self.started()) > before + 200, "it goes on")
            crash(process)
            marked = {(mark.key, mark.attempt) for mark in self.started()}
            rows = {(slice, number) for slice, number in self.rows("SELECT slice, number FROM attempt")}
            self.assertLessEqual(marked, rows, "something was started without a row")
            process = self.start("-q", "jobs.yaml", "--resume")
        self.assertEqual(process.wait(), 0, process.stderr.read())
        last = self.rows("SELECT outcome, count(*) FROM (SELECT outcome, max(number) FROM attempt GROUP BY slice) GROUP BY 1")
        self.assertEqual(last, [("succeeded", 6000)])
        started = self.started()
        self.assertEqual(len({(mark.key, mark.attempt) for mark in started}), len(started))

    def test_a_slot_in_the_command_is_the_slot(self):
        for command in ("echo {slice} $RUNNER_SLOT $RUNNER_SLOT >> slots", "echo {slice} {slot} $RUNNER_SLOT >> slots"):
            with self.subTest(command=command):
                self.write("slots", "")
                self.spec(f"slices: 0-1999\nn_procs: 2\ncommand: '{command}'\n")
                process = self.start("-q", "jobs.yaml")
                self.wait_for_lanes(process)
                self.assertEqual(process.wait(), 0, process.stderr.read())
                said = [line.split() for line in self.read("slots").splitlines()]
                self.assertEqual(sorted(int(key) for key, *_ in said), list(range(2000)))
                self.assertEqual({(slot, environment) for _, slot, environment in said}, {("0", "0"), ("1", "1")})


if __name__ == "__main__":
    unittest.main(verbosity=2)
