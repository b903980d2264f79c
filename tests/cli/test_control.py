"""A live run is steered by subcommands, by SIGUSR1 and SIGUSR2, and by the machine's load."""
import contextlib
import os
import shutil
import signal
import unittest
from pathlib import Path

from control import WAITS, ControlTest, UnixConnection, is_stopped
from support import crash, engine_pid, is_alive, wait_for


class Subcommands(ControlTest):
    def test_a_suspended_run_stands_still_and_goes_on(self):
        process = self.live()
        pids = wait_for(lambda: len(self.pids()) == 2 and self.pids(), "both are told of").values()
        self.ok("suspend", "jobs.yaml")
        wait_for(lambda: all(is_stopped(pid) for pid in pids), "they are stopped")
        self.let_go(0, 1, 2, 3, 4, 5)
        wait_for(lambda: self.ask("GET", "/v1/run")[1]["run"]["state"] == "suspended", "the run is")
        self.assertFalse((self.dir / "on.2").exists())
        refused = self.ok("suspend", "jobs.yaml", code=2)
        self.assertIn("nothing to suspend", refused.stderr)
        self.ok("resume", "jobs.yaml")
        self.finish(process)
        user = {row[3] for row in self.steering()}
        self.assertEqual([row[:3] for row in self.steering()], [("suspend", "", ""), ("resume", "", "")])
        self.assertEqual(len(user), 1)
        log = self.run_log()
        for state in ("suspended", "running", "completed"):
            self.assertRegex(log, rf"\[jobs\] pid:\d+ {state}")
            self.assertRegex(log, rf"\[jobs/0\] pid:\d+ {state}")
        self.assertIn(f"suspend by {user.pop()}: jobs, 2 slices", log)
        self.assertFalse((self.state_dir() / "control").exists())

    def test_ctrl_c_on_a_suspended_run_says_what_its_slices_wait_for(self):
        process = self.live()
        self.ok("suspend", "jobs.yaml")
        process.send_signal(signal.SIGINT)
        wait_for(lambda: "SIGINT" in self.run_log(), "that is in the log")
        self.ok("resume", "jobs.yaml")
        self.let_go(0, 1)
        self.assertIn("2 running may end (2 of them suspended, until `runner resume`); press", self.finish(process, 130))
        self.assertEqual(self.rows("SELECT slice, outcome FROM attempt"), [(0, "succeeded"), (1, "succeeded")])

    def test_a_slice_that_had_ended_when_it_was_suspended_has_succeeded(self):
        process = self.live()
        engine = engine_pid(process)
        pids = wait_for(lambda: len(self.pids()) == 2 and self.pids(), "both are told of").values()
        with contextlib.closing(UnixConnection(self.path())) as connection:
            connection.request("GET", "/v1/run")
            connection.getresponse().read()
            os.kill(engine, signal.SIGSTOP)
            wait_for(lambda: is_stopped(engine), "the engine hears nothing")
            connection.request("POST", "/v1/suspend", "{}")  # what it will hear first
            self.let_go(0, 1)
            wait_for(lambda: not any(map(is_alive, pids)), "both have ended")
            os.kill(engine, signal.SIGCONT)
            self.assertEqual(connection.getresponse().status, 200)
        wait_for(lambda: self.ask("GET", "/v1/slices?state=completed")[1]["total"] == 2, "their ends are heard")
        self.assertFalse((self.dir / "on.2").exists())
        self.ok("resume", "jobs.yaml")
        self.let_go(2, 3, 4, 5)
        self.finish(process)
        self.assertEqual({row[2] for row in self.rows()}, {"succeeded"})

    def test_resume_of_a_run_that_is_not_live_finishes_it(self):
        self.spec("slices: 0-1\nretries: 0\ncommand: test -e fixed || test {slice} = 1\n")
        self.ok("jobs.yaml", code=1)
        self.write("fixed", "")
        self.ok("resume", "jobs.yaml")
        self.assertEqual(len(self.rows()), 3)

    def test_resume_of_a_live_run_that_is_not_suspended_says_that_it_is_live(self):
        process = self.live()
        refused = self.ok("resume", "jobs.yaml", code=75)
        self.assertIn("is live", refused.stderr)
        self.let_go(0, 1, 2, 3, 4, 5)
        self.finish(process)

    def test_a_cancelled_slice_is_ended_or_left_out_and_the_others_go_on(self):
        process = self.live(WAITS + "retries: 3\n")
        self.ok("cancel", "jobs.yaml", "--slices", "0,4")
        self.let_go(1, 2, 3, 5)
        self.finish(process, code=1)
        self.assertEqual([row[2] for row in self.rows() if row[0] in (0, 4)], ["cancelled"])
        self.assertIn("cancelled by", self.run_log())
        self.ok("resume", "jobs.yaml", "-n")
        self.let_go(0, 4)
        self.ok("jobs.yaml", "--resume")

    def test_a_cancelled_run_ends_with_3(self):
        process = self.live()
        self.ok("suspend", "jobs.yaml")  # what is stopped can be ended
        self.ok("cancel", "jobs.yaml")
        err = self.finish(process, code=3)
        self.assertIn("cancelled by", err)

    def test_a_failed_slice_is_retried_while_the_run_is_live(self):
        process = self.live("slices: 0-1\nn_procs: 2\nretries: 0\n"
                            "command: ': > on.{slice}; while [ ! -e go.{slice} ]; do sleep 0.02; done; test -e fixed'\n")
        self.let_go(0)
        wait_for(lambda: self.ask("GET", "/v1/slices?state=terminated")[1]["total"] == 1, "slice 0 has failed")
        self.write("fixed", "")
        self.ok("retry", "jobs.yaml")
        wait_for(lambda: self.ask("GET", "/v1/slices?state=completed")[1]["total"] == 1, "slice 0 has succeeded")
        self.let_go(1)
        self.finish(process)
        self.assertEqual([row[:3] for row in self.rows()],
                         [(0, 1, "failed"), (0, 2, "succeeded"), (1, 1, "succeeded")])

    def test_disabled_slices_do_not_run_until_they_are_enabled(self):
        process = self.live()
        self.ok("disable", "jobs.yaml", "--slices", "2-5")
        self.ok("enable", "jobs.yaml", "--slices", "3-5")
        self.let_go(0, 1, 2, 3, 4, 5)
        self.finish(process, code=1)
        self.assertFalse((self.dir / "on.2").exists())
        self.assertRegex(self.run_log(), r"\[jobs/2\] pid:\d+ disabled, disabled by ")

    def test_scale_and_signals_change_how_many_run(self):
        process = self.live()
        self.ok("scale", "jobs.yaml", "3")
        self.is_on(2)
        process.send_signal(signal.SIGUSR1)
        self.is_on(3)
        process.send_signal(signal.SIGUSR2)
        wait_for(lambda: "SIGUSR2" in self.run_log(), "that is in the log")
        self.let_go(0)
        wait_for(lambda: self.ask("GET", "/v1/slices?state=completed")[1]["total"] == 1, "slice 0 has ended")
        self.assertFalse((self.dir / "on.4").exists())
        self.let_go(1, 2, 3, 4, 5)
        self.finish(process)
        self.assertEqual([row[2] for row in self.steering()], ["3", "4", "3"])
        for wrong in ("0", "many"):
            self.assertIn("N is a number", self.ok("scale", "jobs.yaml", wrong, code=2).stderr)

    def test_a_signal_that_steers_does_not_end_a_run_that_is_still_starting(self):
        self.spec("slices: 0-1\ncommand: 'true'\n")

        def has_guard(process):  # from then on it waits for signals
            return Path(f"/proc/{process.pid}/comm").read_text() == "guard\n"

        def has_lock(_):
            return (self.state_dir() / "lock").exists()
        for options, begun in (((), has_guard), (("--no-guard",), has_lock)):
            for _ in range(10):
                shutil.rmtree(self.dir / ".runner", ignore_errors=True)
                process = self.start("jobs.yaml", *options)
                while process.poll() is None and not begun(process):
                    pass
                process.send_signal(signal.SIGUSR1)
                self.finish(process)

    def test_a_slice_that_somebody_continues_completes_although_it_is_suspended(self):
        process = self.live("slices: 0-0\ncommand: ': > on.{slice}; while [ ! -e go.{slice} ]; do sleep 0.02; done'\n",
                            on=(0,))
        pid = wait_for(lambda: self.pids().get(0), "its pid is told")
        self.ok("suspend", "jobs.yaml")
        wait_for(lambda: is_stopped(pid), "it is stopped")
        self.let_go(0)

        def goes_on():  # until the looks that stop it are over
            if is_alive(pid):
                os.killpg(pid, signal.SIGCONT)
            return process.poll() is not None
        wait_for(goes_on, "the run is over")
        self.finish(process)
        self.assertRegex(self.run_log(), r"(?s)jobs/0\] pid:\d+ suspended.*jobs/0\] pid:\d+ running.*completed")

    def test_resume_of_some_slices_leaves_the_others_suspended(self):
        process = self.live()
        self.ok("suspend", "jobs.yaml", "--slices", "0,1")
        self.let_go(*range(6))
        self.ok("resume", "jobs.yaml", "--slices", "0")
        wait_for(lambda: self.ask("GET", "/v1/slices?state=completed")[1]["total"] == 5, "all others go on")
        self.assertEqual(self.ask("GET", "/v1/slices?state=suspended")[1]["total"], 1)
        self.assertIn("nothing to resume", self.ok("resume", "jobs.yaml", "--slices", "0", code=75).stderr)
        self.ok("resume", "jobs.yaml")
        self.finish(process)

    def test_keys_that_begin_with_the_name_of_the_run_are_keys(self):
        (self.dir / "jobs").mkdir()
        for name in ("x", "y"):
            self.write(f"jobs/{name}", "")
        process = self.live("slices: {files: 'jobs/*'}\nn_procs: 1\n"
                            "command: ': > on.0; while [ ! -e go.0 ]; do sleep 0.02; done'\n", on=(0,))
        self.ok("disable", "jobs.yaml", "--slices", "jobs/y")
        self.assertIn("selection is empty", self.ok("cancel", "jobs.yaml", "--slices", "", code=2).stderr)
        self.let_go(0)
        self.finish(process, code=1)
        self.assertEqual([row[2] for row in self.rows()], ["succeeded"])

    def test_a_second_cancel_or_ctrl_c_leaves_the_teardown_alone(self):
        process = self.live(WAITS + "teardown: ': > on.6; while [ ! -e go.6 ]; do sleep 0.02; done'\n")
        self.ok("cancel", "jobs.yaml")
        self.is_on(6)
        self.assertIn("being ended already", self.ok("cancel", "jobs.yaml", code=2).stderr)
        for _ in range(2):
            process.send_signal(signal.SIGTERM)
        wait_for(lambda: "SIGTERM: terminating 0 running, teardown goes on" in self.run_log(), "it is said")
        self.let_go(6)
        err = self.finish(process, code=128 + signal.SIGTERM)
        self.assertIn("no further slice is started", err)
        self.assertRegex(self.run_log(), r"jobs:teardown\] pid:\d+ completed")

    def test_where_no_run_is_live_it_says_what_to_type(self):
        self.spec("slices: 0-1\ncommand: 'true'\n")
        self.assertIn("no run of jobs.yaml is recorded", self.ok("suspend", "jobs.yaml", code=2).stderr)
        self.ok("jobs.yaml")
        self.assertIn("runner status jobs.yaml", self.ok("suspend", "jobs.yaml", code=2).stderr)

    def test_a_crash_leaves_a_stale_socket_that_the_resume_replaces(self):
        process = self.live()
        path = self.path()
        crash(process)
        self.assertTrue(os.path.exists(path))
        self.let_go(0, 1, 2, 3, 4, 5)
        self.ok("resume", "jobs.yaml")
        self.assertFalse(os.path.exists(path))


