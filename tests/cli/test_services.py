"""Services: up before what needs them, restarted, missed, ended last one first, and never left behind."""
import re
import signal
import socket
import unittest

from support import RunnerTest, crash, wait_for

# A service that says when it begins and ends; it is ready when its file is there.
KEEP = "trap 'echo end {name} >> marks; rm -f up-{name}; exit 0' TERM; echo begin {name} >> marks; touch up-{name}; while :; do sleep 0.02; done"


def service(name, *more):
    return f"  {name}: {{{', '.join([f'command: {chr(34)}{KEEP}{chr(34)}', f'ready: {{file: up-{name}}}', *more])}}}\n"


class Services(RunnerTest):
    def marks(self):
        path = self.dir / "marks"
        return path.read_text().split("\n")[:-1] if path.exists() else []

    def states(self):
        return dict(self.rows("SELECT name, state FROM job WHERE run = (SELECT max(number) FROM run)"))

    def test_up_before_the_slices_and_ended_after_them_last_one_first(self):
        self.spec("services:\n" + service("a") + service("b", "needs: a") +
                  "slices: 0-3\nshutdown: echo shutdown >> marks\nteardown: echo teardown >> marks\n"
                  "command: test -e up-a && test -e up-b && echo slice >> marks\n")
        result = self.ok("jobs.yaml")
        self.assertEqual(self.marks(), ["begin a", "begin b", *["slice"] * 4, "shutdown", "end b", "end a", "teardown"])
        self.assertEqual(set(self.states().values()), {"completed"})
        self.assertIn("jobs: all 4 slices succeeded", result.stderr)
        self.assertIn("service a: completed\n", self.ok("status", "jobs.yaml").stdout)

    def test_services_take_no_slots(self):
        self.spec("n_procs: 1\nservices:\n" + service("a") + service("b") + "slices: 0-1\ncommand: 'test {slot} = 0'\n")
        self.ok("jobs.yaml")

    def test_a_port_that_is_free_is_found_and_told(self):
        self.spec("services:\n  web: {command: [python3, -m, http.server, --bind, 127.0.0.1, '{port}'], port: auto, ready: port}\n"
                  "slices: 0-1\ncommand: 'echo $RUNNER_SERVICE_WEB_PORT >> ports; exec 3<>/dev/tcp/127.0.0.1/$RUNNER_SERVICE_WEB_PORT'\n"
                  .replace("command: 'echo", "command: 'exec bash -c \"echo").replace("_WEB_PORT'\n", "_WEB_PORT\"'\n"))
        self.ok("jobs.yaml")
        ports = self.read("ports").split()
        self.assertEqual((len(ports), len(set(ports))), (2, 1))
        with socket.socket() as probe:
            self.assertNotEqual(probe.connect_ex(("127.0.0.1", int(ports[0]))), 0)

    def test_a_port_of_ipv6_alone_makes_ready(self):
        try:
            with socket.socket(socket.AF_INET6) as probe:
                probe.bind(("::1", 0))
        except OSError as error:
            self.skipTest(f"no IPv6 here: {error}")
        self.spec("services:\n  web: {command: [python3, -m, http.server, --bind, '::1', '{port}'], port: auto, ready: port}\n"
                  "slices: 0-0\ncommand: 'true'\n")
        self.ok("jobs.yaml")

    def test_readiness_by_a_command(self):
        self.spec("services:\n  s: {command: 'sleep 0.2; touch up; exec sleep 60', grace: 1s,\n"
                  "      ready: {command: 'echo asked; echo x >> asked; test -e up'}}\n"
                  "slices: 0-0\ncommand: test -e up\n")
        self.ok("jobs.yaml")
        self.assertGreater(len(self.read("asked").split()), 1)
        self.assertEqual(self.rows("SELECT count(*) FROM attempt"), [(2,)])

    def test_a_service_that_starts_anew_is_asked_while_a_run_has_more_slots_than_it_began_with(self):
        self.spec("n_procs: 1\nservices:\n"
                  "  s: {command: 'echo begin >> marks; until rm die; do sleep 0.02; done 2> /dev/null; exit 1', grace: 1s,\n"
                  "      restart: on-failure, restart_delay: 10ms, ready: {command: 'echo asked >> marks'}}\n"
                  "slices: 0-5\ncommand: 'echo >> running; until test -e stop; do sleep 0.02; done'\n")
        process = self.start("jobs.yaml")
        # It may be asked before its shell has said that it begins.
        wait_for(lambda: sorted(self.marks()) == ["asked", "begin"], "the service is ready")
        wait_for(lambda: (self.dir / "running").exists(), "the first slice runs")
        self.ok("scale", "jobs.yaml", 6)
        wait_for(lambda: len(self.read("running")) == 6, "all run")
        self.write("die", "")
        wait_for(lambda: sorted(self.marks()) == ["asked"] * 2 + ["begin"] * 2, "the service is ready again")
        self.write("stop", "")
        self.assertEqual(process.wait(), 0)

    def test_a_service_that_does_not_become_ready_is_ended_and_the_slices_do_not_run(self):
        self.spec("services:\n  s: {command: exec sleep 60, ready: {file: never, timeout: 300ms}, grace: 1s}\n"
                  "slices: 0-1\ncommand: echo slice >> marks\n")
        result = self.ok("jobs.yaml", code=3)
        self.assertEqual(self.marks(), [])
        self.assertRegex(result.stderr, "service s: timed out after .*: it was not ready in time")
        self.assertIn("jobs: disabled: service s: ", result.stderr)

    def test_a_file_that_an_earlier_run_left_makes_nothing_ready(self):
        """The slices ran at once, and read what the service of the run before had written."""
        self.spec("services:\n  db: {command: 'sleep 0.3; echo $RUNNER_RUN_ID > up; exec sleep 60', ready: {file: up}, grace: 1s}\n"
                  "slices: 0-1\ncommand: cat up >> read\n")
        self.write("up", "an earlier run\n")
        result = self.ok("jobs.yaml")
        self.assertEqual(self.read("read"), (self.status()["run"]["id"] + "\n") * 2)
        self.assertIn(f"service db: {self.dir}/up was there before it; it is ready once that is written anew", result.stderr)

    def test_a_port_that_another_program_listens_at_makes_nothing_ready(self):
        """The slices talked to whatever that was."""
        with socket.create_server(("127.0.0.1", 0)) as other:
            port = other.getsockname()[1]
            self.spec(f"services:\n  web: {{command: exec sleep 60, port: {port}, ready: port, grace: 1s}}\n"
                      "slices: 0-1\ncommand: echo slice >> marks\n")
            result = self.ok("jobs.yaml", code=3)
        self.assertEqual(self.marks(), [])
        self.assertIn(f"service web: another program has its port, {port}: end that, or give", result.stderr)

    def test_a_service_is_started_again_so_many_times(self):
        self.spec("services:\n  s: {command: 'echo begin >> marks; touch up; sleep 0.1; exit 3', ready: {file: up},\n"
                  "      restart: on-failure, restarts: 2, restart_delay: 10ms}\n"
                  "slices: 0-0\ncommand: sleep 60\ngrace: 1s\n")
        result = self.ok("jobs.yaml", code=3)
        self.assertEqual(self.marks(), ["begin"] * 3)
        self.assertIn("service s: exit code 3; what needs it is ended", result.stderr)
        self.assertEqual(self.rows("SELECT outcome FROM attempt WHERE job = 0"), [("cancelled",)])

    def test_one_that_nothing_needs_any_more_is_not_started_again_and_spoils_nothing(self):
        self.spec("services:\n  s: {command: 'while ! test -e go; do sleep 0.02; done; exit 3', restart: on-failure, restart_delay: 10m}\n"
                  "slices: 0-0\ncommand: 'touch go; while ! test -e end; do sleep 0.02; done'\n")
        process = self.start("jobs.yaml")
        wait_for(lambda: "exit code 3, again in " in (self.run_log() if (self.state_dir() / "latest" / "run.log").exists() else ""),
                 "the service has died")
        self.assertRegex(self.run_log(), r"again in ([789]|1[0-2])m")  # not cut to 5 minutes
        self.write("end", "")
        self.assertEqual(process.wait(timeout=30), 0)
        self.assertEqual(self.rows("SELECT state FROM run"), [("completed",)])
        self.assertIn("nothing left to run", self.ok("jobs.yaml", "--resume").stderr)

    def test_one_that_ends_by_itself_halts_what_needs_it(self):
        self.spec("services:\n  s: {command: sleep 0.2}\nslices: 0-3\nn_procs: 1\ncommand: sleep 60\ngrace: 1s\n")
        result = self.ok("jobs.yaml", code=3)
        self.assertIn("service s: exit code 0: it ended although it was needed", result.stderr)

    def test_a_quiet_run_does_not_count_them_as_slices(self):
        self.spec("services:\n  s: {command: exit 1, ready: {file: never}}\nslices: 0-7\ncommand: 'true'\n")
        said = self.ok("jobs.yaml", "-q", code=3).stderr
        self.assertIn("\njobs: 8 of 8 slices did not succeed, service s failed; to run what is left: ", said)

    def test_slices_that_may_end_keep_their_services(self):
        self.spec("services:\n" + service("a") +
                  "slices: 0-3\nn_procs: 1\ncommand: 'echo slice >> marks; while ! test -e go; do sleep 0.02; done; test -e up-a'\n")
        process = self.start("jobs.yaml")
        wait_for(lambda: "slice" in self.marks(), "a slice runs")
        process.send_signal(signal.SIGINT)
        wait_for(lambda: "SIGINT" in self.run_log(), "it is noticed")
        self.write("go", "")
        self.assertEqual(process.wait(timeout=30), 128 + signal.SIGINT)
        self.assertEqual(self.marks(), ["begin a", "slice", "end a"])
        self.assertEqual(self.rows("SELECT outcome FROM attempt WHERE job = 0"), [("succeeded",)])

    def test_after_a_crash_it_is_started_again_and_none_is_left(self):
        self.spec("services:\n" + service("a") +
                  "slices: 0-1\nn_procs: 1\ncommand: 'echo slice >> marks; test -e go || sleep 60'\n")
        process = self.start("jobs.yaml")
        wait_for(lambda: "slice" in self.marks(), "a slice runs")
        crash(process)
        self.write("go", "")
        (self.dir / "up-a").unlink()
        self.ok("jobs.yaml", "--resume")
        self.assertEqual(self.marks(), ["begin a", "slice", "begin a", "slice", "slice", "end a"])
        self.assertEqual(self.rows("SELECT number, outcome FROM attempt WHERE job = 1"), [(1, "lost"), (2, "succeeded")])
        self.assertIn("nothing left", self.ok("jobs.yaml", "--resume").stderr)
        self.assertEqual(len(self.marks()), 6)

    def test_a_killed_guard_takes_the_services_with_it(self):
        self.spec("services:\n" + service("a") + "slices: 0-0\ncommand: 'echo slice >> marks; sleep 60'\n")
        process = self.start("jobs.yaml")
        wait_for(lambda: "slice" in self.marks(), "the slice runs")
        told = wait_for(lambda: re.search(r"\[a\] pid:(\d+) running", self.run_log()), "run.log names the service")
        pid = int(told.group(1))
        process.kill()
        wait_for(lambda: not self.alive(pid), "the service is gone")

    @staticmethod
    def alive(pid):
        try:
            with open(f"/proc/{pid}/stat") as stat:
                return stat.read().rpartition(")")[2].split()[0] not in "ZX"
        except OSError:
            return False


if __name__ == "__main__":
    unittest.main(verbosity=2)
