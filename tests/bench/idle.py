"""How long a slot stands idle between the exit of one slice and the exec of the next. By the kernel's tracepoints where
perf may read them; by the slices' own stamps everywhere: those include one exec and one exit, and so does the bare loop
they are compared with."""

import re
import shutil
import subprocess
from collections import defaultdict

from common import Row, fresh_directory, median, say, write_spec

TRACE_LINE = re.compile(r"^\s*(\d+)\s+([\d.]+):\s+sched:sched_process_(exec|exit):")


def read_stamps(path):
    """slot -> [(pid, start ns, end ns)] in order."""
    slots = defaultdict(list)
    for line in path.read_text().splitlines():
        slot, pid, start, end = map(int, line.split())
        slots[slot].append((pid, start, end))
    for attempts in slots.values():
        attempts.sort(key=lambda attempt: attempt[1])
    return slots


def stamp_gaps(slots):
    return [(b[1] - a[2]) / 1e6 for attempts in slots.values() for a, b in zip(attempts, attempts[1:])]


def trace_gaps(slots, trace):
    """ms from the exit event of one attempt to the exec event of the next in its slot."""
    gaps = []
    for attempts in slots.values():
        for (before, *_), (after, *_) in zip(attempts, attempts[1:]):
            if (before, "exit") in trace and (after, "exec") in trace:
                gaps.append((trace[after, "exec"] - trace[before, "exit"]) * 1e3)
    return gaps


class Tracer:
    def __init__(self, setting):
        self.data = setting.work / "perf.data"
        self.record = ["perf", "record", "-q", "-a", "-m", "1024", "-o", str(self.data)]
        self.record += ["-e", "sched:sched_process_exec,sched:sched_process_exit", "--"]
        self.works = shutil.which("perf") is not None and self.run(["true"]).returncode == 0

    def run(self, command):
        return subprocess.run(
            self.record + command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False
        )

    def events(self):
        """(pid, "exec" or "exit") -> seconds."""
        script = ["perf", "script", "-i", str(self.data), "-F", "tid,time,event", "--ns"]
        text = subprocess.run(script, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True).stdout
        found = filter(None, map(TRACE_LINE.match, text.splitlines()))
        return {(int(m[1]), m[3]): float(m[2]) for m in found}


def measure(setting, tracer, command, stamps):
    """Median gap in ms by stamps, and by tracepoints (None without)."""
    stamps.unlink(missing_ok=True)
    done = tracer.run(command) if tracer.works else subprocess.run(command, stderr=subprocess.DEVNULL, check=False)
    if done.returncode != 0:
        raise SystemExit(f"bench: exit code {done.returncode} from: {' '.join(command)}")
    slots = read_stamps(stamps)
    traced = trace_gaps(slots, tracer.events()) if tracer.works else []
    return median(stamp_gaps(slots)), median(traced) if traced else None


def rows(setting):
    tracer = Tracer(setting)
    count = 2000 if setting.quick else 10_000
    directory = fresh_directory(setting.work / "idle")
    results = {"bare": [], "runner": []}
    for number in range(2 if setting.quick else 5):
        stamps = directory / "bare_stamps"
        command = [setting.tool("bare_loop"), str(setting.cpus), str(count), setting.tool("stamp"), "{slot}", str(stamps)]
        results["bare"].append(measure(setting, tracer, command, stamps))
        stamps = directory / "runner_stamps"
        argv = [setting.tool("stamp"), "{slot}", str(stamps)]
        spec = write_spec(directory / "run", count, argv, n_procs=setting.cpus)
        results["runner"].append(measure(setting, tracer, [setting.runner, spec, "-q"], stamps))
        say(f"  idle time, round {number + 1}")
    by_stamps = {name: median([r[0] for r in rounds]) for name, rounds in results.items()}
    what = f"slot idle time, median of {count:,} slices"
    table = []
    if tracer.works:
        by_trace = {name: median([r[1] for r in rounds]) for name, rounds in results.items()}
        table.append(
            Row(
                f"{what}: exit to exec, by kernel tracepoints",
                f"{by_trace['runner']:.3f} ms (bare loop {by_trace['bare']:.3f} ms)",
                "under 0.2 ms",
                by_trace["runner"] < 0.2,
            )
        )
    table.append(
        Row(
            f"{what}: last instruction to first, exit and exec included",
            f"{by_stamps['runner']:.3f} ms (bare loop {by_stamps['bare']:.3f} ms)",
            "" if tracer.works else "under 0.2 ms",
            None if tracer.works else by_stamps["runner"] < 0.2,
        )
    )
    return table
