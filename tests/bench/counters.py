"""Counters in Python: additions of 1 a second from one thread, beside the same loop without them. By CPU time, as nothing
in it waits: what else the machine does hardly matters."""

import os
import sys
import time
from pathlib import Path

from common import Row, median, say

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "share" / "runner"))
import runner_counter  # noqa: E402


def plain(_counter, times):
    for _ in range(times):
        pass


def each(counter, times):
    for _ in counter.each(range(times)):
        pass


def ticker(counter, times):
    tick = counter.ticker()
    for _ in range(times):
        tick()


def add(counter, times):
    for _ in range(times):
        counter.add()


# What to call it, the loop, millions a second that it has to reach
LOOPS = [
    ("a loop that counts nothing", plain, None),
    ("for row in rows.each(...)", each, 10),
    ("tick(), of rows.ticker()", ticker, 10),
    ("rows.add()", add, None),
]


def rows(setting):
    times = 1_000_000 if setting.quick else 5_000_000
    file = setting.work / "counters"
    os.environ["RUNNER_COUNTERS"] = str(file)
    counter = runner_counter.Counter("rows")
    rates = {name: [] for name, _, _ in LOOPS}
    for number in range(3 if setting.quick else 9):
        for name, loop, _ in LOOPS:
            began = time.thread_time()
            loop(counter, times)
            rates[name].append(times / (time.thread_time() - began) / 1e6)
        say(f"  counters, round {number + 1}")
    del os.environ["RUNNER_COUNTERS"]  # not for what is measured next
    table = []
    for name, _, bound in LOOPS:
        rate = median(rates[name])
        table.append(
            Row(
                f"Python {sys.version_info[0]}.{sys.version_info[1]}: {name}",
                f"{rate:.1f} million/s",
                f"at least {bound} million/s" if bound else "",
                rate >= bound if bound else None,
            )
        )
    return table
