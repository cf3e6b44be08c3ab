"""What bench/run runs as postgres once both clusters are up: makes the tables, lets the ways take turns,
compares the rows, and leaves what report.py makes of it."""
import argparse
import os
import shutil
import subprocess
import sys
import time

import measure
import report
from server import Server
from tables import TABLES
from ways import Ways


class Comparison:
    def __init__(self, options):
        self.options = options
        self.source = Server(options.source)
        self.target = Server(options.target)
        self.runs = []
        parts = self.source.parts
        self.environment = dict(
            os.environ, SOURCE=options.source, TARGET=options.target, SOURCE_URI=self.source.uri,
            TARGET_URI=self.target.uri, SCRATCH=options.scratch, BENCH=os.path.dirname(os.path.abspath(__file__)),
            SOURCE_PARTS="{host} {port} {dbname} {user}".format(**parts))
        self.postmasters = [self.source.postmaster(), self.target.postmaster()]

    def prepare_servers(self):
        self.source.run("CREATE EXTENSION pg_prewarm")
        self.target.run(
            "CREATE EXTENSION pg_fastcopy", "CREATE EXTENSION postgres_fdw", "CREATE SCHEMA remote",
            "CREATE SERVER bench_source FOREIGN DATA WRAPPER postgres_fdw OPTIONS (fetch_size '10000', "
            + ", ".join(f"{name} '{self.source.parts[name]}'" for name in ("host", "port", "dbname")) + ")",
            f"CREATE USER MAPPING FOR CURRENT_USER SERVER bench_source OPTIONS (user '{self.source.parts['user']}')")
        if self.has_pgclone():
            self.target.run("CREATE EXTENSION pgclone")
        if not self.options.fresh:
            self.touch_buffers()
        # Enough WAL segments for one run, which the checkpoint renames for reuse.
        megabytes = 40 * self.options.scale
        self.target.run(f"SELECT count(pg_logical_emit_message(false, '', repeat(' ', 1 << 20))) "
                        f"FROM generate_series(1, {megabytes})", "CHECKPOINT")

    def touch_buffers(self):
        """Uses each of the target's shared buffers once: the kernel provides their memory at the first use. An INSERT,
        unlike COPY, uses no ring of buffers; a row fills a page."""
        self.target.run(
            "CREATE UNLOGGED TABLE filler (v text)", "ALTER TABLE filler ALTER v SET STORAGE PLAIN",
            "INSERT INTO filler SELECT repeat('x', 8000) FROM generate_series(1, (SELECT setting::integer "
            "FROM pg_settings WHERE name = 'shared_buffers'))",
            "DROP TABLE filler")

    def make_source(self, table):
        """Makes and fills the table on the source; returns what the ways need to know about it."""
        print(f"\n== {table.name}: making it", flush=True)
        self.source.run(*table.create(), table.fill(self.options.scale), *(table.indexes or [table.key()]),
                        f"VACUUM (FREEZE, ANALYZE) {table.name}")
        # The schema has no other table.
        heaps = "SELECT oid, reltoastrelid FROM pg_class " \
                "WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
        # The table, its TOAST and their indexes, all in shared buffers.
        self.source.run(f"""
            WITH heap AS ({heaps}),
                 with_toast AS (SELECT oid FROM heap UNION ALL SELECT reltoastrelid FROM heap WHERE reltoastrelid <> 0),
                 with_indexes AS (SELECT oid FROM with_toast UNION ALL
                                  SELECT indexrelid FROM pg_index WHERE indrelid IN (SELECT oid FROM with_toast))
            SELECT sum(pg_prewarm(oid::regclass)) FROM with_indexes""")
        rows = self.source.run(f"SELECT count(*) FROM {table.name}")
        size = self.source.run(f"SELECT sum(pg_table_size(oid)) FROM ({heaps}) AS heap")
        if table.name == "wide":
            self.check_incompressible(table)
        file = f"{self.options.scratch}/{table.name}.binary"
        self.source.run(f"COPY (SELECT * FROM {table.name}) TO '{file}' (FORMAT binary)")
        print(f"{int(rows)} rows, {int(size) / 1e6:.0f} MB", flush=True)
        arguments = self.target.run("SELECT array_to_string(proargnames, ' ') FROM pg_proc "
                                    "WHERE oid::regproc::text = 'fastcopy.copy'")
        return {"rows": int(rows), "bytes": int(size), "rebuilds": "indexes" in arguments.split(),
                "pgcopydb": self.options.pgcopydb, "skips_vacuum": self.skips_vacuum(),
                "pgclone": self.has_pgclone()}

    def has_pgclone(self):
        return self.target.run("SELECT count(*) FROM pg_available_extensions WHERE name = 'pgclone'") == "1"

    def skips_vacuum(self):
        """Whether this pgcopydb can be told to leave out its VACUUM ANALYZE at the end; 0.10 cannot."""
        done = subprocess.run([self.options.pgcopydb, "clone", "--help"], capture_output=True, text=True, check=False)
        return "--skip-vacuum" in done.stdout + done.stderr

    def check_incompressible(self, table):
        """Neither of PostgreSQL's compressions may find anything to save in the wide table's text."""
        for method in ("pglz", "lz4"):
            saved = self.source.run(
                "BEGIN; CREATE TEMPORARY TABLE probe (body text) ON COMMIT DROP; "
                f"ALTER TABLE probe ALTER body SET COMPRESSION {method}; "
                f"INSERT INTO probe SELECT body || '' FROM {table.name} LIMIT 1000; "
                "SELECT count(*) FROM probe WHERE pg_column_compression(body) IS NOT NULL; COMMIT")
            if saved != "0":
                sys.exit(f"{method} compresses {saved} of 1000 rows of {table.name}")

    def run_on_both(self, steps):
        for server, statement in steps:
            {"source": self.source, "target": self.target}[server].run(statement)

    def reset_target(self, table, way):
        """Makes the table as the way is to find it."""
        self.target.run(f"DROP TABLE IF EXISTS {table.name} CASCADE")
        if way.target != "absent":
            self.target.run(*table.create())
        if way.target == "indexed":
            self.target.run(*table.indexes)
        self.run_on_both(way.before)

    def digest(self, server, table):
        """Number of rows and the sum of their hashes."""
        return server.run("SET max_parallel_workers_per_gather = 2; SELECT count(*), "
                          f"sum(hash_record_extended(t, 0)) FROM {table.name} AS t")

    def compare_rows(self, table, way, expected):
        """Whether the target has the source's rows, and the indexes. Nothing to compare for floors."""
        if not way.copies:
            return ""
        indexes = self.target.run("SELECT count(*) FROM pg_index "
                                  f"WHERE indrelid = to_regclass('{table.name}') AND indisvalid")
        if self.digest(self.target, table) == expected and int(indexes) == len(table.indexes):
            return "equal"
        return "DIFFERENT"

    def run_way(self, table, way, round_number, expected):
        self.reset_target(table, way)
        os.sync()
        self.source.run("CHECKPOINT")
        self.target.run("CHECKPOINT")
        lsn = self.target.run("SELECT pg_current_wal_insert_lsn()")
        cost = measure.run(way.command, self.environment, self.postmasters)
        wal = int(self.target.run(f"SELECT pg_current_wal_insert_lsn() - '{lsn}'"))
        if cost.status != 0:
            verdict = "FAILED"
            print(*cost.output.splitlines()[-6:], sep="\n", flush=True)
        else:
            verdict = self.compare_rows(table, way, expected)
        self.run_on_both(way.after)
        shutil.rmtree(f"{self.options.scratch}/dump", ignore_errors=True)
        shutil.rmtree(f"{self.options.scratch}/pgcopydb", ignore_errors=True)
        if round_number > 0:
            self.runs.append(report.Run(table.name, way.name, round_number, cost.wall, cost.cpu, wal,
                                        cost.peak_kb, verdict))
            print(f"{table.name:8} {round_number:2} {way.name:20} {cost.wall:8.2f} s {cost.cpu:8.2f} CPU s "
                  f"{wal / 1e6:8.1f} MB WAL {cost.peak_kb / 1024:7.1f} MB  {verdict}", flush=True)

    def run_table(self, table):
        facts = self.make_source(table)
        expected = self.digest(self.source, table)
        all_ways = Ways(table, facts)
        chosen = all_ways.select(self.options.ways, self.options.essential)
        # Uses the files once, without measuring.
        warm_up = next(way for way in all_ways.ways if way.name == "psql-binary")
        self.run_way(table, warm_up, 0, expected)
        for number in range(1, self.options.rounds + 1):
            first = (number - 1) * len(chosen) // self.options.rounds
            for way in chosen[first:] + chosen[:first]:
                self.run_way(table, way, number, expected)
        for server in (self.source, self.target):
            server.run(f"DROP TABLE IF EXISTS {table.name} CASCADE", "CHECKPOINT")
        os.remove(f"{self.options.scratch}/{table.name}.binary")
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
            facts[table.name], ways[table.name] = self.run_table(table)
        report.write(self.options, self.source, facts, ways, self.runs)
        return 1 if any(run.verdict in ("FAILED", "DIFFERENT") for run in self.runs) else 0


def named_tables(text):
    names = [name for name in text.split(",") if name]
    unknown = set(names) - {table.name for table in TABLES}
    if unknown:
        raise argparse.ArgumentTypeError("no such table: " + " ".join(sorted(unknown)))
    return [table for table in TABLES if not names or table.name in names]


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
        no_facts = {"rows": 0, "bytes": 0, "pgcopydb": "", "rebuilds": False, "skips_vacuum": False, "pgclone": True}
        for table in options.tables:
            print(f"{table.name}:", *(way.name for way in Ways(table, no_facts).select(options.ways, options.essential)))
        return 0
    return Comparison(options).run()


sys.exit(main())
