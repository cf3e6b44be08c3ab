"""What bench/run runs as postgres once both clusters are up: makes the tables, lets the ways take turns,
compares the rows, and leaves what report.py makes of it."""
import argparse
import os
import shutil
import sys
import time

import measure
import report
from server import Server
from subjects import Subject, WholeDatabase
from tables import DATABASES, TABLES
from ways import DatabaseWays, Ways


class Comparison:
    def __init__(self, options):
        self.options = options
        self.source = Server(options.source)
        self.target = Server(options.target)
        self.runs = []
        self.postmasters = [self.source.postmaster(), self.target.postmaster()]

    def prepare_servers(self):
        self.source.run("CREATE EXTENSION pg_prewarm")
        self.target.run(
            "CREATE EXTENSION pg_fastcopy", "CREATE EXTENSION postgres_fdw", "CREATE SCHEMA remote",
            "CREATE SERVER bench_source FOREIGN DATA WRAPPER postgres_fdw OPTIONS (fetch_size '10000', "
            + ", ".join(f"{name} '{self.source.parts[name]}'" for name in ("host", "port", "dbname")) + ")",
            f"CREATE USER MAPPING FOR CURRENT_USER SERVER bench_source OPTIONS (user '{self.source.parts['user']}')")
        if self.target.run("SELECT count(*) FROM pg_available_extensions WHERE name = 'pgclone'") == "1":
            self.target.run("CREATE EXTENSION pgclone")
        if not self.options.fresh:
            self.target.touch_buffers()
        # Enough for one run.
        self.target.fill_wal(40 * self.options.scale)

    def verdict(self, subject, way, expected):
        """Nothing to compare for floors."""
        if not way.copies:
            return ""
        return "equal" if subject.is_complete(expected) else "DIFFERENT"

    def run_way(self, subject, way, round_number, expected):
        subject.reset_target(way)
        os.sync()
        self.source.run("CHECKPOINT")
        self.target.run("CHECKPOINT")
        lsn = self.target.run("SELECT pg_current_wal_insert_lsn()")
        cost = measure.run(way.command, subject.environment(), self.postmasters)
        wal = int(self.target.run(f"SELECT pg_current_wal_insert_lsn() - '{lsn}'"))
        if cost.status != 0:
            verdict = "FAILED"
            print(*cost.output.splitlines()[-6:], sep="\n", flush=True)
        else:
            verdict = self.verdict(subject, way, expected)
        subject.run_on_both(way.after)
        shutil.rmtree(f"{self.options.scratch}/dump", ignore_errors=True)
        shutil.rmtree(f"{self.options.scratch}/pgcopydb", ignore_errors=True)
        if round_number > 0:
            self.runs.append(report.Run(subject.name, way.name, round_number, cost.wall, cost.cpu, wal,
                                        cost.peak_kb, verdict))
            print(f"{subject.name:8} {round_number:2} {way.name:20} {cost.wall:8.2f} s {cost.cpu:8.2f} CPU s "
                  f"{wal / 1e6:8.1f} MB WAL {cost.peak_kb / 1024:7.1f} MB  {verdict}", flush=True)

    def run_subject(self, subject):
        print(f"\n== {subject.name}: making it", flush=True)
        facts = subject.make()
        print(f"{facts['rows']} rows, {facts['bytes'] / 1e6:.0f} MB", flush=True)
        expected = subject.expected()
        all_ways = subject.ways(facts)
        chosen = all_ways.select(self.options.ways, self.options.essential)
        # Uses the files once, without measuring.
        self.run_way(subject, subject.warm_up(all_ways), 0, expected)
        for number in range(1, self.options.rounds + 1):
            first = (number - 1) * len(chosen) // self.options.rounds
            for way in chosen[first:] + chosen[:first]:
                self.run_way(subject, way, number, expected)
        subject.clean_up()
        return facts, chosen

    def run(self):
        before = measure.machine_cpu()
        time.sleep(1)
        busy = measure.machine_cpu() - before
        if busy > 0.1:
            print(f"warning: the machine is busy with something else ({busy:.2f} CPU s in a second)", flush=True)
        self.prepare_servers()
        facts, ways = {}, {}
        for table in self.options.tables:
            subject = (WholeDatabase if table in DATABASES else Subject)(self.options, table)
            facts[table.name], ways[table.name] = self.run_subject(subject)
        report.write(self.options, self.source, facts, ways, self.runs)
        return 1 if any(run.verdict in ("FAILED", "DIFFERENT") for run in self.runs) else 0


def named_tables(text):
    names = [name for name in text.split(",") if name]
    known = TABLES + DATABASES
    unknown = set(names) - {table.name for table in known}
    if unknown:
        raise argparse.ArgumentTypeError("no such table: " + " ".join(sorted(unknown)))
    return [table for table in known if not names or table.name in names]


def main():
    parser = argparse.ArgumentParser()
    for name in ("source", "target", "scratch", "out", "command", "revision", "pgcopydb"):
        parser.add_argument("--" + name)
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--scale", type=int)
    parser.add_argument("--tables", type=named_tables)
    parser.add_argument("--ways", type=lambda text: [pattern for pattern in text.split(",") if pattern])
    parser.add_argument("--essential", action="store_true")
    parser.add_argument("--fresh", action="store_true")
    parser.add_argument("--list", action="store_true")
    options = parser.parse_args()
    if options.list:
        no_facts = {"rows": 0, "bytes": 0, "tables": 0, "largest": 0, "pgcopydb": "", "rebuilds": False,
                    "skips_vacuum": False, "pgclone": True}
        for table in options.tables:
            ways = (DatabaseWays if table in DATABASES else Ways)(table, no_facts)
            print(f"{table.name}:", *(way.name for way in ways.select(options.ways, options.essential)))
        return 0
    return Comparison(options).run()


sys.exit(main())
