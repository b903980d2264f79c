"""Every wrong spec of the table, through the binary: its messages on stderr, exit 2, and nothing started."""
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent / "wrong_specs"))
import table  # noqa: E402
from support import RunnerTest


class WrongSpecs(RunnerTest):
    def test_each_gives_its_messages_and_starts_nothing(self):
        rows = table.read()
        self.assertGreaterEqual(len(rows), 60)
        for i, row in enumerate(rows):
            for args in (["spec.yaml"], ["check", "spec.yaml"]):
                with self.subTest(row.name, args=args):
                    where = self.dir / f"{i}-{len(args)}"
                    where.mkdir()
                    row.write_to(where)
                    before = sorted(where.rglob("*"))
                    result = self.ok(*args, code=2, cwd=where)
                    self.assertEqual(result.stderr.splitlines(),
                                     [line.replace("DIR", str(where)) for line in row.expected])
                    self.assertEqual(result.stdout, "")
                    self.assertEqual(sorted(where.rglob("*")), before)


if __name__ == "__main__":
    unittest.main(verbosity=2)
