"""What bench/scaling runs as postgres once both clusters are up; leaves scaling.csv, .svg and .part.md."""
import argparse
import collections
import csv
import os
import statistics
import subprocess
import threading
from dataclasses import dataclass

import measure
from server import Server
from tables import TABLES

NARROW = next(table for table in TABLES if table.name == "narrow")
MILLIONS = 10  # rows of the series that vary something else
SAMPLE_SECONDS = 0.05


@dataclass
class Point:
    series: str
    x: int
    wall: float     # medians
    cpu: float
    rows: int
    chunks: int
    busy: float     # share of samples in which a worker ran
    waits: str      # of the workers, the three most frequent
    source_busy: float
    pipe_wall: float = None     # of psql's binary pipe, which tells what growth is the servers' own
    pipe_cpu: float = None


class Sampler(threading.Thread):
    """Asks a server twenty times a second what some of its processes wait for, over one session."""

    def __init__(self, server, condition):
        super().__init__(daemon=True)
        self.server = server
        self.query = f"SELECT coalesce(wait_event, 'running') FROM pg_stat_activity WHERE {condition} \\watch {SAMPLE_SECONDS}\n"
        self.counts = collections.Counter()
        self.process = None

    def run(self):
        with subprocess.Popen(["psql", self.server.conninfo, "-XqAt", "-P", "null=-"], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as self.process:
            self.process.stdin.write("\\pset format csv\n" + self.query)
            self.process.stdin.flush()
            for line in self.process.stdout:
                # \watch has a title line with the time.
                if "every" not in line and line.strip() not in ("", "coalesce"):
                    self.counts[line.strip().strip('"')] += 1

    def stop(self):
        if self.process is not None:
            self.process.kill()
        self.join()
        return self.counts


class Scaling:
    def __init__(self, options):
        self.options = options
        self.source = Server(options.source)
        self.target = Server(options.target)
        self.postmasters = [self.source.postmaster(), self.target.postmaster()]
        self.environment = dict(os.environ, SOURCE=options.source, TARGET=options.target, SCRATCH=options.scratch)
        self.filled = 0
        self.points = []

    def fill(self, rows):
        """Makes the source's table that long: it grows from series to series."""
        if rows < self.filled:
            self.source.run("TRUNCATE narrow")
            self.filled = 0
        select = NARROW.select.format(count=rows)
        self.source.run(f"INSERT INTO narrow SELECT {select} FROM generate_series({self.filled}, {rows} - 1) AS n",
                        "VACUUM (FREEZE, ANALYZE) narrow", "SELECT count(*) FROM narrow", "CHECKPOINT")
        self.filled = rows

    def run_once(self, command):
        self.target.run("TRUNCATE narrow", "CHECKPOINT")
        self.source.run("CHECKPOINT")  # a job waits until the state it copies is on the source's disk
        os.sync()  # what the copy before has left to the disk would be in the way of this one's commits
        return measure.run(command, self.environment, self.postmasters)

    def copy_once(self, workers, chunk_size):
        command = f'psql "$TARGET" -XqAt -v ON_ERROR_STOP=1 -c "SET fastcopy.chunk_size = \'{chunk_size}\'" ' \
                  f'-c "SELECT fastcopy.copy(\'$SOURCE\', \'narrow\', \'narrow\', {workers}, statistics => false)"'
        return self.run_once(command)

    def median(self, what, rows, run):
        """The medians of wall and CPU seconds over all rounds of what run() does."""
        costs = []
        for _ in range(1 if rows >= 30_000_000 else self.options.rounds):
            cost = run()
            if cost.status != 0 or self.target.run("SELECT count(*) FROM narrow") != str(rows):
                raise SystemExit(f"{what}: the copy failed\n{cost.output}")
            costs.append(cost)
        return statistics.median(cost.wall for cost in costs), statistics.median(cost.cpu for cost in costs)

    def measure_pipe(self, point):
        pipe = "psql \"$SOURCE\" -Xqc 'COPY narrow TO STDOUT (FORMAT binary)' | " \
               "psql \"$TARGET\" -Xqc 'COPY narrow FROM STDIN (FORMAT binary)'"
        point.pipe_wall, point.pipe_cpu = self.median("psql", point.rows, lambda: self.run_once(pipe))
        print(f"{'':20} psql's binary pipe {point.pipe_wall:.2f} s {point.pipe_cpu:8.2f} CPU s", flush=True)

    def measure(self, series, x, rows, workers, chunk_size="0"):
        wall, cpu = self.median(f"{series} {x}", rows, lambda: self.copy_once(workers, chunk_size))
        # Wait events are sampled in a run of its own: the samplers take time too.
        samplers = [Sampler(self.target, "backend_type = 'fastcopy worker'"),
                    Sampler(self.source, "application_name LIKE 'fastcopy job % chunk %'")]
        for sampler in samplers:
            sampler.start()
        self.copy_once(workers, chunk_size)
        here, there = (sampler.stop() for sampler in samplers)
        job = "(SELECT max(job) FROM fastcopy.status)"
        chunks = int(self.target.run(f"SELECT chunks FROM fastcopy.status WHERE job = {job}"))
        self.points.append(Point(series, x, wall, cpu, rows, chunks, share(here, "running"), most_frequent(here),
                                 share(there, "running")))
        point = self.points[-1]
        print(f"{series:8} {x:6} {point.chunks:6} chunks {point.wall:8.2f} s {point.cpu:8.2f} CPU s  "
              f"{1e6 * point.wall / rows:6.3f} us/row  running {point.busy:.0%}, on the source "
              f"{point.source_busy:.0%}  {point.waits}", flush=True)

    def run(self):
        self.target.run("CREATE EXTENSION pg_fastcopy", *NARROW.create())
        self.source.run(*NARROW.create())
        self.fill(1_000_000)
        self.copy_once(2, "0")
        lasting = MILLIONS * 1_000_000
        if self.options.workers or self.options.chunks:
            self.fill(lasting)
        for workers in self.options.workers:
            self.measure("workers", workers, lasting, workers)
        size_kb = int(self.source.run("SELECT pg_table_size('narrow') / 1024"))
        for chunks in self.options.chunks:
            self.measure("chunks", chunks, lasting, 2, f"{max(1, size_kb // chunks)}kB")
        for millions in self.options.rows:
            self.fill(millions * 1_000_000)
            self.measure("rows", millions, millions * 1_000_000, 2)
            self.measure_pipe(self.points[-1])


def share(counts, event):
    total = sum(counts.values())
    return counts[event] / total if total else 0


def most_frequent(counts):
    total = sum(counts.values())
    waits = [(event, count) for event, count in counts.most_common() if event != "running"]
    return ", ".join(f"{event} {count / total:.0%}" for event, count in waits[:3])


TITLES = {
    "rows": ("Million rows, two workers", "million rows"),
    "workers": (f"Workers, {MILLIONS} million rows", "workers"),
    "chunks": (f"Chunks, {MILLIONS} million rows, two workers", "chunks wanted"),
}


def per_row(seconds, rows):
    return f"{1e6 * seconds / rows:.3f}" if seconds is not None else None


# The heads of the columns, and the function of a point that each shows; a column without values for a series is left
# out.
COLUMNS = {
    "chunks": lambda point: str(point.chunks),
    "wall s": lambda point: f"{point.wall:.2f}",
    "µs/row": lambda point: per_row(point.wall, point.rows),
    "CPU s": lambda point: f"{point.cpu:.2f}",
    "CPU µs/row": lambda point: per_row(point.cpu, point.rows),
    "psql's µs/row": lambda point: per_row(point.pipe_wall, point.rows),
    "psql's CPU µs/row": lambda point: per_row(point.pipe_cpu, point.rows),
    "workers run": lambda point: f"{point.busy:.0%}",
    "sessions on the source run": lambda point: f"{point.source_busy:.0%}",
    "workers wait for": lambda point: point.waits,
}


def sections(options, points):
    yield f"Made by `{options.command}` of pg_fastcopy {options.revision}, medians of {options.rounds} rounds " \
          "(tables of 30 million rows and more: one).\n"
    for series, (title, head) in TITLES.items():
        mine = [point for point in points if point.series == series]
        if not mine:
            continue
        columns = {name: show for name, show in COLUMNS.items() if show(mine[0]) is not None}
        yield f"\n### {title}\n\n| {head} | " + " | ".join(columns) + " |\n" \
              + "|---:" * len(columns) + "|---|\n"
        for point in mine:
            yield f"| {point.x} | " + " | ".join(show(point) for show in columns.values()) + " |\n"


def plot(path, points):
    series = [name for name in TITLES if any(point.series == name for point in points)]
    yield f'set terminal svg noenhanced size 960,320 font "sans-serif,11" background "white"\nset output \'{path}\'\n'
    yield f"set multiplot layout 1,{len(series)}\nset logscale x\nset yrange [0:*]\nset grid\nset key bottom left\n"
    for name in series:
        yield "$data << END\n"
        for point in points:
            if point.series == name:
                yield f"{point.x} {1e6 * point.wall / point.rows:.4f} {1e6 * point.cpu / point.rows:.4f}\n"
        yield f'END\nset title "{TITLES[name][0]}: µs per row"\nset xlabel "{TITLES[name][1]}"\n'
        yield 'plot $data using 1:2:xtic(1) with linespoints lw 2 pt 7 lc rgb "#1b9e77" title "wall", ' \
              '$data using 1:3 with linespoints pt 6 lc rgb "#7570b3" title "CPU of the machine"\n'
    yield "unset multiplot\n"


def write(options, points):
    with open(os.path.join(options.out, "scaling.csv"), "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["series", "x", "rows", "chunks", "wall_s", "cpu_s", "workers_run", "source_runs", "waits",
                         "pipe_wall_s", "pipe_cpu_s"])
        for point in points:
            pipe = [f"{cost:.3f}" if cost is not None else "" for cost in (point.pipe_wall, point.pipe_cpu)]
            writer.writerow([point.series, point.x, point.rows, point.chunks, f"{point.wall:.3f}", f"{point.cpu:.3f}",
                             f"{point.busy:.3f}", f"{point.source_busy:.3f}", point.waits, *pipe])
    with open(os.path.join(options.out, "scaling.part.md"), "w", encoding="utf-8") as file:
        file.writelines(sections(options, points))
    subprocess.run(["gnuplot"], input="".join(plot(os.path.join(options.out, "scaling.svg"), points)), text=True,
                   check=True)


def main():
    parser = argparse.ArgumentParser()
    for name in ("source", "target", "scratch", "out", "command", "revision"):
        parser.add_argument("--" + name)
    parser.add_argument("--rounds", type=int)
    for name in ("rows", "workers", "chunks"):
        parser.add_argument("--" + name, type=lambda text: [int(word) for word in text.split(",") if word])
    options = parser.parse_args()
    scaling = Scaling(options)
    scaling.run()
    write(options, scaling.points)


main()
