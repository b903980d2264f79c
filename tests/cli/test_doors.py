"""What is runner's is its user's alone, nobody else's spec or state directory is taken for ours, no link leads out."""
import hashlib
import os
import pathlib
import shutil
import stat
import subprocess
import unittest

from support import RUNNER, RunnerTest, wait_for

NOBODY = 65534
IS_ROOT = os.geteuid() == 0
SPEC = "slices: 0-3\nn_procs: 2\nretries: 0\ncommand: echo out {slice}; test {slice} != 2 || test -e mended\n"


def mode(path):
    return stat.S_IMODE(os.lstat(path).st_mode)


def everything_below(path):
    return [pathlib.Path(root) / name for root, dirs, files in os.walk(path) for name in dirs + files]


def snapshot(path):
    """All that is below: kind, mode, contents."""
    found = {}
    for entry in everything_below(path):
        info = os.lstat(entry)
        contents = hashlib.sha256(entry.read_bytes()).hexdigest() if stat.S_ISREG(info.st_mode) else ""
        found[str(entry)] = (info.st_mode, info.st_ino, contents)
    return found


class Doors(RunnerTest):
    def setUp(self):
        super().setUp()
        self.dir = pathlib.Path(os.path.realpath(self.dir))

    def refused(self, *args, code=2, says):
        result = self.ok(*args, code=code)
        self.assertIn(says, result.stderr)
        self.assertEqual(result.stdout, "")
        return result


class Permissions(Doors):
    def check_tree(self):
        state = self.dir / ".runner" / "jobs"
        self.assertEqual(mode(state), 0o700)
        self.assertEqual(mode(state.parent) & 0o702, 0o700)
        entries = [entry for entry in everything_below(state) if not entry.is_symlink()]
        self.assertGreater(len(entries), 8)
        for entry in entries:
            self.assertEqual(mode(entry), 0o700 if entry.is_dir() else 0o600, entry)
        return {entry.name for entry in entries}

    def test_files_are_private_whatever_the_umask(self):
        """By a user without root's rights, whom a file of mode 0000 would shut out."""
        spec = SPEC.replace("command: ", "command: umask; ") + "log: {max_size: 100, max_files: 3}\n"
        user = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if IS_ROOT else {}
        if IS_ROOT:
            os.chown(self.dir, NOBODY, NOBODY)
        for umask in (0, 0o22, 0o77, 0o777):
            with self.subTest(umask=oct(umask)):
                self.spec(spec + "print: line\n")
                self.ok("jobs.yaml", code=1, umask=umask, **user)
                names = self.check_tree()
                self.assertIn("run.1.log", names)  # of the rotation
                self.spec(spec + "print: line\n")
                self.write("mended", "")
                resumed = self.ok("jobs.yaml", "--resume", umask=umask, **user)
                self.assertEqual(resumed.stdout, f"2: {umask:04o}\n2: out 2\n", "slices have the user's umask")
                self.check_tree()
                self.ok("status", "jobs.yaml", umask=umask, **user)
                os.unlink(self.dir / "mended")
                shutil.rmtree(self.dir / ".runner")

    def test_files_are_private_while_the_run_is_live(self):
        self.spec("slices: 0-1\nn_procs: 2\ncommand: echo x; touch up-{slice}; while ! test -e go; do sleep 0.02; done\n")
        process = self.start("jobs.yaml", preexec_fn=lambda: os.umask(0))
        wait_for(lambda: all((self.dir / f"up-{n}").exists() for n in (0, 1)), "both run")
        names = self.check_tree()
        self.assertLessEqual({"state.db", "state.db-wal", "state.db-shm", "lock", ".slot-0.0.0.1.log", ".slot-1.0.1.1.log"}, names)
        self.write("go", "")
        self.assertEqual(process.wait(timeout=60), 0)


