"""Records of earlier versions: status and logs read them as they are, a resume brings them up to date and finishes them.

tests/old_records/schema_<n>.sql is a record as version n left it when it was killed: slices 0, 1 and 3 had succeeded,
2 had failed, 4 and 5 were running, 6 and 7 were claimed.
"""
import hashlib
import json
import pathlib
import sqlite3
import unittest

from support import RunnerTest

RECORDS = pathlib.Path(__file__).resolve().parent.parent / "old_records"
SPEC = (RECORDS / "schema_1.yaml").read_text()


class OldRecord(RunnerTest):
    def setUp(self):
        super().setUp()
        self.spec(SPEC)
        self.write("go", "")  # slices 4 to 7 need not wait any more
        self.state_dir().mkdir(parents=True, mode=0o700)
        self.database = self.state_dir() / "state.db"
        with sqlite3.connect(self.database) as db:
            db.executescript((RECORDS / "schema_1.sql").read_text())
        db.close()
        (self.run_id,), = self.rows("SELECT id FROM run")
        self.write(self.state_dir() / "runs" / self.run_id / "slices/0000/1.1.log", "hello 1\n")

    def meta(self, name):
        (value,), = self.rows(f"SELECT value FROM meta WHERE name = '{name}'")
        return value

    def digest(self):
        return hashlib.sha256(self.database.read_bytes()).hexdigest()

    def test_schema_1_is_read_without_a_change(self):
        before = self.digest()
        status = self.status()
        self.assertIsNone(status["run"]["containment"])
        job = status["jobs"][0]
        self.assertEqual((job["total"], job["succeeded"], job["failed"], job["waiting"]), (8, 3, 5, 0))
        self.assertEqual(job["may_have_run"]["selection"], "4-7")
        self.assertNotIn("held by", self.ok("status", "jobs.yaml").stdout)
        self.assertEqual(self.ok("logs", "jobs.yaml", "1").stdout, "hello 1\n")
        self.assertEqual(self.ok("status", "jobs.yaml", "--format", "joblog").stdout.count("\n"), 5)
        self.ok("jobs.yaml", "--resume", "--dry-run")
        self.assertEqual(self.digest(), before)
        self.assertEqual(sorted(p.name for p in self.state_dir().iterdir() if p.name.startswith("state")), ["state.db"])

    def test_schema_1_is_brought_up_to_date_by_a_resume_and_finished(self):
        said = self.ok("jobs.yaml", "--resume").stderr
        self.assertIn("4 slices may have run before: 4-7", said)
        self.assertEqual(self.meta("schema"), "6")
        self.assertEqual(sorted(self.read("ran").split()), ["2.2", "4.2", "5.2", "6.2", "7.2"])
        self.assertEqual(self.rows("SELECT slice, number, outcome FROM attempt ORDER BY slice, number"),
                         [(0, 1, "succeeded"), (1, 1, "succeeded"), (2, 1, "failed"), (2, 2, "succeeded"),
                          (3, 1, "succeeded"), (4, 1, "lost"), (4, 2, "succeeded"), (5, 1, "lost"),
                          (5, 2, "succeeded"), (6, 1, "lost"), (6, 2, "succeeded"), (7, 1, "lost"),
                          (7, 2, "succeeded")])
        boot_id = pathlib.Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        self.assertEqual(self.rows("SELECT id, state, resumes, boot_id FROM run"),
                         [(self.run_id, "completed", 1, boot_id)])
        self.assertEqual(self.ok("logs", "jobs.yaml", "1").stdout, "hello 1\n")

    def test_a_new_run_is_kept_beside_the_old_one(self):
        self.ok("jobs.yaml", code=1)
        self.assertEqual([id for id, in self.rows("SELECT id FROM run")][0], self.run_id)
        self.assertEqual(json.loads(self.ok("status", "jobs.yaml", "--run", self.run_id, "--json").stdout)
                         ["jobs"][0]["succeeded"], 3)

    def test_a_newer_record_is_refused_and_not_touched(self):
        with sqlite3.connect(self.database) as db:
            db.execute("UPDATE meta SET value = '99' WHERE name = 'schema'")
            db.execute("UPDATE meta SET value = 'runner 9.0' WHERE name = 'written_by'")
        db.close()
        before = self.digest()
        for args in (["jobs.yaml"], ["jobs.yaml", "--resume"], ["status", "jobs.yaml"], ["logs", "jobs.yaml", "1"]):
            refused = self.ok(*args, code=4)
            self.assertIn("has schema 99, written by runner 9.0", refused.stderr)
            self.assertIn("use the other version for this run, or move the file away and start anew", refused.stderr)
            self.assertEqual(refused.stdout, "")
        self.assertEqual(self.digest(), before)
        self.assertFalse((self.dir / "ran").exists())
        self.assertEqual([p.name for p in (self.state_dir() / "runs").iterdir()], [self.run_id])

    def test_schema_2_is_read_without_a_change_and_finished_by_a_resume(self):
        self.database.unlink()
        with sqlite3.connect(self.database) as db:
            db.executescript((RECORDS / "schema_2.sql").read_text())
        db.close()
        before = self.digest()
        status = self.status()
        self.assertEqual((status["run"]["containment"], status["counters"]), ("guard, death signal, cookie", {}))
        self.assertEqual(status["jobs"][0]["may_have_run"]["selection"], "4-7")
        self.assertEqual(self.digest(), before)
        self.assertIn("4 slices may have run before: 4-7", self.ok("jobs.yaml", "--resume").stderr)
        self.assertEqual(self.meta("schema"), "6")
        self.assertEqual(self.rows("SELECT * FROM counter_total"), [])


if __name__ == "__main__":
    unittest.main(verbosity=2)
