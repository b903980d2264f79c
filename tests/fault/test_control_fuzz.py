"""The control socket of a live run is fed what valid requests become when bytes, lengths and manners go wrong.

RUNNER_FUZZ_SECONDS: for how long (5); RUNNER_SEED: of what is sent (random, and printed).
"""
import collections
import os
import random
import socket
import struct
import threading
import time
import unittest

from faults import wait_for
from support import engine_pid
from control import ControlTest

SECONDS = float(os.environ.get("RUNNER_FUZZ_SECONDS", "5"))
SEED = int(os.environ.get("RUNNER_SEED", random.randrange(10**6)))
CLIENTS = 6

# Whoever scales the run cannot make more than six slices of it at a time, and once both jobs have begun whoever disables
# it cannot end it.
SPEC = """
n_procs: 6
jobs:
  gate: {{slices: 0-3, n_procs: 4, command: ': > on.{{slice}}; until test -e go; do sleep 0.1; done'}}
  busy: {{slices: 0-{last}, n_procs: 2, command: ': > on.busy; test -e go || sleep 0.05'}}
"""


def get(target, *headers):
    return b"\r\n".join([b"GET " + target + b" HTTP/1.1", b"Host: x", *headers, b"", b""])


def post(what, body):
    return b"POST /v1/%s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (what, len(body), body)


def chunked(what, *pieces):
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in (*pieces, b""))
    return b"POST /v1/%s HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n%s" % (what, chunks)


# Nothing that cancels: what a mutation could make of it cannot be taken back.
VALID = [
    get(b"/v1/run"), get(b"/v1/run", b"Connection: close"), get(b"/v1/events"),
    get(b"/v1/slices?job=busy&state=ready&offset=10&limit=100"), get(b"/v1/slices?limit=1000"),
    get(b"/v1/slices?job=%62usy&state=%72unning"), b"HEAD /v1/run HTTP/1.0\r\n\r\n",
    post(b"suspend", b'{"job": "busy", "slices": "3,7-9"}'), post(b"resume", b"{}"), post(b"retry", b'{"slices": [1, "2-3"]}'),
    post(b"disable", b'{"job": "busy", "slices": "0-9"}'), post(b"enable", b'{"job": "busy"}'), post(b"scale", b'{"n_procs": 6}'),
    chunked(b"suspend", b'{"slices": ', b'"busy/3"}'), chunked(b"scale", b'{"n_procs"', b": 6}"),
]
PIECES = [
    b"\r\n", b"\r\n\r\n", b"\0", b"\xff\xfe", b"%", b"%00", b"%zz", b"?&=&", b"/../..", b"HTTP/9.9", b"HTTP/1.0", b"PRI * HTTP/2.0",
    b"Content-Length: 18446744073709551616\r\n", b"Content-Length: -1\r\n", b"Content-Length: 0\r\n", b"Content-Length: 1000000\r\n",
    b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: gzip, chunked\r\n", b"Expect: 100-continue\r\n",
    b"Connection: upgrade\r\nUpgrade: websocket\r\n", b"ffffffffffffffff\r\n", b"0;x=y\r\n", b"99999999999999999999", b"1e999",
    b"-0", b"null", b'"\\ud800"', b"{}", b"[" * 5000, b'{"a":' * 3000,
]


def mutated(text, rng):
    text = bytearray(text)
    for _ in range(rng.choice([0, 1, 1, 2, 3, 8])):
        at, to = rng.randrange(len(text) + 1), rng.randrange(1, 40)
        kind = rng.randrange(8)
        if kind == 0 and at < len(text):
            text[at] = rng.randrange(256)
        elif kind == 1:
            del text[at:at + to]
        elif kind == 2:
            text[at:at] = rng.randbytes(to)
        elif kind == 3:
            text[at:at] = rng.choice(PIECES)
        elif kind == 4:
            text[at:at] = text[:at]
        elif kind == 5:
            text[at:at] = bytes([rng.randrange(32, 127)]) * rng.choice([100, 9000, 300000])
        elif kind == 6:
            text[at:at] = b"".join(b"H%d: %d\r\n" % (i, i) for i in range(rng.choice([3, 100, 2000])))
        else:
            digits = [i for i, byte in enumerate(text) if chr(byte).isdigit()]
            if digits:
                text[rng.choice(digits)] = ord(rng.choice("0123456789-."))
    return bytes(text)


