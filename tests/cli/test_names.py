"""File names with everything in them that a file name may have reach the program as they are, byte for byte."""
import json
import os
import subprocess
import unittest

from support import RunnerTest

NAMES = [
    b"plain",
    b'My brother\'s 12" *** record  (costs $$$).jpg',
    b"-rf",
    b"--",
    b"-",
    b" leading and trailing ",
    b"tab\tand\rreturn",
    b"two\nlines",
    b"\nnewlines around\n",
    b"$(touch pwned)",
    b"`touch pwned`",
    b"; touch pwned; #",
    b"| touch pwned &",
    b"%s%n%d",
    b"back\\slash\\n\\",
    b"'",
    b'"',
    b"'\"'\"'",
    b"!history! ~ ^caret^",
    b"{slice} {{item}} {file} ${HOME} $HOME",
    b"[a-z]*?",
    "Grüße, 日本語 \U0001f600".encode(),
    "e\u0301 and \u00e9, \u202eright to left".encode(),
    b"latin-1: \xe9\xff\xfe",
    b"cut short: \xe2\x82",
    b"\x01\x02\x1b[31mred\x7f",
    b"= a = b",
    b"n" * 200 + b".h5",
]
# Each puts the argument into a file of its own, named by the slice's index.
COMMANDS = {
    "list": "[sh, -c, 'printf %s \"$1\" > out/$RUNNER_INDEX', sh, '{VAR}']",
    "bare": "\"printf %s {VAR} > out/$RUNNER_INDEX\"",
    "single": "\"printf %s '{VAR}' > out/$RUNNER_INDEX\"",
    "double": "'printf %s \"{VAR}\" > out/$RUNNER_INDEX'",
    "part of a word": "'printf %s ./x{VAR} > out/$RUNNER_INDEX'",
    "environment": "'printf %s \"$RUNNER_VAR_{NAME}\" > out/$RUNNER_INDEX'",
}


class Names(RunnerTest):
    def setUp(self):
        super().setUp()
        (self.dir / "out").mkdir()
        (self.dir / "data").mkdir()

    def outputs(self):
        """What the slices got, and the files are gone again."""
        paths = sorted((self.dir / "out").iterdir(), key=lambda path: int(path.name))
        contents = [path.read_bytes() for path in paths]
        for path in paths:
            path.unlink()
        return contents

    def check(self, slices, variable, expected):
        """Runs every command over `slices` and compares what the programs got with `expected`, in any order."""
        for name, command in COMMANDS.items():
            with self.subTest(command=name):
                command = command.replace("{VAR}", "{" + variable + "}").replace("{NAME}", variable.upper())
                self.spec(f"slices: {slices}\ncommand: {command}\n")
                self.ok("jobs.yaml")
                prefix = b"./x" if name == "part of a word" else b""
                self.assertEqual(sorted(self.outputs()), sorted(prefix + value for value in expected))
                self.assertFalse((self.dir / "pwned").exists())

    def test_files(self):
        for name in NAMES:
            (self.dir / "data" / os.fsdecode(name)).write_bytes(b"")
        self.check("{files: 'data/*'}", "file", [b"data/" + name for name in NAMES])

    def test_files_of_the_current_directory(self):
        """Names that begin with a dash reach the program as they are; "--" or "./" is for the command to add."""
        for name in NAMES:
            (self.dir / os.fsdecode(name)).write_bytes(b"")
        self.spec("slices: {files: '*'}\ncommand: [sh, -c, 'printf %s \"$1\" > out/$RUNNER_INDEX', sh, '{file}']\n")
        self.ok("jobs.yaml")
        self.assertEqual(sorted(self.outputs()), sorted(NAMES + [b"data", b"jobs.yaml", b"out"]))

    def test_stems_and_names(self):
        for name in NAMES:
            (self.dir / "data" / os.fsdecode(name)).write_bytes(b"")
        self.spec("slices: {files: 'data/*'}\n"
                  "command: [sh, -c, 'printf %s \"$1\" > out/$RUNNER_INDEX', sh, '{file.dir}|{file.name}']\n")
        self.ok("jobs.yaml")
        self.assertEqual(sorted(self.outputs()), sorted(b"data|" + name for name in NAMES))

    def test_lines(self):
        lines = [name for name in NAMES if b"\n" not in name]
        self.write("list.txt", b"\n".join(lines) + b"\n")
        self.check("{lines: list.txt}", "line", lines)

    def test_lists(self):
        """YAML is UTF-8, and its double-quoted text can say everything else, as JSON's can."""
        texts = []
        for name in NAMES:
            try:
                texts.append(name.decode())
            except UnicodeDecodeError:
                pass  # cannot be written in YAML
        written = json.dumps(texts, ensure_ascii=False).replace("\x7f", "\\x7f")
        self.check("{list: " + written + "}", "item", [text.encode() for text in texts])

    def test_dry_run_prints_what_a_shell_reads_back(self):
        lines = [name for name in NAMES if b"\n" not in name]
        self.write("list.txt", b"\n".join(lines) + b"\n")
        self.spec("slices: {lines: list.txt}\ncommand: [printf, '%s\\n', '{line}']\n")
        script = self.ok("jobs.yaml", "-n", text=False).stdout
        out = subprocess.run(["/bin/sh"], input=script, cwd=self.dir, stdout=subprocess.PIPE, check=True).stdout
        self.assertEqual(out, b"".join(line + b"\n" for line in lines))

    def test_reports_and_logs_of_such_slices(self):
        for name in NAMES:
            (self.dir / "data" / os.fsdecode(name)).write_bytes(b"")
        self.spec("slices: {files: 'data/*'}\ncommand: \"printf %s {file.name}; exit 3\"\n")
        result = self.ok("jobs.yaml", code=1, text=False)
        self.assertNotIn(b"\x1b[31m", result.stderr)  # a name is data, not a command to the terminal
        result.stderr.decode()  # and always readable
        status = self.ok("status", "jobs.yaml", "--json", text=False).stdout
        failed = json.loads(status.decode())["jobs"][0]["failed_slices"]
        self.assertEqual(failed["count"], len(NAMES))
        for name in NAMES:
            log = self.ok("logs", "jobs.yaml", os.fsdecode(b"data/" + name), text=False)
            self.assertEqual(log.stdout, name)
        self.ok("logs", "jobs.yaml", "data/no such name", code=2)
        self.ok("jobs.yaml", "--resume", code=1, text=False)
        self.assertEqual(self.rows("SELECT count(*), max(number) FROM attempt"), [(2 * len(NAMES), 2)])


if __name__ == "__main__":
    unittest.main(verbosity=2)
