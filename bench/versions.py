"""Copies the tables by psql's binary pipe and by pg_fastcopy, and prints a row for each; see bench/versions."""
import argparse
import os
import resource
import statistics
import subprocess
import sys
import time

import tables
import ways
from server import Server

NAMES = ("narrow", "orders")
SAMPLE_SECONDS = 0.01
SAMPLE = "SELECT count(*), count(*) FILTER (WHERE wait_event_type = 'Lock' AND wait_event = 'extend') " \
         "FROM pg_stat_activity WHERE backend_type = 'fastcopy worker';\n"


def stat_fields(pid):
    """What follows the name of a process in /proc; none if it has ended."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            return file.read().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def server_cpu(postmaster):
    """CPU seconds of a server: of its processes that run, such as the one that writes WAL, and of those that have
    ended."""
    ticks = sum(int(field) for field in stat_fields(postmaster)[11:15])
    for pid in filter(str.isdigit, os.listdir("/proc")):
        fields = stat_fields(pid)
        if fields and int(fields[1]) == postmaster:
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def clients_cpu():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


class Sampler:
    """A session that looks at what the workers wait for."""

    def __init__(self, target):
        self.session = subprocess.Popen(["psql", target.conninfo, "-XqAt"], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)

    def while_running(self, process):
        while process.poll() is None:
            self.session.stdin.write(SAMPLE)
            self.session.stdin.flush()
            time.sleep(SAMPLE_SECONDS)

    def finish(self):
        """How many samples of workers there are, and how many of them wait."""
        lines, _ = self.session.communicate()
        counts = [line.split("|") for line in lines.split()]
        return sum(int(count[0]) for count in counts), sum(int(count[1]) for count in counts)


class Comparison:
    def __init__(self, options):
        self.options = options
        self.source = Server(options.source)
        self.target = Server(options.target)
        self.postmasters = [self.source.postmaster(), self.target.postmaster()]
        self.environment = dict(os.environ, SOURCE=options.source, TARGET=options.target)

    def cpu(self):
        return sum(server_cpu(postmaster) for postmaster in self.postmasters) + clients_cpu()

    def start(self, command):
        return subprocess.Popen(["bash", "-c", "set -euo pipefail; " + command], env=self.environment,
                                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)

    def prepare(self, table):
        self.target.run(f"DROP TABLE IF EXISTS {table.name}", *table.create(), "CHECKPOINT")
        self.source.run("CHECKPOINT")
        time.sleep(0.3)     # the sessions of these have to be gone to be counted before

    def check(self, table, process):
        if process.wait() != 0:
            sys.exit(f"{table.name}: a copy failed")
        count = f"SELECT count(*) FROM {table.name}"
        if self.target.run(count) != self.source.run(count):
            sys.exit(f"{table.name}: rows are missing")

    def measure(self, table, command):
        self.prepare(table)
        before = self.cpu()
        process = self.start(command)
        process.wait()
        time.sleep(0.3)
        used = self.cpu() - before
        self.check(table, process)
        return used

    def sample(self, table, command):
        """A copy by itself, so that the sampling session is in no figure of CPU."""
        self.prepare(table)
        sampler = Sampler(self.target)
        process = self.start(command)
        sampler.while_running(process)
        found = sampler.finish()
        self.check(table, process)
        return found

    def run(self, table):
        commands = [ways.pipe(table, " (FORMAT binary)"), ways.fastcopy(table, 2), ways.fastcopy(table, 4)]
        self.source.run(*table.create(), table.fill(self.options.scale), table.key(), f"VACUUM ANALYZE {table.name}")
        used = [[] for _ in commands]
        samples = [0, 0]
        for number in range(self.options.rounds):
            # Each round begins with another way.
            for i in range(len(commands)):
                which = (number + i) % len(commands)
                used[which].append(self.measure(table, commands[which]))
            found = self.sample(table, commands[-1])
            samples = [a + b for a, b in zip(samples, found)]
        pipe, two, four = (statistics.median(figures) for figures in used)
        waits = f"{100 * samples[1] / samples[0]:.0f} % of {samples[0]}" if samples[0] else "none"
        version = self.target.run("SHOW server_version").split()[0]
        print(f"| {version} | {table.name} | {pipe:.2f} | {two:.2f} | {two / pipe:.2f} | {four:.2f} | "
              f"{four / pipe:.2f} | {waits} |", flush=True)


def main():
    parser = argparse.ArgumentParser()
    for name in ("source", "target", "scratch"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--rounds", type=int, required=True)
    parser.add_argument("--scale", type=int, required=True)
    comparison = Comparison(parser.parse_args())
    comparison.target.run("CREATE EXTENSION pg_fastcopy")
    comparison.target.touch_buffers()
    comparison.target.fill_wal(40 * comparison.options.scale)
    for table in tables.TABLES:
        if table.name in NAMES:
            comparison.run(table)


if __name__ == "__main__":
    main()
