"""HTTP on the socket of a live run: what it answers, to whom, and what clients that misbehave cost."""
import json
import os
import random
import shutil
import socket
import stat
import subprocess
import time
import unittest

from control import ControlTest, UnixConnection
from support import SANITIZED, engine_pid, is_alive, wait_for


class Api(ControlTest):
    def setUp(self):
        super().setUp()
        self.process = self.live()

    def end(self):
        self.let_go(0, 1, 2, 3, 4, 5)
        self.finish(self.process)

    def send_raw(self, *pieces):
        """Until the server has said all it has to say, or has hung up."""
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(30)
            client.connect(self.path())
            try:
                for piece in pieces:
                    client.sendall(piece)
                client.shutdown(socket.SHUT_WR)
                while client.recv(65536):
                    pass
            except (BrokenPipeError, ConnectionResetError):
                pass

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
            self.send_raw(b"POST /v1/suspend HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nH: " + b"x" * size, b"\r\n\r\n")
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
            self.send_raw(text)
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

if __name__ == "__main__":
    unittest.main()
