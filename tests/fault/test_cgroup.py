"""The cgroup of a run: what gives up its parent, its session and its environment at once can be found by nothing else
when engine and guard are dead. Skipped where this user can make none."""
import os
import pathlib
import shutil
import signal
import subprocess
import time
import unittest

from faults import (FaultTest, OtherUserTest, cgroup_directory, cgroup_of, is_in_run_cgroup, processes_in, run_cgroups,
                    wait_for, why_no_cgroup)
from support import RUNNER, crash, engine_pid, is_alive

SOON = float(os.environ.get("RUNNER_SOON", "5"))  # a second, on a machine that has nothing else to do
WITH = "held by guard, death signal, cookie, cgroup\n"
WITHOUT = "held by guard, death signal, cookie\n"


def needs_cgroup(test):
    reason = why_no_cgroup()
    return unittest.skipIf(reason, f"no cgroup can be made here: {reason}")(test)


class CgroupTest(FaultTest):
    def cgroups(self):
        return run_cgroups(self.dir)

    def is_bare(self, pid):
        """What leave_bare() has left: it has no environment at all."""
        try:
            return pathlib.Path(f"/proc/{pid}/environ").read_bytes() == b"" and is_alive(pid)
        except OSError:
            return False

    def bare(self):
        return {pid for pid in processes_in(self.dir) if self.is_bare(pid)}

    def bare_spec(self, actions="tree bare sleep=600000"):
        self.spec(f"slices: 0-0\ncommand: [{self.slice}, marks, '{{slice}}', '{actions}']\n")

    def begin(self):
        """A run that is recorded and whose slice has left processes of every kind."""
        self.bare_spec()
        process = self.start("jobs.yaml")
        wait_for(lambda: self.marks() and self.rows("SELECT 1 FROM attempt WHERE pid > 0"), "the slice runs")
        wait_for(lambda: len(self.bare()) == 1, "it has left a bare process")
        return process


