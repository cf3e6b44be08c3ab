"""Runs one command and says what it cost: time, CPU of the whole machine, private memory of its processes."""
import os
import select
import signal
import subprocess
import time
from dataclasses import dataclass

SAMPLE_SECONDS = 0.05
LIMIT_SECONDS = 3600


@dataclass
class Cost:
    wall: float
    cpu: float
    peak_kb: int
    status: int
    output: str


def machine_cpu():
    """CPU seconds of the whole machine since it started: user, nice, system, irq, softirq."""
    with open("/proc/stat", encoding="ascii") as stat:
        fields = stat.readline().split()[1:]
    return sum(int(fields[i]) for i in (0, 1, 2, 5, 6)) / os.sysconf("SC_CLK_TCK")


def children(pid):
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
            return [int(word) for word in file.read().split()]
    except OSError:
        return []


def descendants(pid):
    """The process and all below it, as far as its processes have one thread each, or fork in the first."""
    found = [pid]
    for one in found:
        found.extend(children(one))
    return found


def private_kb(pid):
    try:
        with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
            for line in file:
                if line.startswith("RssAnon:"):
                    return int(line.split()[1])
    except OSError:
        pass
    return 0


def run(command, environment, postmasters):
    """Runs a command of bash. What the postmasters have for children beforehand is not the way's memory."""
    before = {pid for postmaster in postmasters for pid in children(postmaster)}
    peak = 0
    with open(os.path.join(environment["SCRATCH"], "output"), "w+", encoding="utf-8", errors="replace") as output:
        cpu = machine_cpu()
        start = time.monotonic()
        with subprocess.Popen(["bash", "-c", "set -euo pipefail; " + command], env=environment,
                              stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                              start_new_session=True) as process:
            ended = os.pidfd_open(process.pid)
            poll = select.poll()
            poll.register(ended, select.POLLIN)
            try:
                # Early for the first time, for the sake of short runs.
                pause = SAMPLE_SECONDS / 8
                while not poll.poll(pause * 1000):
                    pause = min(2 * pause, SAMPLE_SECONDS)
                    added = {pid for postmaster in postmasters for pid in children(postmaster)} - before
                    added.update(descendants(process.pid))
                    peak = max(peak, sum(private_kb(pid) for pid in added))
                    if time.monotonic() - start > LIMIT_SECONDS:
                        os.killpg(process.pid, signal.SIGKILL)
            except BaseException:
                os.killpg(process.pid, signal.SIGTERM)
                raise
            finally:
                os.close(ended)
            wall = time.monotonic() - start
            cpu = machine_cpu() - cpu
        output.seek(0)
        return Cost(wall, cpu, peak, process.returncode, output.read())
