"""A million slices: scheduler and store by themselves, then the real program - first start, memory, resume, status,
dry run - and launching from a process that has a gigabyte."""

import os
import signal
import subprocess
import time

from common import Row, figures, fresh_directory, median, peak_memory_mib, say, write_spec

MILLION = 1_000_000


def core_rows(setting):
    measured = {}
    for slices in (1_000, 10_000, 100_000, MILLION):
        runs = [
            figures([setting.tool("bench_core"), str(fresh_directory(setting.work / "core")), str(slices)])
            for _ in range(1 if setting.quick else 3)
        ]
        measured[slices] = {name: median([run[name] for run in runs]) for name in runs[0]}
        say(f"  scheduler and store, {slices:,} slices: {measured[slices]['slices_per_s']:,.0f}/s")
    million = measured[MILLION]
    per_slice = [m["cpu_us_per_slice"] for m in measured.values()]
    rate = million["slices_per_s"]
    return [
        Row("scheduler + store, 1,000,000 slices", f"{rate:,.0f} slices/s", "at least 50,000", rate >= 50_000),
        Row(
            "CPU time per slice at 1,000 / 10,000 / 100,000 / 1,000,000",
            " / ".join(f"{us:.1f}" for us in per_slice) + " us",
            "flat",
            per_slice[-1] <= 1.2 * per_slice[0],
        ),
        Row("peak memory of those 1,000,000", f"{million['max_rss_mib']:.0f} MiB", "", None),
    ]


def wait_for_first_stamp(path, deadline):
    while time.monotonic() < deadline:
        try:
            line = path.read_text().split("\n", 1)
            if len(line) == 2:
                return int(line[0].split()[2]) / 1e9
        except FileNotFoundError:
            pass
        time.sleep(0.002)
    raise SystemExit("bench: no slice was started within the time")


def start_rows(setting):
    """First slice of a million, and memory after some seconds (--full: after all of them)."""
    delays, memory = [], 0.0
    for number in range(3 if setting.quick else 7):
        directory = setting.work / "start"
        stamps = directory / "stamps"
        spec = write_spec(directory, MILLION, [setting.tool("stamp"), "{slot}", str(stamps)], n_procs=setting.cpus)
        began = time.monotonic()
        process = subprocess.Popen([setting.runner, spec, "-q"], stderr=subprocess.DEVNULL)
        delays.append(wait_for_first_stamp(stamps, began + 30) - began)
        if number == 0:
            memory = watch_memory(setting, process)
        process.send_signal(signal.SIGTERM)
        process.wait()
    delay = median(delays) * 1000
    after = "the whole run" if setting.full else "the first seconds of the run"
    return [
        Row("1,000,000 slices: start of the first", f"{delay:.0f} ms", "within 100 ms", delay <= 100),
        Row(f"1,000,000 slices: peak memory over {after}", f"{memory:.0f} MiB", "under 64 MB", memory < 61),
    ]


def watch_memory(setting, process):
    peak = 0.0
    deadline = time.monotonic() + (3600 if setting.full else 5 if setting.quick else 20)
    while process.poll() is None and time.monotonic() < deadline:
        try:
            peak = max(peak, peak_memory_mib(process.pid))
        except FileNotFoundError:
            break
        time.sleep(0.1)
    return peak


def measured_run(command, allowed=(0,)):
    """Seconds and peak MiB of one command."""
    began = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in allowed:
        raise SystemExit(f"bench: exit code {process.returncode} from: {' '.join(command)}")
    return time.monotonic() - began, usage.ru_maxrss / 1024


def resume_rows(setting):
    resumes, states, peaks = [], [], []
    for _ in range(1 if setting.quick else 3):
        spec = write_spec(setting.work / "resume", MILLION, ["/bin/true"], n_procs=setting.cpus)
        made = figures([setting.tool("make_run"), spec, "10"])
        say(f"  made a run of 1,000,000 slices with 10 left ({made['slices_per_s']:,.0f} slices/s)")
        seconds, peak = measured_run([setting.runner, "status", spec], allowed=(0, 1))
        states.append(seconds)
        peaks.append(peak)
        seconds, peak = measured_run([setting.runner, spec, "--resume", "-q"])
        resumes.append(seconds)
        peaks.append(peak)
    dry, dry_peak = measured_run([setting.runner, spec, "--dry-run"])
    resume, status = median(resumes), median(states)
    return [
        Row("the whole loop without processes, 1,000,000 slices", f"{made['slices_per_s']:,.0f} slices/s"),
        Row("resume of 1,000,000 slices with 10 left", f"{resume:.2f} s", "under 2 s", resume < 2),
        Row("status of that run", f"{status:.2f} s", "under 1 s", status < 1),
        Row("peak memory of these two", f"{max(peaks):.0f} MiB", "under 64 MB", max(peaks) < 61),
        Row("dry run of 1,000,000 slices", f"{dry:.1f} s, {dry_peak:.0f} MiB", "streams", dry_peak < 61),
    ]


def ballast_rows(setting):
    count = "1500" if setting.quick else "5000"
    ratios = []
    for _ in range(3 if setting.quick else 7):
        rate = {}
        for ballast in ("0", "1024"):
            run_directory = str(fresh_directory(setting.work / "ballast"))
            command = [setting.tool("launch_rate"), run_directory, count, str(setting.cpus), ballast]
            rate[ballast] = figures(command)["per_s"]
        ratios.append(rate["1024"] / rate["0"])
    ratio = median(ratios)
    return [Row("launch rate with 1 GB more memory / without", f"{ratio:.2f}x", "does not fall", ratio >= 0.95)]


def rows(setting):
    return core_rows(setting) + start_rows(setting) + resume_rows(setting) + ballast_rows(setting)