class Client:
    """Sends nonsense until it is told to end, and counts what it sent and what came back."""

    def __init__(self, path, number):
        self.path, self.rng = path, random.Random(f"{SEED}.{number}")
        self.requests, self.replies, self.trouble = 0, collections.Counter(), None

    def run(self, end):
        try:
            while not end.is_set():
                (self.crowd if self.rng.random() < 0.003 else self.talk)()
        except Exception as error:  # pylint: disable=broad-except
            self.trouble = repr(error)

    def connect(self):
        sock = socket.socket(socket.AF_UNIX)
        # Less than the server's patience: who has no more to say is answered or dropped before. Not by settimeout(), with
        # which connect() fails at once where others wait.
        for limit in (socket.SO_SNDTIMEO, socket.SO_RCVTIMEO):
            sock.setsockopt(socket.SOL_SOCKET, limit, struct.pack("@ll", 25, 0))
        sock.connect(self.path)
        return sock

    def talk(self):
        """One connection, of one to five requests at once."""
        texts = [mutated(self.rng.choice(VALID), self.rng) for _ in range(self.rng.choice([1, 1, 1, 2, 5]))]
        self.requests += len(texts)
        with self.connect() as sock:
            try:
                self.send(sock, b"".join(texts))
                if self.rng.random() < 0.2:
                    return  # without a look at the reply
                sock.shutdown(socket.SHUT_WR)
                reply = sock.recv(100)
                while self.rng.random() < 0.99 and sock.recv(65536):  # or it is left in the middle
                    pass
            except (BrokenPipeError, ConnectionResetError):
                return
        if reply:
            self.replies[reply[:12].decode("ascii", "replace")] += 1

    def send(self, sock, text):
        manner = self.rng.randrange(6)
        if manner == 0:
            for byte in text[:200]:
                sock.sendall(bytes([byte]))
            sock.sendall(text[200:])
        elif manner == 1:
            while text:
                size = self.rng.randrange(1, 2000)
                sock.sendall(text[:size])
                text = text[size:]
        elif manner == 2:
            sock.sendall(text[:self.rng.randrange(len(text) + 1)])
        else:
            sock.sendall(text)

    def crowd(self):
        """More clients than there may be, of which some say something."""
        socks = []
        try:
            for _ in range(80):
                socks.append(self.connect())
                if self.rng.random() < 0.5:
                    self.requests += 1
                    self.send(socks[-1], mutated(self.rng.choice(VALID), self.rng))
        except (BrokenPipeError, ConnectionResetError):
            pass
        finally:
            for sock in socks:
                sock.close()


def sockets(pid):
    """How many it has open."""
    found = 0
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            found += os.readlink(f"/proc/{pid}/fd/{name}").startswith("socket:")
        except OSError:
            pass  # closed meanwhile
    return found


def memory_kib(pid, what):
    with open(f"/proc/{pid}/status") as text:
        return next(int(line.split()[1]) for line in text if line.startswith(what))


class ControlFuzz(ControlTest):
    def test_whatever_is_sent_the_run_goes_on_and_answers(self):
        print(f"RUNNER_SEED={SEED}, {SECONDS:g} s", flush=True)
        process = self.live(SPEC.format(last=int(40 * SECONDS)), on=(*range(4), "busy"))
        engine = engine_pid(process)
        before, memory = sockets(engine), memory_kib(engine, "VmRSS")
        clients = [Client(self.path(), number) for number in range(CLIENTS)]
        end = threading.Event()
        threads = [threading.Thread(target=client.run, args=(end,)) for client in clients]
        for thread in threads:
            thread.start()
        until = time.monotonic() + SECONDS
        while time.monotonic() < until and process.poll() is None and not any(client.trouble for client in clients):
            self.ask("POST", "/v1/resume", {})  # 503 where there is a crowd, 409 where nothing is suspended
            end.wait(0.2)
        end.set()
        for thread in threads:
            thread.join()
        if process.poll() is not None:
            self.fail(f"the run has ended with {process.returncode}: {process.communicate()[1]}")
        self.assertEqual([client.trouble for client in clients if client.trouble], [])
        replies = sum((client.replies for client in clients), collections.Counter())
        print(f"{sum(client.requests for client in clients)} requests; replies: {dict(replies)}; memory {memory} KiB before, "
              f"{memory_kib(engine, 'VmRSS')} after, {memory_kib(engine, 'VmHWM')} at most", flush=True)
        self.assertLessEqual({reply[9:] for reply in replies}, {"200", "400", "404", "405", "409", "413", "503"})
        wait_for(lambda: sockets(engine) <= before, "no connection is left behind")
        self.assertLess(memory_kib(engine, "VmHWM"), 256 * 1024)
        for what in ("enable", "resume"):
            self.assertIn(self.ask("POST", f"/v1/{what}", {})[0], (200, 409))
        self.assertEqual(self.ask("GET", "/v1/run")[0], 200)
        self.write("go", "")
        self.finish(process)
        self.assertEqual(set(self.rows("SELECT state FROM slice_state")), {("completed",)})


if __name__ == "__main__":
    unittest.main(verbosity=2)
