"""A live run is seen and steered: by subcommands, by HTTP on its socket, and by SIGUSR1 and SIGUSR2."""
import contextlib
import http.client
import json
import os
import random
import shutil
import signal
import socket
import stat
import subprocess
import time
import unittest
from pathlib import Path

from support import SANITIZED, RunnerTest, crash, engine_pid, is_alive, wait_for

# Each slice says that it is there, then waits to be let go.
WAITS = """
slices: 0-5
n_procs: 2
command: ': > on.{slice}; while [ ! -e go.{slice} ]; do sleep 0.02; done'
"""


def is_stopped(pid):
    """Or it has its SIGSTOP and waits in the kernel for a vfork child of it that is stopped."""
    try:
        with open(f"/proc/{pid}/stat") as text:
            return text.read().rpartition(")")[2].split()[0] in "TtD"
    except OSError:
        return False


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("runner", timeout=30)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(30)
        self.sock.connect(self.path)


class ControlTest(RunnerTest):
    def live(self, text=WAITS, *args, on=(0, 1), **more):
        self.spec(text)
        process = self.start("jobs.yaml", *args, **more)
        for slice_ in on:
            self.is_on(slice_)
        wait_for(lambda: (self.state_dir() / "control").exists(), "the run listens")
        return process

    def is_on(self, slice_):
        wait_for(lambda: (self.dir / f"on.{slice_}").exists(), f"slice {slice_} runs")

    def let_go(self, *slices):
        for slice_ in slices:
            self.write(f"go.{slice_}", "")

    def finish(self, process, code=0):
        out, err = process.communicate(timeout=60)
        self.assertEqual(process.returncode, code, err)
        return err

    def path(self):
        return self.read(".runner/jobs/control").strip()

    def ask(self, method, target, body=None):
        with contextlib.closing(UnixConnection(self.path())) as connection:
            connection.request(method, target, json.dumps(body) if body is not None else None)
            response = connection.getresponse()
            return response.status, json.loads(response.read())

    def pids(self):
        """Slice -> pid, of those that run or are suspended."""
        return {one["slice"]: one["pid"] for one in self.ask("GET", "/v1/slices?limit=1000")[1]["slices"] if "pid" in one}

    def steering(self):
        return self.rows("SELECT what, job, slices, user FROM steering ORDER BY at")


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


