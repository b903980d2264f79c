"""A live run that tests see and steer: through its socket, and by files that its slices wait for."""
import contextlib
import http.client
import json
import socket

from support import RunnerTest, wait_for

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
