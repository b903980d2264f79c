"""Slices say how far they are by the protocol of sd_notify(3), and status shows it."""
import os
import shutil
import socket
import unittest

from support import RunnerTest, wait_for

SAY = """
import os, socket, sys, time
address = os.environ["NOTIFY_SOCKET"]
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
for text in sys.argv[1:]:
    s.sendto(text.encode().decode("unicode_escape").encode("latin-1"), "\\0" + address[1:] if address[0] == "@" else address)
while not os.path.exists("go"):  # whose words they are is asked of the kernel, when they are read
    time.sleep(0.02)
"""


class Notify(RunnerTest):
    def setUp(self):
        super().setUp()
        self.write("say.py", SAY)

    def start_saying(self, command, **more):
        self.spec(f"slices: 0-0\ncommand: |\n  {command}\n  while ! test -e go; do sleep 0.02; done\n")
        process = self.start("jobs.yaml", **more)
        wait_for((self.state_dir() / "latest").exists, "the run is recorded")
        return process

    def finish(self, process):
        self.write("go", "")
        self.assertEqual(process.wait(timeout=30), 0)

    def says(self):
        running = self.status()["jobs"][0]["running_attempts"]
        return (running[0]["progress"], running[0]["status"]) if running else None

    def test_status_and_progress_are_shown_while_it_runs(self):
        process = self.start_saying("python3 say.py 'STATUS=reading \\x1b[1mblock' X_PROGRESS=0.25 X_PROGRESS=0.359")
        wait_for(lambda: self.says() == (0.359, "reading \x1b[1mblock"), "it is in the record")
        self.assertRegex(self.ok("status", "jobs.yaml").stdout, r"SAYS\n.* 35% reading \\x1b\[1mblock\n")
        self.finish(process)
        self.assertNotIn("SAYS", self.ok("status", "jobs.yaml").stdout)

    @unittest.skipUnless(shutil.which("systemd-notify"), "there is no systemd-notify")
    def test_systemd_notify_works_and_does_not_wait(self):
        process = self.start_saying("systemd-notify --status='from a child' X_PROGRESS=0.5")
        wait_for(lambda: self.says() == (0.5, "from a child"), "it is in the record")
        self.finish(process)

    def test_one_in_a_session_of_its_own_is_known_by_its_cookie(self):
        process = self.start_saying("setsid python3 say.py STATUS=elsewhere")
        wait_for(lambda: self.says() == (None, "elsewhere"), "it is in the record")
        self.finish(process)

    def test_what_is_no_slice_is_not_believed(self):
        process = self.start_saying("echo $NOTIFY_SOCKET > address")
        wait_for(lambda: (self.dir / "address").exists() and self.read("address"), "the slice runs")
        address = self.read("address").strip()
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as stranger:
            where = "\0" + address[1:] if address[0] == "@" else address
            for text in [b"STATUS=stranger\nX_PROGRESS=0.9", b"", b"\xff\x00" * 1000, b"X" * 100_000]:
                stranger.sendto(text, where)
        for path in ([] if address[0] == "@" else [address]):
            self.assertEqual(os.stat(path).st_mode & 0o077, 0)
        wait_for(lambda: self.says() is not None, "the slice is recorded as running")
        self.finish(process)
        self.assertEqual(self.rows("SELECT progress, status FROM attempt"), [(None, None)])
        self.assertFalse(os.path.exists(address))

    def test_runners_own_socket_is_not_handed_down(self):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ours:
            ours.bind(str(self.dir / "ours"))
            process = self.start_saying("echo $NOTIFY_SOCKET > address", env={"NOTIFY_SOCKET": str(self.dir / "ours")})
            wait_for(lambda: (self.dir / "address").exists() and self.read("address"), "the slice runs")
            self.assertNotEqual(self.read("address").strip(), str(self.dir / "ours"))
            self.finish(process)


if __name__ == "__main__":
    unittest.main(verbosity=2)
