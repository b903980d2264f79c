"""Values of environment variables are nowhere but with the slices, and slices get no file of runner's."""
import contextlib
import os
import sqlite3
import unittest

from support import RunnerTest

INHERITED = "inherited-5a91c0d2"
OF_THE_SPEC = "of-the-spec-77be103f"


class Secrets(RunnerTest):
    ENDS = {"succeeded": "command: env\nstdout: got-{slice}", "failed": "command: exit 3",
            "not found": "command: [no-such-program]", "too long": "command: [echo, '{long}']\nvars: {long: %s}" % ("x" * 140_000),
            "no directory": "command: [env]\nworkdir: none", "timed out": "command: sleep 60\ntimeout: 50ms\ngrace: 1s",
            "not executable": "command: [./jobs.yaml]", "dumped": "command: ulimit -c 0; kill -SEGV $$"}

    def test_environment_values_appear_nowhere(self):
        env = {"SECRET_TOKEN": INHERITED}
        for end, keys in self.ENDS.items():
            with self.subTest(end=end):
                self.spec(f"slices: 0-1\nn_procs: 1\nlog: {{level: trace}}\nenv: {{MY_TOKEN: '{OF_THE_SPEC}'}}\n{keys}\n")
                said = ""
                for arguments in (["jobs.yaml", "-n"], ["check", "jobs.yaml"], ["jobs.yaml", "-vv"],
                                  ["jobs.yaml", "--resume", "-vv"], ["status", "jobs.yaml"], ["status", "jobs.yaml", "--json"],
                                  ["status", "jobs.yaml", "--format", "joblog"], ["logs", "jobs.yaml", "0"],
                                  ["jobs.yaml", "--resume", "-n"]):
                    result = self.runner(*arguments, env=env)
                    said += result.stdout + result.stderr
                self.assertNotIn(INHERITED, said)
                self.assertNotIn(OF_THE_SPEC, said)
                self.check_files()
        got = self.read("got-0")
        self.assertIn(f"SECRET_TOKEN={INHERITED}\n", got)
        self.assertIn(f"MY_TOKEN={OF_THE_SPEC}\n", got)

    def check_files(self):
        """The spec, which the user wrote, is kept as it is: a file, and a column of the record. Nothing else has it."""
        for path in self.state_dir().rglob("*"):
            if not path.is_file() or path.is_symlink():
                continue
            contents = path.read_bytes()
            self.assertNotIn(INHERITED.encode(), contents, path)
            if path.name != "spec.yaml" and not path.name.startswith("state.db"):
                self.assertNotIn(OF_THE_SPEC.encode(), contents, path)
        with contextlib.closing(sqlite3.connect(f"file:{self.state_dir()}/state.db?mode=ro", uri=True, timeout=30)) as db:
            for (table,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
                rows = db.execute(f"SELECT * FROM {table}")
                columns = [column[0] for column in rows.description]
                for row in rows:
                    for column, value in zip(columns, row):
                        if (table, column) != ("run", "spec"):
                            self.assertNotIn(OF_THE_SPEC, str(value), f"{table}.{column}")


class Descriptors(RunnerTest):
    def test_slices_have_three_descriptors_and_no_more(self):
        """Not runner's own, not those of other slices, and not what runner was started with by mistake."""
        self.write("in", "")
        leaked = [os.open(self.dir / "in", os.O_RDONLY) for _ in range(3)] + [os.dup2(0, 500)]
        for fd in leaked:
            self.addCleanup(os.close, fd)
            os.set_inheritable(fd, True)
        # Directly, for a shell opens files of its own; 3 is the listing itself. Its success is no success: each is retried.
        command = "command: [/bin/ls, /proc/self/fd]\nsuccess_codes: [9]\nretries: 1\nretry_delay: 0s\n"
        for files in ("", "stdin: in\n", "stdout: out-{slice}-{attempt}\n", "stdin: in\nstdout: out-{slice}-{attempt}\n"):
            for how in ("none", "line", "group"):
                with self.subTest(files=files, print=how):
                    self.spec("slices: 0-5\nn_procs: 3\n" + command + files)
                    self.ok("jobs.yaml", "--print", how, code=1, pass_fds=leaked)
                    logs = self.state_dir() / "latest" / "slices" / "0000"
                    seen = sorted(self.dir.glob("out-*") if "stdout" in files else logs.glob("*.log"))
                    self.assertEqual(len(seen), 12)
                    for path in seen:
                        self.assertEqual(path.read_text().split(), ["0", "1", "2", "3"], path.name)
                        path.unlink()

    def test_the_three_are_what_the_spec_says(self):
        self.write("in", "")
        links = "readlink /proc/$$/fd/0 /proc/$$/fd/1 /proc/$$/fd/2 | cat >seen"
        for files, how, expected in (
                ("", "none", ["/dev/null", "/slices/.slot-0.0.0.1.log", "/slices/.slot-0.0.0.1.log"]),
                ("stdin: in\nstdout: out\n", "none", ["/in", "/out", "/slices/.slot-0.0.0.1.log"]),
                ("stdout: out\n", "line", ["/dev/null", "/out", "pipe:["]),
                ("", "group", ["/dev/null", "pipe:[", "pipe:["])):
            with self.subTest(files=files, print=how):
                self.spec(f"slices: 0-0\ncommand: [sh, -c, '{links}']\n" + files)
                self.ok("jobs.yaml", "--print", how)
                for got, wanted in zip(self.read("seen").splitlines(), expected, strict=True):
                    self.assertIn(wanted, got)


if __name__ == "__main__":
    unittest.main(verbosity=2)