@needs_cgroup
class Cgroup(CgroupTest):
    def test_slices_are_born_in_it_and_it_is_gone_with_the_run(self):
        process = self.begin()
        self.assertEqual(len(self.cgroups()), 1)
        run = (self.state_dir() / "latest").resolve().name
        engine = engine_pid(process)
        self.assertRegex(self.cgroups().pop().name, rf"^runner-{run}\.\d+\.{engine}\.\d+$")
        inside = set(processes_in(self.dir)) - {process.pid}
        self.assertGreaterEqual(len(inside), 7)
        self.assertEqual([pid for pid in inside if not is_in_run_cgroup(pid)], [])
        self.assertEqual(cgroup_of(process.pid), cgroup_of("self"))
        self.assertIn(WITH, self.ok("status", "jobs.yaml").stdout)
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(), 128 + signal.SIGTERM)
        self.assertEqual((processes_in(self.dir), self.cgroups()), ([], set()))

    def test_the_engine_is_killed(self):
        process = self.begin()
        began = time.monotonic()
        os.kill(engine_pid(process), signal.SIGKILL)
        self.assertEqual(process.wait(), -signal.SIGKILL)
        self.assertEqual((processes_in(self.dir), self.cgroups()), ([], set()))
        self.assertLess(time.monotonic() - began, SOON)

    def test_the_guard_is_killed(self):
        process = self.begin()
        process.kill()
        wait_for(lambda: not processes_in(self.dir), "all are gone", SOON)
        self.assertEqual(self.cgroups(), set())
        self.assertEqual(self.rows("SELECT outcome FROM attempt"), [("cancelled",)])

    def test_both_are_killed(self):
        for arguments in (["--resume"], []):  # the same run goes on, or a new one begins
            crash(self.begin())
            bare = self.bare().pop()
            self.assertTrue(self.cgroups())
            refused = self.ok("jobs.yaml", *arguments, "--survivors", "refuse", code=75)
            self.assertIn(f"pid {bare} (exe) in the cgroup of run ", refused.stderr)
            self.assertTrue(is_alive(bare))
            self.bare_spec("exit=0")
            more = ["--accept-changes"] if arguments else []
            self.assertRegex(self.ok("jobs.yaml", *arguments, *more).stderr, rf"killing .*pid {bare} \(exe\) in the cgroup")
            self.assertEqual((processes_in(self.dir), self.cgroups()), ([], set()))
            shutil.rmtree(self.state_dir())
            (self.dir / "marks").unlink()

    def test_only_what_is_left_of_this_run_is_ended(self):
        """The process of another run is in a cgroup of the same kind; a third cgroup has an engine that is alive."""
        crash(self.begin())
        left = self.cgroups().pop()
        run, namespace, engine, start = left.name.removeprefix("runner-").split(".")
        others = {left.with_name(f"runner-{run[:-4]}none.{namespace}.{engine}.{start}"): None,
                  left.with_name(f"runner-{run}.1.{engine}.{start}"): None,
                  left.with_name(f"runner-{run}.{namespace}.{os.getpid()}.{self.start_of(os.getpid())}"): None}
        enter = 'until mkdir -p "$0" && echo 0 > "$0"/cgroup.procs; do :; done 2>&-; exec sleep 600'
        for path in others:  # as long as they are empty, other tests' runs may remove them
            self.addCleanup(path.rmdir)
            others[path] = subprocess.Popen(["sh", "-c", enter, path])
            self.addCleanup(others[path].wait)
            self.addCleanup(others[path].kill)
            wait_for(lambda: cgroup_of(others[path].pid).endswith(path.name), "it is in its cgroup")
        self.bare_spec("exit=0")
        self.ok("jobs.yaml")
        self.assertFalse(left.exists())
        for path, process in others.items():
            self.assertEqual((cgroup_of(process.pid).rpartition("/")[2], process.poll()), (path.name, None))

    @staticmethod
    def start_of(pid):
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]

    def test_what_a_dead_engine_has_left_empty_is_removed_by_any_run_from_there(self):
        left = cgroup_directory() / f"runner-20000101-000000-none.{os.stat('/proc/self/ns/pid').st_ino}.{os.getpid()}.1"
        left.mkdir()
        self.bare_spec("exit=0")
        self.ok("jobs.yaml")
        self.assertFalse(left.exists())

    def test_a_run_within_a_run_has_one_within_it(self):
        self.bare_spec()
        self.write("outer/outer.yaml", f"slices: 0-0\ncommand: cd {self.dir} && exec {RUNNER} -q jobs.yaml\n")
        outer = subprocess.Popen([RUNNER, "-q", "outer.yaml"], cwd=self.dir / "outer", env=self.environment(),
                                 stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
        self.addCleanup(self._end, outer)
        wait_for(lambda: len(self.bare()) == 1, "the inner slice has left a bare process")
        (cgroup,) = self.cgroups()
        self.assertEqual(len(list(cgroup.glob("runner-*"))), 1)
        os.kill(engine_pid(outer), signal.SIGKILL)
        self.assertEqual(outer.wait(), -signal.SIGKILL)
        self.assertEqual((processes_in(self.dir), self.cgroups()), ([], set()))

    def test_what_forks_faster_than_it_can_be_found_is_frozen_to_be_killed(self):
        """Other slices go on unharmed, and all that comes later is in the cgroup again."""
        chain = f"command: [{self.slice}, marks, '{{slice}}', chain sleep=600000], timeout: 300ms, grace: 100ms"
        self.spec(f"""
jobs:
  chains: {{slices: 0-1, {chain}}}
  other: {{slices: 0-3, command: [{self.slice}, marks, '{{slice}}', wait=go]}}
  after: {{slices: 0-0, needs: other, command: [{self.slice}, marks, '{{slice}}', wait=stop]}}
n_procs: 8
""")
        process = self.start("jobs.yaml")
        wait_for(lambda: (self.dir / "links").exists(), "the chains have begun")
        wait_for(lambda: len(self.rows("SELECT 1 FROM attempt WHERE outcome = 'timed_out'")) == 2, "the slices have ended")
        links = len(self.read("links"))
        self.write("go", "")
        wait_for(lambda: self.rows("SELECT 1 FROM attempt WHERE job = 2 AND pid > 0"), "the last one runs")
        last = self.rows("SELECT pid FROM attempt WHERE job = 2")[0][0]
        self.assertTrue(is_in_run_cgroup(last))
        self.write("stop", "")
        self.assertEqual(process.wait(), 1)
        self.assertEqual(len(self.read("links")), links)
        self.assertEqual(self.rows("SELECT count(*) FROM attempt WHERE job <> 0 AND outcome = 'succeeded'"), [(5,)])


class WithoutCgroup(CgroupTest):
    def test_a_hierarchy_that_is_read_only_is_no_reason_to_complain(self):
        if cgroup_directory() is None:
            self.skipTest("no cgroups of version 2 here")
        mount = next(path for path in (cgroup_directory(), *cgroup_directory().parents) if os.path.ismount(path))
        read_only = ["unshare", "--mount", "sh", "-c", 'mount -o remount,bind,ro "$0" && exec "$@"', str(mount)]
        if subprocess.run([*read_only, "true"], capture_output=True).returncode != 0:
            self.skipTest("nothing can be mounted here")
        self.bare_spec("bare")
        result = subprocess.run([*read_only, RUNNER, "jobs.yaml", "-q"], cwd=self.dir, env=self.environment(),
                                stdin=subprocess.DEVNULL, capture_output=True, text=True)
        self.assertEqual((result.returncode, result.stdout, result.stderr), (0, "", ""))
        self.assertIn(WITHOUT, self.ok("status", "jobs.yaml").stdout)
        self.assertEqual(processes_in(self.dir), [])

    def test_without_a_guard_there_is_none(self):
        self.bare_spec("exit=0")
        self.ok("jobs.yaml", "--no-guard")
        self.assertIn("held by death signal, cookie\n", self.ok("status", "jobs.yaml").stdout)


class OtherUser(OtherUserTest, CgroupTest):
    def setUp(self):
        super().setUp()
        if os.geteuid() != 0:
            self.skipTest("needs root to become somebody else")

    def program(self):
        """The slice, where that user may go."""
        return shutil.copy(self.slice, self.other_program().with_name("slice"))

    def delegate(self):
        """A cgroup that belongs to that user; returns it."""
        if why_no_cgroup():
            self.skipTest("no cgroup can be made here")
        delegated = cgroup_directory() / f"delegated-{os.getpid()}"
        delegated.mkdir()
        self.addCleanup(self.remove, delegated)
        for path in (delegated, delegated / "cgroup.procs"):
            os.chown(path, self.uid, self.uid)
        return delegated

    @staticmethod
    def remove(cgroup):
        for directory, *_ in os.walk(cgroup, topdown=False):
            for pid in (pathlib.Path(directory) / "cgroup.procs").read_text().split():
                os.kill(int(pid), signal.SIGKILL)
            wait_for(lambda: not os.path.exists(directory) or not (pathlib.Path(directory) / "cgroup.procs").read_text(),
                     "it is empty")
            os.rmdir(directory)

    def start_in(self, cgroup, *args):
        """As start_as_other(), in that cgroup."""
        def enter():
            (cgroup / "cgroup.procs").write_text("0")
            os.setgroups([])
            os.setgid(self.uid)
            os.setuid(self.uid)

        process = subprocess.Popen([self.other_program(), *args], cwd=self.dir, env=self.environment(),
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                   preexec_fn=enter)
        self.addCleanup(self._end, process)
        return process

    def test_without_permission_a_run_works_without(self):
        self.spec("slices: 0-3\ncommand: echo {slice}\n")
        result = self.as_other("jobs.yaml", "-q")
        self.assertEqual(result.stderr, "")
        self.assertIn(WITHOUT, self.as_other("status", "jobs.yaml").stdout)

    def test_a_delegated_cgroup_is_permission_enough(self):
        delegated = self.delegate()
        program = self.program()
        self.spec(f"slices: 0-0\ncommand: [{program}, marks, '{{slice}}', 'tree bare sleep=600000']\n")
        process = self.start_in(delegated, "jobs.yaml", "-q")
        wait_for(lambda: len(self.bare()) == 1, "it has left a bare process")
        self.assertTrue(list(delegated.glob("runner-*")))
        self.assertIn(WITH, self.as_other("status", "jobs.yaml").stdout)
        crash(process)
        bare = self.bare().pop()
        self.spec(f"slices: 0-0\ncommand: [{program}, marks, '{{slice}}', 'exit=0']\n")
        # From outside of it: nothing can be made there, but what is left is found.
        said = self.as_other("jobs.yaml").stderr
        self.assertRegex(said, rf"killing .*pid {bare} \(exe\) in the cgroup")
        self.assertEqual((processes_in(self.dir), list(delegated.glob("runner-*"))), ([], []))

    def test_processes_of_other_users_are_ended_too(self):
        """As those of sudo: a signal to them is forbidden, but the cgroup is that user's."""
        delegated = self.delegate()
        program = self.program()
        os.chown(program, 0, 0)
        os.chmod(program, 0o4755)
        self.spec(f"slices: 0-0\ncommand: [{program}, marks, '{{slice}}', 'become=0', sleep=600000]\n")
        process = self.start_in(delegated, "jobs.yaml")
        wait_for(lambda: self.marks(), "the slice runs")
        (mark,) = self.marks()
        try:
            wait_for(lambda: os.stat(f"/proc/{mark.pid}").st_uid == 0, "it is another user's", SOON)
        except AssertionError:
            self.skipTest("nothing is setuid here")
        os.kill(engine_pid(process), signal.SIGKILL)
        said = process.communicate()[1]
        self.assertIn("1 process of its slices killed", said)
        self.assertNotIn("cannot be killed", said)
        self.assertEqual((processes_in(self.dir), list(delegated.glob("runner-*"))), ([], []))


if __name__ == "__main__":
    unittest.main(verbosity=2)
