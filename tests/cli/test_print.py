"""--print: the slices' own output on stdout and stderr, in whole slices or whole lines."""
import os
import re
import subprocess
import unittest
from collections import defaultdict

from support import RUNNER, RunnerTest, engine_pid, wait_for

with open(RUNNER, "rb") as binary:
    SANITIZED = re.search(rb"__[at]san_init", binary.read()) is not None  # has memory of its own to spend


class Print(RunnerTest):
    def test_group_prints_slice_by_slice_in_order_of_completion(self):
        # 2 ends first, then 1, then 0; each writes its first line before any of them ends.
        self.spec("slices: 0-2\nn_procs: 3\ncommand: |\n"
                  "  echo begin {slice}; echo error {slice} >&2; touch up-{slice}\n"
                  "  while ! test -e up-0 -a -e up-1 -a -e up-2; do sleep 0.01; done\n"
                  "  test {slice} = 2 || while ! grep -qs \"jobs/$(({slice} + 1)). pid:[0-9]* completed\" "
                  ".runner/jobs/latest/run.log; do sleep 0.01; done\n"
                  "  echo end {slice}\n")
        result = self.ok("jobs.yaml", "-q", "--print", "group")
        self.assertEqual(result.stdout, "".join(f"begin {i}\nend {i}\n" for i in (2, 1, 0)))
        self.assertEqual(result.stderr, "".join(f"error {i}\n" for i in (2, 1, 0)))

    def test_line_prints_whole_lines_with_the_slice_before_them(self):
        self.spec("slices: 5-6\ncommand: printf 'a {slice}\\nb {slice}\\n\\nno end'; echo error {slice} >&2\n")
        result = self.ok("jobs.yaml", "-q", "--print", "line")
        for i in (5, 6):
            lines = [line for line in result.stdout.splitlines() if line.startswith(f"{i}: ")]
            self.assertEqual(lines, [f"{i}: a {i}", f"{i}: b {i}", f"{i}: ", f"{i}: no end"])
        self.assertEqual(len(result.stdout.splitlines()), 8)
        self.assertEqual(sorted(result.stderr.splitlines()), ["5: error 5", "6: error 6"])

    def test_lines_are_never_mixed(self):
        """Four slices write pieces of lines at once, of lengths from nothing to far more than a pipe holds."""
        self.write("talk.py",
                   "import os, sys\n"
                   "me = int(sys.argv[1])\n"
                   "for i in range(40):\n"
                   "    text = b'%d/%d:' % (me, i) + b'abcdefgh'[me:me + 1] * (7 ** (i % 7)) + b'\\n'\n"
                   "    for at in range(0, len(text), 5000):\n"
                   "        os.write(1, text[at:at + 5000])\n")
        self.spec("slices: 0-3\nn_procs: 4\ncommand: [/usr/bin/python3, talk.py, '{slice}']\n")
        for together in (subprocess.PIPE, subprocess.STDOUT):
            with self.subTest(stderr=together):
                out = self.start("jobs.yaml", "--print", "line", stderr=together).communicate(timeout=60)[0]
                found = defaultdict(list)
                for line in out.splitlines():
                    match = re.fullmatch(r"(\d): (\d)/(\d+):(([a-d])\5*)", line)
                    if match:
                        self.assertEqual((match[1], match[5]), (match[2], "abcd"[int(match[2])]))
                        found[int(match[1])].append((int(match[3]), len(match[4])))
                    else:
                        self.assertRegex(line, r"^(jobs|logs)\b", "neither a line of a slice nor one of runner's")
                self.assertEqual(dict(found), {i: [(n, 7 ** (n % 7)) for n in range(40)] for i in range(4)})

    def test_what_is_printed_is_in_the_log_as_well(self):
        self.spec("slices: 0-3\ncommand: echo out {slice}; echo err {slice} >&2\n")
        for how in ("group", "line"):
            self.ok("jobs.yaml", "--print", how)
            log = self.ok("logs", "jobs.yaml", "2").stdout
            self.assertEqual(sorted(log.splitlines()), ["err 2", "out 2"])

    def test_a_slice_that_leaves_a_process_with_its_output_behind_still_ends(self):
        self.spec("slices: 0-0\ncommand: echo before; setsid sleep 1000 & echo $! > pid; echo after\n")
        try:
            result = self.ok("jobs.yaml", "-q", "--print", "line", timeout=30)
            self.assertEqual(sorted(result.stdout.splitlines()), ["0: after", "0: before"])
        finally:
            try:
                os.kill(int(self.read("pid")), 9)
            except ProcessLookupError:
                pass  # runner has ended it

    def field(self, pid, file, name):
        """A number from /proc/PID; 0 when the process has ended."""
        try:
            with open(f"/proc/{pid}/{file}") as lines:
                return next((int(line.split()[1]) for line in lines if line.startswith(name + ":")), 0)
        except OSError:
            return 0

    def wait_until_stalled(self, engine):
        """Until runner has read something and has then stopped reading its slices' output."""
        seen = []

        def stalled():
            seen.append(self.field(engine, "io", "rchar"))
            return seen[-1] > 500000 and len(seen) > 20 and seen[-20] == seen[-1]
        wait_for(stalled, "runner reads no more than it can write")

    def print_100_mb(self, how, command):
        """Runs it and returns what was printed and the most memory that runner had."""
        self.spec(f"slices: 0-1\nn_procs: 2\ncommand: {command}\n")
        process = self.start("jobs.yaml", "-q", "--print", how, text=False, stderr=subprocess.DEVNULL)
        engine = engine_pid(process)
        if how == "line":
            self.wait_until_stalled(engine)
        chunks, memory = [], 0
        while not chunks or chunks[-1]:
            chunks.append(process.stdout.read(1 << 20))
            memory = max(memory, self.field(engine, "status", "VmHWM"))
        self.assertEqual(process.wait(), 0)
        self.assertGreater(memory, 1024)
        return b"".join(chunks), memory

    def check_memory(self, kib):
        if not SANITIZED:
            self.assertLess(kib, 64 * 1024)

    def test_100_mb_in_lines_need_little_memory(self):
        for how in ("group", "line"):
            with self.subTest(how=how):
                out, memory = self.print_100_mb(how, "yes 0123456789abcdef | head -c 51000000")
                prefixes = (b"0: ", b"1: ") if how == "line" else (b"",)
                lines = sum(out.count(b"\n" + p + b"0123456789abcdef") + out.startswith(p) for p in prefixes)
                self.assertEqual(out.count(b"\n"), 6000000)
                self.assertIn(lines, (6000000, 6000001))
                self.check_memory(memory)

    def test_a_line_of_100_mb_needs_little_memory(self):
        out, memory = self.print_100_mb("line", "head -c 50000000 /dev/zero | tr '\\0' {slice}")
        lines = out.split(b"\n")
        self.assertEqual(sorted(len(line) for line in lines), [0, 50000003, 50000003])
        for line in lines[:2]:
            self.assertEqual(line[:3] + line[3:].lstrip(line[:1]), line[:1] + b": ")
        self.check_memory(memory)


if __name__ == "__main__":
    unittest.main(verbosity=2)