class Throttle(ControlTest):
    def assert_one_at_a_time(self):
        times = self.rows("SELECT started_at, ended_at FROM attempt ORDER BY started_at")
        self.assertEqual(len(times), 6)
        for before, after in zip(times, times[1:]):
            self.assertLessEqual(before[1], after[0] + 0.001)

    def test_a_machine_short_of_memory_gets_one_slice_at_a_time(self):
        process = self.live(WAITS + "memory_min: 1000000G\n", on=(0,))
        self.let_go(*range(6))
        err = self.finish(process)
        self.assertEqual(err.count("less than memory_min is available"), 1)
        self.assert_one_at_a_time()

    def test_a_machine_above_load_max_gets_one_slice_at_a_time(self):
        # Slice 0 itself is a load of 1: however idle the machine is, a second one is too much.
        process = self.live(WAITS + "load_max: 0.0001\n", on=(0,))
        wait_for(lambda: "the load is above load_max" in self.run_log(), "it is said")
        self.assertFalse((self.dir / "on.1").exists())
        self.let_go(*range(6))
        err = self.finish(process)
        self.assertEqual(err.count("the load is above load_max"), 1 + err.count("the machine is less loaded"))
        self.assert_one_at_a_time()

    def test_a_machine_below_load_max_gets_all_of_them(self):
        process = self.live(WAITS + "load_max: 60000\n")
        self.let_go(*range(6))
        self.assertNotIn("load", self.finish(process))


if __name__ == "__main__":
    unittest.main()
