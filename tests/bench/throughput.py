"""Launching /bin/true, N at a time: runner beside what others use for it. Rounds are interleaved, so that whatever
else the machine does hits all alike, and only ratios of medians are reported."""

import shutil
import subprocess

from common import Row, fresh_directory, median, say, timed, write_spec

TRUE = "/bin/true"


def bare(setting, directory, count):
    return lambda: timed([setting.tool("bare_loop"), str(setting.cpus), str(count), TRUE])


def careful(setting, directory, count):
    fresh_directory(directory)
    return lambda: timed([setting.tool("careful_loop"), str(setting.cpus), str(count), TRUE], cwd=directory)


def runner(*options):
    def make(setting, directory, count):
        def once():
            spec = write_spec(directory, count, [TRUE], n_procs=setting.cpus)
            return timed([setting.runner, spec, "-q", *options])

        return once

    return make


def fed(command, line):
    """A tool that takes one line of input a process."""

    def make(setting, directory, count):
        argv = [word.replace("{P}", str(setting.cpus)) for word in command]
        text = "".join(line.format(i=i) + "\n" for i in range(count))
        return lambda: timed(argv, input=text, text=True)

    return make


def make_tool(setting, directory, count):
    fresh_directory(directory)
    targets = " ".join(f"t{i}" for i in range(count))
    (directory / "Makefile").write_text(f".PHONY: all {targets}\nall: {targets}\n{targets}:\n\t@{TRUE}\n")
    return lambda: timed(["make", "-s", f"-j{setting.cpus}"], cwd=directory)


def ninja(setting, directory, count):
    fresh_directory(directory)
    edges = "".join(f"build t{i}: run\n" for i in range(count))
    (directory / "build.ninja").write_text(f"rule run\n  command = {TRUE}\n{edges}")
    return lambda: timed(["ninja", "--quiet", f"-j{setting.cpus}"], cwd=directory)


BARE = "bare vfork+wait loop"
CAREFUL = "loop with runner's system calls"

# name, maker, share of the processes that the fast ones start (so that a round of each takes about as long)
TOOLS = [
    (BARE, bare, 1.0, None),
    (CAREFUL, careful, 1.0, None),
    ("runner", runner(), 1.0, None),
    ("runner --no-guard", runner("--no-guard"), 1.0, None),
    ("xargs -P", fed(["xargs", "-P{P}", "-n1", TRUE], "{i}"), 1.0, "xargs"),
    ("make -j", make_tool, 1.0, "make"),
    ("ninja", ninja, 0.5, "ninja"),
    ("xjobs", fed(["xjobs", "-j{P}", "-v0"], TRUE), 0.5, "xjobs"),
    ("GNU parallel", fed(["parallel", "--will-cite", "-j{P}", TRUE], "{i}"), 0.05, "parallel"),
]
BOUNDS = {"runner --no-guard": 0.97, BARE: 0.9, "xargs -P": 1.5, "GNU parallel": 10.0}


def prepare(setting):
    count = 2000 if setting.quick else 6000
    tools = {}
    for name, maker, share, program in TOOLS:
        if program and not shutil.which(program):
            say(f"  {name}: not installed (scripts/bench --setup installs it)")
            continue
        processes = int(count * share)
        directory = setting.work / name.replace(" ", "_")
        tools[name] = (maker(setting, directory, processes), processes)
    return tools


def measure(setting):
    tools = prepare(setting)
    rounds = 3 if setting.quick else 9
    rates = {name: [] for name in tools}
    for number in range(rounds + 1):
        for name, (once, processes) in tools.items():
            seconds = once()
            if number > 0:  # the first round warms caches
                rates[name].append(processes / seconds)
        subprocess.run(["sync"], check=False)  # nobody pays for another's writes
        say(f"  throughput, round {number}/{rounds}")
    return rates


def median_ratio(ours, theirs):
    """Of each round by itself: a machine that is slower for a while is slower for both."""
    return median([a / b for a, b in zip(ours, theirs)])


def rows(setting):
    rates = measure(setting)
    ours = rates["runner"]
    table = [
        Row("runner, processes a second", f"{median(ours):,.0f}"),
        Row(f"{CAREFUL} / {BARE}", f"{median_ratio(rates[CAREFUL], rates[BARE]):.2f}x"),
    ]
    for name, theirs in rates.items():
        if name == "runner":
            continue
        ratio = median_ratio(ours, theirs)
        bound = BOUNDS.get(name)
        table.append(
            Row(
                f"runner / {name}",
                f"{ratio:.2f}x",
                f"at least {bound:g}x" if bound else "",
                ratio >= bound if bound else None,
            )
        )
    return table
