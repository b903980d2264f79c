"""What every part of scripts/bench uses: running programs against the clock, medians, the machine, the table."""

import os
import platform
import shutil
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Setting:
    """Where the programs are and how much to measure."""

    runner: str
    tools: Path  # the directory of bare_loop, stamp, bench_core ...
    work: Path  # scratch, on a real disk; emptied at the end
    quick: bool
    full: bool
    cpus: int = field(default_factory=lambda: len(os.sched_getaffinity(0)))

    def tool(self, name):
        return str(self.tools / name)


@dataclass
class Row:
    """One line of the table. `ok`: None where there is no bound to keep."""

    what: str
    measured: str
    bound: str = ""
    ok: bool | None = None


def say(text):
    print(text, file=sys.stderr, flush=True)


def median(values):
    return statistics.median(values)


def timed(command, **options):
    """Seconds that `command` takes; it has to succeed."""
    options.setdefault("stdout", subprocess.DEVNULL)
    options.setdefault("stderr", subprocess.DEVNULL)
    began = time.monotonic()
    done = subprocess.run(command, **options)
    seconds = time.monotonic() - began
    if done.returncode != 0:
        raise SystemExit(f"bench: exit code {done.returncode} from: {' '.join(map(str, command))}")
    return seconds


def figures(command):
    """The "name value name value" line that our programs print."""
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"bench: exit code {done.returncode} from: {' '.join(command)}")
    words = done.stdout.split()
    return {name: float(value) for name, value in zip(words[::2], words[1::2])}


def fresh_directory(path):
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    return path


def write_spec(directory, slices, command, **more):
    """jobs.yaml for `slices` slices of `command` (a list) in a fresh directory."""
    fresh_directory(directory)
    lines = ["name: bench", f"slices: 0-{slices - 1}", f"command: {list(command)!r}"]
    lines += [f"{key}: {value}" for key, value in more.items()]
    spec = directory / "jobs.yaml"
    spec.write_text("\n".join(lines) + "\n")
    return str(spec)


def peak_memory_mib(pid):
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0.0


def machine(setting):
    model = next(
        (line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")),
        platform.machine(),
    )
    virtual = ", virtual machine" if " hypervisor" in open("/proc/cpuinfo").read() else ""
    file_system = subprocess.run(
        ["findmnt", "-n", "-o", "FSTYPE", "-T", str(setting.work)], stdout=subprocess.PIPE, text=True, check=False
    ).stdout.strip()
    kernel = ".".join(platform.release().split("-")[0].split(".")[:2])
    return f"{setting.cpus} CPUs ({model}{virtual}), Linux {kernel}, {file_system}"


def print_table(title, rows):
    print(f"\n**{title}**\n")
    print("| | measured | bound | |\n|---|---|---|---|")
    for row in rows:
        verdict = {True: "pass", False: "**FAIL**", None: ""}[row.ok]
        print(f"| {row.what} | {row.measured} | {row.bound} | {verdict} |")