class Trust(Doors):
    def test_a_spec_that_everyone_may_write_to_is_refused(self):
        spec = self.spec(SPEC.replace("test {slice} != 2", "true"))
        spec.chmod(0o646)
        for arguments in (["jobs.yaml"], ["jobs.yaml", "-n"], ["jobs.yaml", "--resume"], ["check", "jobs.yaml"]):
            with self.subTest(arguments=arguments):
                self.refused(*arguments, says=f"everyone may write to {spec}, and so change what would run as you; "
                                              f"type: chmod o-w {spec} (or keep")
                self.assertFalse((self.dir / ".runner").exists())
        subprocess.run(["chmod", "o-w", spec], check=True)
        self.ok("jobs.yaml")
        spec.chmod(0o664)  # a group is the business of who formed it
        self.ok("jobs.yaml")
        spec.chmod(0o666)
        self.ok("status", "jobs.yaml")  # to look is harmless

    def test_a_spec_that_everyone_may_exchange_is_refused(self):
        for where in ("open", "open/below", "open/be/low"):
            with self.subTest(where=where):
                spec = self.spec(SPEC.replace("test {slice} != 2", "true"), f"{where}/jobs.yaml")
                (self.dir / "open").chmod(0o777)
                self.refused(f"{where}/jobs.yaml", says=f"everyone may write to {self.dir}/open, ")
                os.symlink(spec, self.dir / "link.yaml")
                self.refused("link.yaml", says=f"everyone may write to {self.dir}/open, ")
                os.unlink(self.dir / "link.yaml")
                self.assertFalse((spec.parent / ".runner").exists())
                (self.dir / "open").chmod(0o1777)  # as /tmp
                self.ok(f"{where}/jobs.yaml")
                shutil.rmtree(self.dir / "open")

    def test_a_state_directory_that_others_may_write_to_is_refused(self):
        self.spec(SPEC.replace("test {slice} != 2", "true"))
        self.ok("jobs.yaml")
        before = snapshot(self.state_dir())
        for bits in (0o720, 0o702, 0o777, 0o1777):
            self.state_dir().chmod(bits)
            for arguments in (["jobs.yaml"], ["jobs.yaml", "--resume"]):
                self.refused(*arguments, code=4, says=f"{self.state_dir()}: other users may write to it, and so change "
                                                      f"the record; type: chmod go-w {self.state_dir()} (or")
        after = {name: what for name, what in snapshot(self.state_dir()).items() if not name.endswith(("-wal", "-shm"))}
        self.assertEqual(after, before)
        self.state_dir().chmod(0o755)
        self.ok("jobs.yaml")

    def test_a_state_directory_that_everyone_may_exchange_is_refused(self):
        self.spec(SPEC.replace("test {slice} != 2", "true"))
        (self.dir / "open").mkdir()
        (self.dir / "open").chmod(0o777)
        for where in ("open/state", "open/be/low/state", "open/be/../state"):
            self.refused("jobs.yaml", "--state-dir", where, code=4, says=f"everyone may write to {self.dir}/open, ")
        self.assertEqual(os.listdir(self.dir / "open"), [])
        (self.dir / "open").chmod(0o1777)
        self.ok("jobs.yaml", "--state-dir", "open/state/")
        self.assertEqual(mode(self.dir / "open/state"), 0o700)

    @unittest.skipUnless(IS_ROOT, "needs a second user")
    def test_what_belongs_to_another_user_is_said(self):
        spec = self.spec(SPEC.replace("test {slice} != 2", "true"))
        os.chown(spec, NOBODY, NOBODY)
        said = self.ok("jobs.yaml").stderr
        self.assertTrue(said.startswith("runner: warning: jobs.yaml belongs to nobody, who decides what runs as you\n"))
        self.assertNotIn("can exchange the record", said)
        self.assertEqual(self.ok("jobs.yaml", "-q").stderr, "")
        os.chown(self.state_dir(), NOBODY, NOBODY)
        self.assertIn("runner: warning: .runner/jobs belongs to nobody, who can exchange the record\n",
                      self.ok("jobs.yaml").stderr)
        os.chown(self.state_dir(), 0, 0)
        os.chown(self.dir / ".runner", NOBODY, NOBODY)
        self.assertIn("runner: warning: .runner belongs to nobody, ", self.ok("jobs.yaml").stderr)

    @unittest.skipUnless(IS_ROOT, "needs a second user")
    def test_another_user_gets_nothing_of_a_run(self):
        self.dir.chmod(0o755)
        self.spec("slices: 0-1\ncommand: echo secret-of-the-slice\n")
        self.ok("jobs.yaml", umask=0)
        other = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
        for arguments in (["status", "jobs.yaml"], ["logs", "jobs.yaml", "0"], ["jobs.yaml", "--resume"]):
            result = self.runner(*arguments, **other)
            self.assertIn(result.returncode, (2, 4), arguments)
            self.assertNotIn("secret-of-the-slice", result.stdout + result.stderr)
        script = "find .runner; cat .runner/jobs/state.db .runner/jobs/lock .runner/jobs/latest/run.log; touch .runner/x"
        found = subprocess.run(["sh", "-c", script], cwd=self.dir, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **other)
        self.assertLessEqual(set(found.stdout.decode().split()), {".runner", ".runner/jobs", ".runner/.gitignore"})
        self.assertFalse((self.dir / ".runner/x").exists())

    @unittest.skipUnless(IS_ROOT, "needs a second user")
    def test_a_setuid_runner_refuses_to_work(self):
        program = shutil.copy(RUNNER, self.dir / "runner")
        self.dir.chmod(0o755)
        spec = self.spec(SPEC)
        for bits in (0o4755, 0o2755):
            os.chmod(program, bits)
            result = subprocess.run([program, spec, "--state-dir", "/tmp/runner-never"], stderr=subprocess.PIPE, text=True,
                                    user=NOBODY, group=NOBODY, extra_groups=[])
            if os.statvfs(program).f_flag & os.ST_NOSUID:
                self.skipTest("mounted nosuid")
            self.assertIn("is not made to be setuid or setgid", result.stderr)
            if "LeakSanitizer does not work" not in result.stderr:  # it may not look into such a process, and exits with 1
                self.assertEqual(result.returncode, 2, result.stderr)


