"""A run from its spec to its record, its messages and its exit code."""
import contextlib
import os
import sqlite3
import subprocess
import unittest

from support import RUNNER, RunnerTest, wait_for


class Run(RunnerTest):
    def test_every_slice_runs_once_and_is_recorded(self):
        self.spec("slices: 0-9\nn_procs: 3\ncommand: echo $RUNNER_SLICE >> ran\n")
        self.ok("jobs.yaml")
        self.assertEqual(sorted(map(int, self.read("ran").split())), list(range(10)))
        self.assertEqual(self.rows(), [(i, 1, "succeeded", 0, None) for i in range(10)])

    def test_at_most_n_procs_run_at_once(self):
        self.spec("slices: 0-19\nn_procs: 4\n"
                  "command: mkdir slot-{slot} && ls -d slot-* | wc -l >> counts && sleep 0.02 && rmdir slot-{slot}\n")
        self.ok("jobs.yaml")
        counts = list(map(int, self.read("counts").split()))
        self.assertEqual(len(counts), 20)
        self.assertLessEqual(max(counts), 4)
        self.assertGreater(max(counts), 1)

    def test_exit_codes_and_signals_are_exact(self):
        self.spec("slices: 0-3\ncommand: |\n  case {slice} in 0) exit 0;; 1) exit 9;; 2) kill -9 $$;; 3) exit 255;; esac\n")
        self.ok("jobs.yaml", code=1)
        self.assertEqual(self.rows(), [(0, 1, "succeeded", 0, None), (1, 1, "failed", 9, None), (2, 1, "killed", None, 9),
                                       (3, 1, "failed", 255, None)])

    def test_a_command_that_cannot_be_executed_is_not_started(self):
        self.spec("slices: 0-1\ncommand: [./no-such-program, '{slice}']\n")
        result = self.ok("jobs.yaml", code=1)
        self.assertEqual([row[2] for row in self.rows()], ["not_started"] * 2)
        self.assertIn("no-such-program", result.stderr)

    def test_success_codes(self):
        self.spec("slices: 0-2\nsuccess_codes: [0, 2]\ncommand: exit {slice}\n")
        self.ok("jobs.yaml", code=1)
        self.assertEqual([row[2] for row in self.rows()], ["succeeded", "failed", "succeeded"])

    def test_a_timeout_ends_the_whole_tree(self):
        self.spec("slices: 0-0\ntimeout: 200ms\ngrace: 200ms\n"
                  "command: |\n  trap '' TERM\n  sh -c 'trap \"\" TERM; echo $$ > inner; sleep 1000; sleep 1000'\n  sleep 1000\n")
        self.ok("jobs.yaml", code=1)
        self.assertEqual([row[2] for row in self.rows()], ["timed_out"])
        pid = int(self.read("inner"))
        wait_for(lambda: not os.path.exists(f"/proc/{pid}"), "the inner shell is gone")

    def test_retries_until_it_succeeds(self):
        self.spec("slices: 0-1\nretries: 3\nretry_delay: 10ms\n"
                  "command: echo x >> tries-{slice}; test $(wc -l < tries-{slice}) -ge 3\n")
        self.ok("jobs.yaml")
        self.assertEqual(self.rows("SELECT slice, number, outcome FROM attempt ORDER BY slice, number"),
                         [(s, n, "failed" if n < 3 else "succeeded") for s in (0, 1) for n in (1, 2, 3)])

    def test_max_failed_halts_the_run(self):
        self.spec("slices: 0-99\nn_procs: 1\nmax_failed: 2\ncommand: exit 1\n")
        result = self.ok("jobs.yaml", code=3)
        self.assertEqual(len(self.rows()), 3)
        self.assertIn("max_failed: 3 slices failed, 2 allowed", result.stderr)

    def test_a_timeout_by_the_median_ends_the_one_that_is_stuck(self):
        self.spec("slices: 0-6\nn_procs: 3\ntimeout: 150%\ngrace: 1s\ncommand: 'test {slice} != 1 || sleep 60'\n")
        self.ok("jobs.yaml", code=1)
        self.assertEqual([row[2] for row in self.rows()], ["succeeded", "timed_out", *["succeeded"] * 5])

    def test_a_missing_output_is_no_success(self):
        self.spec("slices: 0-2\noutputs: ['out/{slice}']\ncommand: mkdir -p out; test {slice} = 1 || touch out/{slice}\n")
        self.write("out/2", "old")
        os.utime(self.dir / "out/2", (1, 1))
        self.ok("jobs.yaml", code=1)
        self.assertEqual([row[2] for row in self.rows()], ["succeeded", "missing_output", "succeeded"])

    def test_an_output_older_than_the_attempt_is_missing(self):
        self.spec("slices: 0-0\noutputs: [old]\ncommand: 'true'\n")
        self.write("old", "x")
        os.utime(self.dir / "old", (1, 1))
        self.ok("jobs.yaml", code=1)
        self.assertEqual([row[2] for row in self.rows()], ["missing_output"])

    def test_stdin_and_stdout_files(self):
        self.spec("slices: 0-1\nstdin: in-{slice}\nstdout: deep/er/{slice}.out\ncommand: tr a-z A-Z; echo err >&2\n")
        for i in range(2):
            self.write(f"in-{i}", f"slice {i}\n")
        self.ok("jobs.yaml")
        self.assertEqual(self.read("deep/er/1.out"), "SLICE 1\n")
        self.assertEqual(self.ok("logs", "jobs.yaml", "1").stdout, "err\n")

    def test_a_stdin_that_is_not_there_means_not_started(self):
        self.spec("slices: 0-0\nstdin: none\ncommand: cat\n")
        self.ok("jobs.yaml", code=1)
        self.assertEqual([row[2] for row in self.rows()], ["not_started"])

    def test_silent_slices_leave_no_files(self):
        self.spec("slices: 0-9\ncommand: 'true'\n")
        self.ok("jobs.yaml")
        self.assertEqual([p for p in (self.state_dir() / "latest/slices").rglob("*.log")], [])

    def test_log_limit_drops_the_rest_and_says_so(self):
        self.spec("slices: 0-0\nlog_limit: 1M\ncommand: head -c 5000000 /dev/zero | tr '\\0' x\n")
        self.ok("jobs.yaml")
        log = self.ok("logs", "jobs.yaml", "0").stdout
        self.assertTrue(log.startswith("x" * (1 << 20)))
        self.assertIn("log limit", log[1 << 20:])
        self.assertIn(str(5000000 - (1 << 20)), log[1 << 20:].replace(",", ""))

    def test_the_environment_names_the_slice(self):
        self.spec("name: env\nslices: 5-5\nn_procs: 1\nvars: {file_2: 'a b'}\nenv: {MINE: 'x{slice}y'}\n"
                  "command: env | grep -E '^(RUNNER_|MINE)' | sort\n")
        self.ok("jobs.yaml")
        env = dict(line.split("=", 1) for line in self.ok("logs", "jobs.yaml", "5").stdout.splitlines())
        self.assertEqual((env["RUNNER_SLICE"], env["RUNNER_INDEX"], env["RUNNER_ATTEMPT"], env["RUNNER_SLOT"]),
                         ("5", "0", "1", "0"))
        self.assertEqual((env["RUNNER_VAR_FILE_2"], env["MINE"]), ("a b", "x5y"))

    def test_quiet_is_silent_when_all_is_well(self):
        self.spec("slices: 0-3\ncommand: echo hello\n")
        result = self.ok("jobs.yaml", "-q")
        self.assertEqual((result.stdout, result.stderr), ("", ""))

    def test_the_summary_groups_failures_and_names_the_next_step(self):
        self.spec("slices: 0-9\ncommand: |\n  echo about {slice}; test {slice} -lt 7 || exit 3\n")
        result = self.ok("jobs.yaml", code=1)
        self.assertIn("7-9", result.stderr)
        self.assertIn("exit code 3", result.stderr)
        self.assertIn("about 7", result.stderr)
        self.assertIn("runner jobs.yaml --resume", result.stderr)

    def test_the_run_log_tells_the_lifecycle(self):
        self.spec("slices: 0-0\ncommand: 'true'\nname: correlate\n")
        self.ok("jobs.yaml")
        log = (self.state_dir("correlate") / "latest" / "run.log").read_text()
        self.assertRegex(log, r"(?m)^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6} \[correlate/0\] pid:\d+ running$")
        self.assertRegex(log, r"(?m)\[correlate/0\] pid:\d+ completed")
        self.assertRegex(log, r"(?m)\[correlate\] pid:\d+ completed")

    def test_dry_run_prints_commands_and_starts_nothing(self):
        self.spec("slices: {list: [a, \"it's\"]}\ncommand: touch {item}\n")
        result = self.ok("jobs.yaml", "-n")
        self.assertEqual(result.stdout, "touch a\ntouch 'it'\\''s'\n")
        self.assertFalse((self.dir / ".runner").exists())

    def test_joblog_is_gnu_parallels(self):
        self.spec("slices: 0-2\nn_procs: 1\ncommand: exit {slice}\n")
        self.ok("jobs.yaml", code=1)
        lines = self.ok("status", "jobs.yaml", "--format", "joblog").stdout.splitlines()
        self.assertEqual(lines[0], "Seq\tHost\tStarttime\tJobRuntime\tSend\tReceive\tExitval\tSignal\tCommand")
        self.assertEqual([line.split("\t")[6] for line in lines[1:]], ["0", "1", "2"])

    def joblog(self, columns=slice(0, None)):
        lines = self.ok("status", "jobs.yaml", "--format", "joblog").stdout.splitlines()[1:]
        return [tuple(line.split("\t")[columns]) for line in lines]

    def test_joblog_and_its_view_tell_every_failure(self):
        """As GNU parallel does, as far as it knows such failures: a timeout is -1."""
        self.write("t.csv", "id,do,out\n0,touch made,made\n1,true,none\n2,false,made\n3,kill -9 $$,made\n"
                            "4,sleep 9,made\n")
        self.spec("slices: {table: t.csv}\nn_procs: 1\ntimeout: 200ms\ncommand: [sh, -c, 'eval \"$RUNNER_VAR_DO\"']\n"
                  "outputs: ['{out}']\n")
        self.ok("jobs.yaml", code=1)
        told = self.joblog(slice(6, 8))
        self.assertEqual(told, [("0", "0"), ("-1", "0"), ("1", "0"), ("0", "9"), ("-1", "15")])
        self.assertEqual([tuple(map(str, row)) for row in self.rows("SELECT Exitval, Signal FROM joblog")], told)

    def test_joblog_of_a_command_that_could_not_be_made(self):
        self.spec("slices: {list: [a b]}\ncommand: echo $(echo {item})\n")
        self.ok("jobs.yaml", code=1)
        self.assertEqual(self.joblog(slice(6, None)), [("127", "0", "")])
        self.assertEqual(self.rows("SELECT Exitval, Signal FROM joblog"), [(127, 0)])
        self.assertEqual(self.ok("status", "jobs.yaml", "--format", "joblog").stderr, "")

    def test_joblog_has_no_command_that_was_not_run(self):
        self.spec("slices: 0-2\nn_procs: 1\ncommand: echo old; test {slice} != 1\n")
        self.ok("jobs.yaml", code=1)
        self.spec("slices: 0-2\nn_procs: 1\ncommand: echo new {slice}\n")
        self.assertIn("echo old", self.joblog(slice(8, None))[0][0])
        self.ok("jobs.yaml", "--resume", "--accept-changes")
        for _ in range(2):
            commands = [command for (command,) in self.joblog(slice(8, None))]
            self.assertEqual(commands, ["", "", "", "/bin/sh -c 'echo new 1'"])
            self.assertEqual(self.ok("status", "jobs.yaml", "--format", "joblog").stderr,
                             "runner: the command of 3 attempts is not known: since then the spec has changed, or what "
                             "the slices are made of\n")
            self.ok("jobs.yaml", "--resume")  # without a change nothing more is forgotten

    def test_joblog_has_no_command_that_was_not_run_whatever_the_clock_did(self):
        self.spec("slices: 0-2\ncommand: echo old; test {slice} != 1\n")
        self.ok("jobs.yaml", code=1)
        with contextlib.closing(sqlite3.connect(self.state_dir() / "state.db")) as db, db:
            db.execute("UPDATE attempt SET started_at = started_at + 3600, ended_at = ended_at + 3600")
        self.spec("slices: 0-2\ncommand: echo new\n")
        self.ok("jobs.yaml", "--resume", "--accept-changes")
        self.assertEqual({command for (command,) in self.joblog(slice(8, None))}, {""})

    def test_joblog_of_slices_that_are_gone_has_the_commands_of_their_own_spec(self):
        for items, word, code in (("a, b, c", "one", 1), ("a, b, c, d", "two", 0), ("d, a", "three", 0)):
            self.spec(f"slices: {{list: [{items}]}}\ncommand: echo {word} {{item}}; test {{item}} != c -o {word} != one\n")
            self.ok("jobs.yaml", *(["--resume", "--accept-changes"] if word != "one" else []), code=code)
        [(part,)] = self.rows("SELECT id FROM run WHERE part_of IS NOT NULL")
        lines = self.ok("status", "jobs.yaml", "--run", part, "--format", "joblog").stdout.splitlines()[1:]
        self.assertEqual(len([line for line in lines if line.endswith("\t")]), 2)  # b and c of the first
        self.assertEqual(len([line for line in lines if "echo two c" in line]), 1)

    def test_check_shows_the_plan_and_starts_nothing(self):
        self.spec("slices: 0-99\ncommand: echo {slice}\n")
        result = self.ok("check", "jobs.yaml")
        self.assertIn("100 slices", result.stdout)
        self.assertFalse((self.dir / ".runner").exists())

    def test_check_does_not_call_valid_what_cannot_be_started(self):
        self.write("plain", "no program")
        for spec, why in (("command: [no-such-program]", "cannot execute 'no-such-program': not found in PATH"),
                          ("command: [./none]", "cannot execute './none': No such file or directory"),
                          ("command: [./plain]", "cannot execute './plain': Permission denied"),
                          ("vars: {x: \"it's\"}\ncommand: 'echo `echo {x}`'", "x")):
            with self.subTest(spec=spec):
                self.spec("slices: 5-6\n" + spec + "\n")
                result = self.ok("check", "jobs.yaml", code=1)
                self.assertRegex(result.stderr, r"^runner: slice 5 of jobs cannot be started: ")
                self.assertIn(why, result.stderr)
                self.assertIn("jobs.yaml: not valid\n", result.stdout)
                self.ok("jobs.yaml", "--slices", "5", code=1)
        self.spec("slices: 0-0\nenv: {PATH: tools}\ncommand: [tool]\n")
        self.write("tools/tool", "#!/bin/sh\n", 0o755)
        self.ok("check", "jobs.yaml")
        self.spec("slices: 0-0\nprepare: touch tool; chmod +x tool\ncommand: [./tool]\n")
        self.ok("check", "jobs.yaml")  # what runs before may make it

    def test_check_shows_all_that_is_set_and_no_value_of_the_environment(self):
        self.spec("slices: 0-1\nlimits: {disk: 3}\nuses: {disk: 2}\ncpus: 0.5\nmemory: 1M\nlog_limit: 2M\n"
                  "stdin: jobs.yaml\nstdout: out-{slice}\noutputs: ['out-{slice}', more]\n"
                  "env: {TOKEN: hidden, OTHER: 1}\ncommand: cat\n")
        shown = self.ok("check", "jobs.yaml").stdout
        for label, value in (("cpus", "0.5"), ("memory", "1 MiB"), ("uses", "disk 2 of 3"), ("log_limit", "2 MiB"),
                             ("stdin", "jobs.yaml"), ("stdout", "out-{slice}"), ("outputs", "out-{slice}, more"),
                             ("env", "TOKEN, OTHER")):
            self.assertRegex(shown, rf"(?m)^  {label}: +{value.replace('{', '[{]')}$")
        self.assertNotIn("hidden", shown)
        self.spec("slices: 0-1\ncommand: cat\n")
        shown = self.ok("check", "jobs.yaml").stdout
        for label in ("cpus", "memory", "uses", "log_limit", "stdin", "stdout", "outputs", "env"):
            self.assertNotIn(f"  {label}:", shown)

    def test_overrides(self):
        self.spec("slices: 0-9\nvars: {x: 1}\ncommand: echo {slice} {x} >> ran\n")
        self.ok("jobs.yaml", "--slices", "3,7-8", "--set", "x=two words", "--n-procs", "1")
        self.assertEqual(self.read("ran"), "3 two words\n7 two words\n8 two words\n")

    def test_a_slice_that_is_too_big_for_the_machine_is_refused_by_run_and_check(self):
        self.spec("slices: 0-0\ncpus: 99999.5\ncommand: 'true'\n")
        for args in (["jobs.yaml"], ["check", "jobs.yaml"]):
            self.assertIn("needs 99999.5", self.ok(*args, code=2).stderr)

    def test_a_record_that_is_removed_under_the_run_is_no_success(self):
        self.spec("slices: 0-0\ncommand: rm -r .runner\n")
        result = self.ok("jobs.yaml", code=4)
        self.assertIn("was removed or replaced", result.stderr)

    def test_a_current_directory_that_is_gone_is_no_bug(self):
        here = self.dir / "here"
        here.mkdir()
        result = subprocess.run(["sh", "-c", 'rmdir ../here; exec "$0" status jobs.yaml', RUNNER], cwd=here,
                                capture_output=True, text=True)
        self.assertEqual(result.returncode, 2, result.stderr)
        self.assertNotIn("bug", result.stderr)

    def test_wrong_usage_exits_2_and_says_what_to_type(self):
        for args, words in ((["jobs.yaml", "--resme"], "--resume"), ([], "which spec"), (["none.yaml"], "none.yaml"),
                            (["jobs.yaml", "--res"], "did you mean '--resume'?"), ([""], "its name is empty; usage: "),
                            (["--status=1", "jobs.yaml"], "did you mean `runner status`?"),
                            (["resume", "jobs.yaml", "--resume"], "unknown option '--resume'; see"),
                            (["-"], "recorded and resumed by its spec's file"),
                            (["--resume", "status", "jobs.yaml"], "unexpected 'jobs.yaml'; see"),
                            (["jobs.yaml", "--set", "x"], "var=value"), (["jobs.yaml", "--slices", "99"], "99"),
                            (["logs", "jobs.yaml"], "slice")):
            with self.subTest(args=args):
                self.spec("slices: 0-9\ncommand: 'true'\n")
                result = self.ok(*args, code=2)
                self.assertIn(words, result.stderr)
                self.assertFalse((self.dir / ".runner" / "jobs" / "state.db").exists())

    def test_a_misspelt_subcommand_is_not_taken_for_a_spec(self):
        for args in (["stauts"], ["stauts", "jobs.yaml"], ["stauts", "--json"]):
            self.assertEqual(self.ok(*args, code=2).stderr,
                             "runner: stauts: no such file; did you mean `runner status`?\n")
        self.assertIn("did you mean `runner help`?", self.ok("hlep", code=2).stderr)
        self.assertNotIn("did you mean", self.ok("jon", code=2).stderr)  # two edits make any short word a `run`
        self.spec("slices: 0-0\ncommand: 'true'\n", name="stauts")
        self.ok("stauts")
        self.spec("slices: 0-0\ncommand: 'true'\n", name="chek.yaml")
        self.assertIn("chek: no such file; did you mean chek.yaml?", self.ok("chek", code=2).stderr)

    def test_a_script_whose_interpreter_is_missing_is_told_from_one_that_is_missing(self):
        """By its path from the working directory, too, which is not the one runner was started in."""
        self.write("there/broken", "#!/no/such/interpreter\n", mode=0o755)
        for program, why in (("./broken", "the interpreter that it names is missing"),
                             (f"{self.dir}/there/broken", "the interpreter that it names is missing"),
                             ("./missing", "No such file or directory")):
            with self.subTest(program=program):
                self.spec(f"slices: 0-0\nworkdir: there\ncommand: ['{program}']\n")
                self.assertIn(f"cannot execute '{program}': {why}\n", self.ok("jobs.yaml", code=1).stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
