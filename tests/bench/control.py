"""What 10,000 requests to the socket of a live run cost it: runs of slices that sleep, about 2,000 of them a second, in
pairs with and without a client that asks for the state of the run and for pages of its slices."""

import socket
import subprocess
import time

from common import Row, median, say, write_spec

SLICES = 10_000
N_PROCS = 22
NAP_MS = 10  # and half a ms to start and end it: 22 at a time make some 2,000 a second
REQUESTS = 10_000
REQUEST_SECONDS = 4.0  # over which they are spread: less than a run can take, which is 4.5 s
TARGETS = ["/v1/run", "/v1/slices?state=running", "/v1/slices?offset=1000&limit=50"]


class Client:
    """One connection, kept alive."""

    def __init__(self, path):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(path)
        self.rest = b""

    def ask(self, request):
        self.sock.sendall(request)
        while b"\r\n\r\n" not in self.rest:
            self.receive()
        head, _, self.rest = self.rest.partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200 "):
            raise SystemExit(f"bench: {request!r} was answered by {head!r}")
        length = int(head.lower().partition(b"content-length:")[2].split()[0])
        while len(self.rest) < length:
            self.receive()
        self.rest = self.rest[length:]

    def receive(self):
        piece = self.sock.recv(1 << 16)
        if not piece:
            raise SystemExit("bench: the run hung up")
        self.rest += piece


def ask_all(path):
    """Seconds a request, median."""
    client = Client(path)
    requests = [f"GET {target} HTTP/1.1\r\nHost: runner\r\n\r\n".encode() for target in TARGETS]
    began = time.monotonic()
    times = []
    for number in range(REQUESTS):
        wait = began + number * REQUEST_SECONDS / REQUESTS - time.monotonic()
        if wait > 0.002:
            time.sleep(wait)
        sent = time.monotonic()
        client.ask(requests[number % len(requests)])
        times.append(time.monotonic() - sent)
    return median(times)


def one_run(setting, asks):
    """Seconds it took, and a request's."""
    directory = setting.work / "control"
    argv = [setting.tool("stamp"), "{slot}", str(directory / "stamps"), str(NAP_MS)]
    spec = write_spec(directory, SLICES, argv, n_procs=N_PROCS)
    place = directory / ".runner" / "bench" / "control"
    began = time.monotonic()
    with subprocess.Popen([setting.runner, spec, "-q"]) as process:
        while not place.exists() or not place.read_text().endswith("\n"):
            time.sleep(0.001)
        request = ask_all(place.read_text().strip()) if asks else None
        if process.poll() is not None:
            raise SystemExit("bench: the run was over before the last request")
        process.wait()
    if process.returncode != 0:
        raise SystemExit(f"bench: exit code {process.returncode} from runner")
    return time.monotonic() - began, request


def rows(setting):
    ratios, rates, requests = [], [], []
    pairs = 3 if setting.quick else 9
    for number in range(pairs):
        took = {}
        for asks in (False, True) if number % 2 else (True, False):
            took[asks], request = one_run(setting, asks)
            requests += [request] if asks else []
        rates.append(SLICES / took[False])
        ratios.append(took[True] / took[False])
        say(f"  control, pair {number + 1}/{pairs}: {ratios[-1]:.3f}")
    cost = median(ratios) - 1
    return [
        Row("slices a second without requests", f"{median(rates):,.0f}"),
        Row("a request, median", f"{median(requests) * 1e3:.2f} ms"),
        Row(f"what the run takes longer with them, median of {pairs} pairs", f"{cost:.1%}", "at most 3%", cost <= 0.03),
    ]