class Links(Doors):
    """Whatever of the state directory is exchanged for a link, what the link points at stays as it is."""

    def setUp(self):
        super().setUp()
        self.spec(SPEC + "keep_runs: 2\n")
        self.ok("jobs.yaml", code=1)
        self.run_dir = pathlib.Path(os.path.realpath(self.state_dir() / "latest"))
        self.elsewhere = self.dir / "elsewhere"
        self.elsewhere.mkdir()

    def move_away(self, path):
        """In its place: a link to it, so that following the link would go unnoticed."""
        if path.is_symlink() or not path.exists():
            self.write("elsewhere/file", "precious")
            target = self.elsewhere / ("file" if path.suffix else "")
            path.unlink(missing_ok=True)
        else:
            target = self.elsewhere / path.name
            shutil.move(path, target)
        os.symlink(target, path)

    def parts(self):
        run = self.run_dir
        return {
            "the directory": self.state_dir(), "runs": run.parent, "the run": run, "slices": run / "slices",
            "a shard": run / "slices/0000", "a log": run / "slices/0000/2.1.log", "a slot": run / "slices/.slot-0.0.2.2.log",
            "run.log": run / "run.log", "spec.yaml": run / "spec.yaml", "its draft": run / "spec.yaml.new",
            "state.db": self.state_dir() / "state.db", "its WAL": self.state_dir() / "state.db-wal",
            "its index": self.state_dir() / "state.db-shm", "lock": self.state_dir() / "lock",
            "latest": self.state_dir() / "latest", "latest's draft": self.state_dir() / "latest.new",
        }

    REFUSED = dict.fromkeys(["the directory", "runs", "state.db", "its WAL", "its index", "lock"], 4)
    REFUSED_ON_RESUME = {**REFUSED, "the run": 4, "slices": 4, "run.log": 4}

    def check_part(self, name, arguments, refused):
        self.move_away(self.parts()[name])
        before = snapshot(self.elsewhere)
        self.write("mended", "")
        result = self.runner(*arguments)
        self.assertEqual(snapshot(self.elsewhere), before, result.stderr)
        self.assertEqual(result.returncode, refused.get(name, 0), result.stderr)
        if name in refused:
            self.assertIn("symbolic link", result.stderr)
        for look in (["status", "jobs.yaml"], ["status", "jobs.yaml", "--json"], ["logs", "jobs.yaml", "2"],
                     ["jobs.yaml", "--resume", "-n"]):
            self.runner(*look)
        self.assertEqual(snapshot(self.elsewhere), before)

    def check_parts(self, arguments, refused):
        for name in self.parts():
            with self.subTest(part=name):
                self.check_part(name, arguments, refused)
            self.doCleanups()
            self.setUp()

    def test_none_is_followed_by_a_new_run(self):
        self.check_parts(["jobs.yaml"], self.REFUSED)

    def test_none_is_followed_by_a_resumed_run(self):
        self.check_parts(["jobs.yaml", "--resume"], self.REFUSED_ON_RESUME)

    def test_logs_of_a_record_that_names_other_files_are_not_shown(self):
        self.write("secret", "private\n")
        for log in ("../../../../secret", f"{self.dir}/secret"):
            subprocess.run(["sqlite3", self.state_dir() / "state.db", f"UPDATE attempt SET log = '{log}'"], check=True)
            result = self.runner("logs", "jobs.yaml", "2")
            self.assertEqual((result.returncode, result.stdout), (4, ""))
            self.assertNotIn("private", self.ok("status", "jobs.yaml").stdout)
            self.assertNotIn("private", self.ok("status", "jobs.yaml", "--json").stdout)

    def test_a_record_whose_run_is_a_path_is_not_resumed(self):
        subprocess.run(["sqlite3", self.state_dir() / "state.db", "UPDATE run SET id = '../../elsewhere'"], check=True)
        self.assertIn("is no run's id", self.ok("jobs.yaml", "--resume", code=4).stderr)
        self.assertEqual(os.listdir(self.elsewhere), [])

    def test_pruning_deletes_nothing_behind_a_link(self):
        self.write("elsewhere/kept", "precious")
        shutil.rmtree(self.run_dir)
        os.symlink(self.elsewhere, self.run_dir)
        self.write("mended", "")
        for _ in range(2):  # the second makes the first too old
            self.ok("jobs.yaml")
        os.symlink(self.elsewhere, self.state_dir() / "latest" / "slices" / "link")
        for _ in range(2):
            self.ok("jobs.yaml")
        self.assertEqual(len(os.listdir(self.run_dir.parent)), 2)
        self.assertEqual(self.read("elsewhere/kept"), "precious")

    def test_a_directory_that_a_slice_exchanges_for_a_link_is_not_written_to(self):
        for directory in ("slices", "slices/0000"):
            with self.subTest(directory=directory):
                self.spec("slices: 0-3\nn_procs: 1\ncommand: |\n  if [ {slice} = 1 ]; then cd .runner/jobs/latest && "
                          f"mv {directory} saved-$$ && ln -s {self.elsewhere} {directory}; fi; echo words of {{slice}}\n")
                result = self.runner("jobs.yaml")
                self.assertEqual(os.listdir(self.elsewhere), [], result.stderr)
                self.assertIn(result.returncode, (0, 4), result.stderr)

    def test_a_link_above_the_state_directory_is_the_users_own(self):
        shutil.rmtree(self.dir / ".runner")
        os.symlink(self.elsewhere, self.dir / ".runner")
        self.write("mended", "")
        self.ok("jobs.yaml")
        self.assertTrue((self.elsewhere / "jobs/state.db").exists())
        self.ok("jobs.yaml", "--resume")
        self.assertIn("succeeded", self.ok("status", "jobs.yaml").stdout)
        self.assertEqual(self.ok("logs", "jobs.yaml", "1").stdout, "out 1\n")


if __name__ == "__main__":
    unittest.main(verbosity=2)
