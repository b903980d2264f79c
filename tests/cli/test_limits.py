#!/usr/bin/python3
"""What is too long for the kernel: said of the slice it concerns, and of no other; keys of every kind get their own log."""
import support
from support import unittest

LONGEST = 131071  # MAX_ARG_STRLEN without its NUL


class Limits(support.RunnerTest):
    def test_the_longest_command_runs_and_one_byte_more_is_not_started(self):
        # The value is put together from two variables: in one it would be too long for the environment.
        for form, literal in (("'prog() { :; }; prog {a}{b}{slice}'", 20), ('[/bin/true, "{a}{b}{slice}"]', 0)):
            with self.subTest(form=form):
                length = LONGEST - literal - len("99")
                self.spec(f"slices: 99-100\ncommand: {form}\n"
                          f"vars: {{a: {'x' * 60000}, b: {'y' * (length - 60000)}}}\n")
                self.ok("jobs.yaml", code=1)
                first, second = self.rows("SELECT outcome, detail FROM attempt ORDER BY run, slice")[-2:]
                self.assertEqual((first[0], second[0]), ("succeeded", "not_started"))
                self.assertIn("131,072 bytes long, but the kernel takes at most 131,071 in one piece", second[1])
                self.assertIn("131,072 bytes long", self.ok("jobs.yaml", "-n", code=1).stderr)

    def test_arguments_that_are_too_much_together_are_told_too(self):
        words = ", ".join(f'"{{a}}{i}"' for i in range(80))
        self.spec(f"slices: 0-1\ncommand: [/bin/true, {words}]\nvars: {{a: {'x' * 100000}}}\n")
        self.ok("jobs.yaml", code=1)
        self.assertEqual([(r[0], r[2]) for r in self.rows()], [(0, "not_started"), (1, "not_started")])
        self.assertIn("arguments and environment are too long for the kernel",
                      self.rows("SELECT detail FROM attempt")[0][0])

    def test_keys_of_every_kind_have_a_log_of_their_own(self):
        keys = ["..", ".", "/", "-rf", "../../x", "a", "A", "~", "%", "%2E", "k" * 300, "K" * 300, "k" * 299 + "x",
                "\\x1b[31m", "a b", "é", "a.1.log"]
        listed = ", ".join(f'"{key}"' for key in keys)
        self.spec(f"slices: {{list: [{listed}]}}\ncommand: [printf, '<%s>', '{{item}}']\n")
        self.ok("jobs.yaml")
        run = self.state_dir() / "latest"
        logs = self.rows("SELECT log, key FROM attempt ORDER BY slice")
        self.assertEqual(len({log.lower() for log, _ in logs}), len(keys), "different for whoever ignores case")
        for log, key in logs:
            self.assertEqual((run / log).read_text(), f"<{key}>")
        there = {str(p.relative_to(run.resolve())) for p in (run.resolve() / "slices").rglob("*") if p.is_file()}
        self.assertEqual(there, {log for log, _ in logs})
        for _, key in logs[4:7]:
            self.assertEqual(self.ok("logs", "jobs.yaml", "--", key).stdout, f"<{key}>")


if __name__ == "__main__":
    unittest.main()
