"""What bench/instructions runs as postgres once both clusters are up; leaves instructions.part.md."""
import argparse
import os
import subprocess
import time
from dataclasses import dataclass

import measure
from server import Server
from tables import TABLES
from ways import WORKER_SETTINGS, fastcopy, pipe, psql, read_all

SIDES = ("source", "target", "client")


@dataclass
class Counted:
    name: str
    command: str
    sides: tuple    # that the report shows


def ways(table):
    """The floors, psql's binary pipe and pg_fastcopy with one worker."""
    file = f"'$SCRATCH/{table.name}.binary'"
    return [
        Counted("`COPY` to and from a file",
                psql("SOURCE", read_all(table, file)) + " && " + WORKER_SETTINGS + " "
                + psql("TARGET", f"COPY {table.name} FROM {file} (FORMAT binary)"), ("source", "target")),
        Counted("psql's binary pipe", pipe(table, " (FORMAT binary)"), SIDES),
        Counted("pg_fastcopy, one worker", fastcopy(table, 1), ("source", "target")),
    ]


class Counter:
    def __init__(self, options):
        self.options = options
        self.source = Server(options.source)
        self.target = Server(options.target)
        self.postmasters = [self.source.postmaster(), self.target.postmaster()]
        self.environment = dict(os.environ, SOURCE=options.source, TARGET=options.target, SCRATCH=options.scratch)
        # What the clients run as: psql itself under callgrind.
        self.counted_psql = f'psql() {{ {options.client} "$(command -v psql)" "$@"; }}'
        self.lasting = set()
        self.settle()
        self.lasting = self.children()

    def children(self):
        return {pid for postmaster in self.postmasters for pid in measure.children(postmaster)}

    def settle(self):
        """Waits until all sessions and workers have exited, and so have written their counts."""
        quiet_since, before = time.monotonic(), None
        while time.monotonic() - quiet_since < 1:
            now = self.children()
            if now != before or (self.lasting and now != self.lasting):
                quiet_since, before = time.monotonic(), now
            time.sleep(0.05)

    def counts(self, files):
        """The instructions of each side in these files; servers are told apart by their data directories."""
        sums = dict.fromkeys(SIDES, 0)
        for name in files:
            with open(os.path.join(self.options.counts, name), encoding="utf-8", errors="replace") as file:
                command, total = "", 0
                for line in file:
                    if line.startswith("cmd:"):
                        command = line
                    elif line.startswith("totals:"):
                        total = int(line.split()[1])
            side = next((side for side in ("source", "target") if f"/{side}/data" in command), "client")
            sums[side] += total
        return sums

    def count(self, way):
        self.target.run("TRUNCATE " + self.table.name)
        self.settle()
        before = set(os.listdir(self.options.counts))
        subprocess.run(["bash", "-c", f"set -euo pipefail; {self.counted_psql}; {way.command}"], env=self.environment,
                       check=True, stdout=subprocess.DEVNULL)
        self.settle()
        return self.counts(set(os.listdir(self.options.counts)) - before)

    def count_table(self, table, rows):
        """For each way, the instructions of each side for a row."""
        self.table = table
        self.source.run(*table.create(), table.key(), f"ANALYZE {table.name}")
        self.target.run(*table.create())
        empty = [self.count(way) for way in ways(table)]
        select = table.select.format(count=rows)
        self.source.run(f"INSERT INTO {table.name} SELECT {select} FROM generate_series(0, {rows} - 1) AS n",
                        f"VACUUM (FREEZE, ANALYZE) {table.name}")
        per_row = []
        for way, start in zip(ways(table), empty):
            full = self.count(way)
            if self.target.run(f"SELECT count(*) FROM {table.name}") != str(rows):
                raise SystemExit(f"{table.name}, {way.name}: the copy failed")
            per_row.append({side: (full[side] - start[side]) / rows for side in way.sides})
            print(f"{table.name:8} {way.name:28}",
                  *(f"{side} {count:8.0f}" for side, count in per_row[-1].items()), flush=True)
        return per_row


def report(options, counted):
    """A line for each way and side; counted: by table, what count_table() returned."""
    yield f"Made by `{options.command}` of pg_fastcopy {options.revision}, with {options.rows} rows of `narrow` and half " \
          "as many of `orders`.\n\n"
    yield "| | " + " | ".join(counted) + " |\n|---|" + "---:|" * len(counted) + "\n"
    names = [way.name for way in ways(TABLES[0])]
    for place, name in enumerate(names):
        for side in counted["narrow"][place]:
            yield f"| {name}: {side} | " + " | ".join(f"{ways[place][side]:.0f}" for ways in counted.values()) + " |\n"
    for place, name in enumerate(names[:-1]):
        quotients = (sum(ways[place].values()) / sum(ways[-1].values()) for ways in counted.values())
        yield f"| {name} ÷ pg_fastcopy, both sides | " + " | ".join(f"{quotient:.2f}" for quotient in quotients) + " |\n"


def main():
    parser = argparse.ArgumentParser()
    for name in ("source", "target", "scratch", "counts", "client", "out", "command", "revision"):
        parser.add_argument("--" + name)
    parser.add_argument("--rows", type=int)
    options = parser.parse_args()
    counter = Counter(options)
    counter.target.run("CREATE EXTENSION pg_fastcopy")
    tables = {table.name: table for table in TABLES}
    counted = {"narrow": counter.count_table(tables["narrow"], options.rows),
               "orders": counter.count_table(tables["orders"], options.rows // 2)}
    with open(os.path.join(options.out, "instructions.part.md"), "w", encoding="utf-8") as file:
        file.writelines(report(options, counted))


main()