class Api(ControlTest):
    def setUp(self):
        super().setUp()
        self.process = self.live()

    def end(self):
        self.let_go(0, 1, 2, 3, 4, 5)
        self.finish(self.process)

    def test_the_socket_is_its_owners_alone(self):
        mode = os.stat(self.path()).st_mode
        self.assertTrue(stat.S_ISSOCK(mode))
        self.assertEqual(mode & 0o777, 0o600)
        self.assertEqual(os.stat(os.path.dirname(self.path())).st_mode & 0o077, 0)
        self.end()

    @unittest.skipUnless(shutil.which("curl"), "no curl")
    def test_curl_works(self):
        out = subprocess.run(["curl", "-s", "--unix-socket", self.path(), "http://runner/v1/run"], check=True,
                             stdout=subprocess.PIPE).stdout
        self.assertEqual(json.loads(out)["run"]["name"], "jobs")
        self.end()

    def test_slices_come_by_page_and_filter(self):
        wait_for(lambda: self.ask("GET", "/v1/slices?state=running")[1]["total"] == 2, "two run")
        status, page = self.ask("GET", "/v1/slices?state=ready&offset=1&limit=2")
        self.assertEqual((status, page["total"]), (200, 4))
        self.assertEqual([one["slice"] for one in page["slices"]], [3, 4])
        self.assertEqual(self.ask("GET", "/v1/slices?job=none")[0], 404)
        self.assertEqual(self.ask("GET", "/v1/slices?state=lazy")[0], 400)
        self.assertEqual(self.ask("GET", "/v1/slices?offset=-1")[0], 400)
        self.end()

    def test_slices_that_are_disabled_are_not_said_to_be_ready(self):
        self.ask("POST", "/v1/disable", {"slices": "2-4"})
        self.ask("POST", "/v1/enable", {"slices": "4"})
        wait_for(lambda: self.ask("GET", "/v1/slices?state=disabled")[1]["total"] == 2, "they are")
        self.assertEqual(self.ask("GET", "/v1/slices?state=ready")[1]["total"], 2)
        self.ask("POST", "/v1/enable", {})
        self.end()

    def test_an_empty_name_is_not_the_whole_run(self):
        for body in ({"job": ""}, {"job": "jobs", "slices": ""}, {"slices": ""}, {"slices": [""]}):
            with self.subTest(body=body):
                self.assertEqual(self.ask("POST", "/v1/cancel", body)[0], 409)
        self.end()

    def test_what_cannot_be_is_refused_with_a_reason(self):
        for method, target, body, code in (("GET", "/", None, 404), ("POST", "/v1/run", {}, 405),
                                           ("GET", "/v1/suspend", None, 405), ("POST", "/v1/scale", {}, 400),
                                           ("POST", "/v1/scale", {"n_procs": 0}, 409),
                                           ("POST", "/v1/suspend", {"slices": 7.5}, 400),
                                           ("POST", "/v1/suspend", {"slices": "9-99"}, 409),
                                           ("POST", "/v1/suspend", ["x"], 400), ("POST", "/v1/retry", {}, 409)):
            with self.subTest(target=target, body=body):
                status, answer = self.ask(method, target, body)
                self.assertEqual(status, code, answer)
                self.assertTrue(answer["error"])
        self.assertEqual(self.ask("POST", "/v1/suspend", {"slices": [0, "2-3"]}), (200, {"slices": 3}))
        self.assertEqual(self.ask("POST", "/v1/resume", {"job": "jobs"})[0], 200)
        self.end()

    def test_events_are_a_stream_that_ends_with_the_run(self):
        connection = UnixConnection(self.path())
        connection.request("GET", "/v1/events")
        response = connection.getresponse()
        self.end()
        events = [json.loads(line) for line in response.read().decode().splitlines()]
        self.assertEqual(sum(one.get("outcome") == "succeeded" for one in events), 6)
        self.assertEqual((events[-1]["system"], events[-1]["state"]), ("run", "completed"))

    def test_who_asks_all_the_time_is_told_what_is_new(self):
        self.let_go(0)
        wait_for(lambda: self.ask("GET", "/v1/run")[1]["jobs"][0]["succeeded"] == 1, "slice 0 has ended", deadline=10)
        self.end()

    def test_a_reply_to_head_has_no_body(self):
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(30)
            client.connect(self.path())
            client.sendall(b"HEAD /v1/run HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            reply = b"".join(iter(lambda: client.recv(65536), b""))
        self.assertRegex(reply, rb"^HTTP/1.1 405 ")
        self.assertTrue(reply.endswith(b"\r\n\r\n"), reply)
        self.end()

    def test_a_trailer_without_end_does_no_harm(self):
        for size in (1000, 10_000, 40_000, 70_000, 1_000_000):
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(30)
                client.connect(self.path())
                try:
                    client.sendall(b"POST /v1/suspend HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nH: " + b"x" * size)
                    client.sendall(b"\r\n\r\n")
                    client.shutdown(socket.SHUT_WR)
                    while client.recv(65536):
                        pass
                except (BrokenPipeError, ConnectionResetError):
                    pass
        self.assertEqual(self.ask("GET", "/v1/run")[0], 200)
        self.ask("POST", "/v1/resume", {})
        self.end()

    def test_nonsense_does_no_harm(self):
        randomness = random.Random(20261121)
        whole = b"POST /v1/suspend HTTP/1.1\r\nHost: x\r\nContent-Length: 19\r\n\r\n{\"slices\": \"9-9999\"}"
        for _ in range(int(os.environ.get("RUNNER_FUZZ_REQUESTS", "300"))):
            text = bytearray(whole)
            for _ in range(randomness.randrange(1, 8)):
                at = randomness.randrange(len(text))
                kind = randomness.randrange(4)
                if kind == 0:
                    text[at] = randomness.randrange(256)
                elif kind == 1:
                    del text[at:at + randomness.randrange(1, 20)]
                elif kind == 2:
                    text[at:at] = bytes(randomness.randrange(256) for _ in range(randomness.randrange(1, 40)))
                else:
                    text[at:at] = text[:at]
                text = text or bytearray(b"G")
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(30)
                client.connect(self.path())
                try:
                    client.sendall(text)
                    client.shutdown(socket.SHUT_WR)
                    while client.recv(65536):
                        pass
                except (BrokenPipeError, ConnectionResetError):
                    pass
        for long_one in (b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\n\r\n",
                         b"POST /v1/suspend HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n"):
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(30)
                client.connect(self.path())
                try:
                    client.sendall(long_one)
                except (BrokenPipeError, ConnectionResetError):
                    pass
        self.assertEqual(self.ask("GET", "/v1/run")[0], 200)
        self.ask("POST", "/v1/resume", {})
        self.end()

    def test_many_clients_that_say_nothing_do_not_keep_the_run_from_ending(self):
        silent = []
        for _ in range(100):
            client = socket.socket(socket.AF_UNIX)
            self.addCleanup(client.close)
            client.connect(self.path())
            silent.append(client)
        self.end()


class SlowReader(ControlTest):
    """RUNNER_SLOW_READER_SECONDS: for how long nothing is read; default: while 10,000 slices run."""

    def memory_kib(self, pid):
        try:
            with open(f"/proc/{pid}/status") as text:
                return next((int(line.split()[1]) for line in text if line.startswith("VmRSS")), 0)
        except OSError:
            return 0

    def test_a_client_that_reads_nothing_costs_little_and_is_dropped(self):
        seconds = float(os.environ.get("RUNNER_SLOW_READER_SECONDS", "0"))
        self.spec(f"slices: 0-{10**7 if seconds else 9999}\nn_procs: 4\ncommand: 'true'\n")
        process = self.start("jobs.yaml")
        wait_for(lambda: (self.state_dir() / "control").exists(), "the run listens")
        engine = engine_pid(process)
        before = self.memory_kib(engine)
        for request in (b"GET /v1/events HTTP/1.1\r\nHost: x\r\n\r\n",
                        b"GET /v1/slices?limit=1000 HTTP/1.1\r\nHost: x\r\n\r\n" * 10000):
            client = socket.socket(socket.AF_UNIX)
            self.addCleanup(client.close)
            client.connect(self.path())
            client.setblocking(False)
            client.send(request)  # as much of it as goes
        most, until = 0, time.monotonic() + seconds
        while is_alive(engine) and process.poll() is None:
            most = max(most, self.memory_kib(engine))
            if seconds and time.monotonic() > until:
                self.ok("cancel", "jobs.yaml")
                seconds = 0
            time.sleep(0.01)
        self.finish(process, code=3 if "RUNNER_SLOW_READER_SECONDS" in os.environ else 0)
        ended = self.rows("SELECT count(*) FROM attempt WHERE outcome = 'succeeded'")[0][0]
        print(f"\n{ended} slices; memory {before} KiB before, {most} at most", flush=True)
        if not SANITIZED:  # which keeps what was freed
            self.assertLess(most, 64 * 1024)


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
