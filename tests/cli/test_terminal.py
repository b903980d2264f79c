"""Nothing that a slice, a file name or a spec has in it reaches a terminal as a command; a pipe gets the bytes."""
import os
import pty
import re
import select
import subprocess
import time
import unittest

from support import RUNNER, RunnerTest

# C0, DEL, ESC, C1 (as UTF-8 and as a stray byte), bidirectional controls, separators, invalid and cut UTF-8.
NASTY = (b"\x01\x07\x08\x0b\x0c\x0d\x0e\x1b[31mred\x1b[2J\x1b]0;title\x07\x7f\xc2\x9b31m\x9b32m"
         b"\xe2\x80\xaereversed\xe2\x80\xac\xe2\x81\xa6x\xe2\x81\xa9\xe2\x80\xa8\xff\xfe\xc3\xe2\x82 end")
NASTY_NAME = NASTY.replace(b"/", b"")
DECEPTIVE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
# What runner itself draws with.
OWN = re.compile(r"\x1b\[(3[123]|0)m|\r\x1b\[K")


class Terminal(RunnerTest):
    def on_terminal(self, *args, stdout=True, stderr=True, **more):
        """Runs `runner args...` with a terminal as stdout and stderr; what the terminal got, and the exit code."""
        reading, writing = pty.openpty()
        self.addCleanup(os.close, reading)
        process = subprocess.Popen([RUNNER, *args], cwd=self.dir, stdin=subprocess.DEVNULL,
                                   stdout=writing if stdout else subprocess.DEVNULL,
                                   stderr=writing if stderr else subprocess.DEVNULL,
                                   env=self.environment({"TERM": "xterm", **more}))
        self.addCleanup(self._end, process)
        os.close(writing)
        got = b""
        end = time.monotonic() + 60
        while time.monotonic() < end:
            if not select.select([reading], [], [], 1)[0]:
                continue
            try:
                piece = os.read(reading, 65536)
            except OSError:  # the last one has closed it
                break
            if not piece:
                break
            got += piece
        return got, process.wait(timeout=60)

    def check_safe(self, got, what=""):
        text = OWN.sub("", re.sub("\r+\n", "\n", got.decode(errors="surrogateescape")))
        found = DECEPTIVE.search(text)
        self.assertIsNone(found, f"{what}: {found and ascii(text[max(0, found.start() - 60):found.end() + 20])}")
        return text

    def safe_on_terminal(self, *args, code=0, **more):
        got, status = self.on_terminal(*args, **more)
        self.assertEqual(status, code, got)
        return self.check_safe(got, args)

    def test_logs(self):
        self.write("nasty", NASTY + b"\nplain \xc3\xa9\xe2\x82\xac\ttab\r\n")
        self.spec("slices: 0-0\ncommand: cat nasty\n")
        self.ok("jobs.yaml")
        self.assertEqual(self.ok("logs", "jobs.yaml", "0", text=False).stdout, (self.dir / "nasty").read_bytes())
        for arguments in (["logs", "jobs.yaml", "0"], ["logs", "jobs.yaml", "0", "-f"]):
            shown = self.safe_on_terminal(*arguments)
            self.assertIn(r"\x01\x07\x08\x0b\x0c\r\x0e\x1b[31mred\x1b[2J\x1b]0;title\x07\x7f\xc2\x9b31m\x9b32m"
                          r"\u202ereversed\u202c", shown)
            self.assertIn("plain é€\ttab\n", shown)

    def test_a_character_that_is_read_in_two_pieces_is_one(self):
        self.write("long", b"x" * 65535 + "é€\x1b".encode() * 30000)
        self.spec("slices: 0-0\ncommand: cat long\n")
        self.ok("jobs.yaml")
        self.assertEqual(self.safe_on_terminal("logs", "jobs.yaml", "0"), "x" * 65535 + r"é€\x1b" * 30000)

    def test_output_that_is_printed(self):
        self.write("nasty", b"begin " + NASTY + b"\n" + NASTY * 3000 + b"\nend\n" + b"no newline \xe2\x82")
        self.spec("slices: 0-1\nn_procs: 1\ncommand: cat nasty; cat nasty >&2\n")
        for how in ("line", "group"):
            with self.subTest(print=how):
                shown = self.safe_on_terminal("jobs.yaml", "--print", how)
                self.assertIn(r"begin \x01\x07\x08", shown)
                self.assertEqual(shown.count(r"no newline \xe2\x82"), 4)
                piped = self.ok("jobs.yaml", "--print", how, text=False)
                self.assertIn(b"begin " + NASTY, piped.stdout)
                self.assertIn(b"begin " + NASTY, piped.stderr)

    def test_reports_of_slices_with_such_keys_and_last_words(self):
        (self.dir / "data").mkdir()
        (self.dir / "data" / os.fsdecode(NASTY_NAME)).write_bytes(NASTY)
        spec = ("slices: {files: 'data/*'}\nvars: {twice: '{file}'}\nretries: 1\nretry_delay: 0s\n"
                "command: %s\n")
        commands = {"failed": ("\"cat {file} >&2; exit 3\"", 1), "not started": ("['{file.name}']", 1),
                    "missing output": ("[cat, '{file}']\noutputs: ['{file.name}.out']", 1),
                    "stdin": ("[cat]\nstdin: '{file}.none'", 1), "stdout": ("[cat]\nstdout: '{file}/below'", 1),
                    "killed": ("\"cat {file} >&2; kill -KILL $$\"", 1), "succeeded": ("\"cat {file}\"", 0)}
        for name, (command, code) in commands.items():
            with self.subTest(end=name):
                self.spec(spec % command)
                self.check_safe(self.ok("jobs.yaml", code=code, text=False).stderr, "not a terminal")
                self.safe_on_terminal("jobs.yaml", "-v", "--color", "always", code=code)
                for arguments in (["status", "jobs.yaml"], ["status", "jobs.yaml", "--json"], ["check", "jobs.yaml"],
                                  ["status", "jobs.yaml", "--format", "joblog"], ["jobs.yaml", "-n"],
                                  ["logs", "jobs.yaml", "@0"]):
                    refused = name == "not started" and arguments[0] == "check"
                    self.safe_on_terminal(*arguments, code=1 if refused else 0)
                self.check_safe(self.run_log().encode(errors="surrogateescape"), "run.log")
                self.check_safe(self.ok("status", "jobs.yaml", text=False).stdout, "status, not a terminal")
                self.check_safe(self.ok("status", "jobs.yaml", "--json", text=False).stdout, "JSON, not a terminal")

    def test_messages_with_names_from_the_command_line(self):
        nasty = os.fsdecode(NASTY_NAME)
        self.spec("slices: 0-1\ncommand: 'false'\n")
        self.spec("name: fine\nslices: 0-1\ncommand: 'false'\n", nasty + ".yaml")
        self.ok("jobs.yaml", code=1)
        shown = self.safe_on_terminal(nasty + ".yaml", code=1)
        typed = re.search(r"runner (\$'.*') --resume", shown).group(1)  # can be pasted all the same
        names = subprocess.run(["bash", "-c", f"printf %s {typed}"], stdout=subprocess.PIPE, check=True).stdout
        self.assertEqual(names, NASTY_NAME + b".yaml")
        for code, arguments in [
                (0, ["check", nasty + ".yaml"]), (0, ["status", nasty + ".yaml"]), (2, [nasty]), (2, ["status", nasty]),
                (2, ["logs", "jobs.yaml", nasty]), (2, ["--" + nasty, "jobs.yaml"]), (2, ["jobs.yaml", "--slices", nasty]),
                (2, ["jobs.yaml", "--n-procs", nasty]), (2, ["jobs.yaml", "--set", nasty]), (2, ["jobs.yaml", nasty]),
                (2, ["jobs.yaml", "--color", nasty]), (2, ["status", "jobs.yaml", "--run", nasty]),
                (2, ["status", "jobs.yaml", "--format", nasty]), (2, ["jobs.yaml", "--print", nasty]),
                (4, ["jobs.yaml", "--state-dir", "/proc/" + nasty]), (2, ["help", nasty]),
                (2, ["status", "--state-dir", nasty]), (2, ["jobs.yaml", "--set", nasty + "=1"])]:
            with self.subTest(arguments=arguments):
                self.safe_on_terminal(*arguments, code=code)

    def test_messages_about_specs(self):
        escapes = r'"\e[31m \x07 \x7f \u009b \u202e \u2028 \n"'
        for text in (f"{escapes}: 1", f"slices: {escapes}\ncommand: x", f"slices: 0-1\ncommand: x\nn_procs: {escapes}",
                     f"slices: 0-1\ncommand: x\nname: {escapes}", f"slices: 0-1\ncommand: x\nworkdir: {escapes}",
                     f"slices: 0-1\ncommand: x\ntimeout: {escapes}", f"slices: 0-1\ncommand: x\nprint: {escapes}",
                     f"slices: {{files: {escapes}}}\ncommand: x", f"slices: {{lines: {escapes}}}\ncommand: x",
                     f"slices: {{list: [a]}}\ncommand: x\nvars: {{{escapes}: 1}}",
                     f"slices: {{list: [a]}}\ncommand: x\nenv: {{{escapes}: 1}}",
                     f"slices: 0-1\ncommand: x\nretry_on: [{escapes}]", f"slices: 0-1\ncommand: x\nstate_dir: {escapes}",
                     f"slices: {{matrix: {{{escapes}: 0-1}}}}\ncommand: x", f"slices: 0-1\ncommand: x\nlog: {{{escapes}: 1}}",
                     f"slices: 0-1\ncommand: x\nlog: {{level: {escapes}}}", f"slices: 0-1\ncommand: 'x {{slise:{escapes}}}'",
                     "slices: 0-1\ncommand: x\n\u202ename: y", "slices: 0-1\ncommand: [\u202e", "&\u009b x: *\u202e",
                     b"slices: 0-1\ncommand: \x1b[31m", b"slices: \xff\x9b", b"\x1b]0;x\x07: 1"):
            with self.subTest(spec=text):
                self.spec(text)
                got, _ = self.on_terminal("check", "jobs.yaml")
                self.check_safe(got, text)

    def test_a_table_and_its_mistakes(self):
        self.write("t.csv", b"a,\x1b[31m\xc2\x9b\n1,2\n1,2,3\n\"\x1b[2J\n")
        self.spec("slices: {table: t.csv}\ncommand: x {a}\n")
        self.safe_on_terminal("check", "jobs.yaml", code=2)

    def test_the_difference_to_the_spec_of_the_run(self):
        self.spec("slices: 0-1\ncommand: 'false' # \u202e one\n")
        self.ok("jobs.yaml", code=1)
        self.spec("slices: 0-1\ncommand: 'false' # \u202e two \u009b\n")
        shown = self.safe_on_terminal("jobs.yaml", "--resume", code=2)
        self.assertIn("# \\u202e two \\xc2\\x9b", shown)


if __name__ == "__main__":
    unittest.main(verbosity=2)
