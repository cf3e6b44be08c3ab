"""What is copied in one part of the comparison: a table of the database postgres, or a database of its own.

A subject knows its two servers, makes its source, resets its target before each run, and tells whether the target is
what the source is.
"""
import os
import subprocess
import sys

from server import Server
from ways import DatabaseWays, Ways


class Subject:
    """A table."""

    def __init__(self, options, table, dbname=None):
        self.options = options
        self.table = table
        self.name = table.name
        self.source = Server(options.source).in_database(dbname)
        self.target = Server(options.target).in_database(dbname)

    def environment(self):
        """The variables of the ways' commands."""
        return dict(
            os.environ, SOURCE=self.source.conninfo, TARGET=self.target.conninfo, SOURCE_URI=self.source.uri,
            TARGET_URI=self.target.uri, SCRATCH=self.options.scratch, BENCH=os.path.dirname(os.path.abspath(__file__)),
            SOURCE_PARTS="{host} {port} {dbname} {user}".format(**self.source.parts))

    def make(self):
        """Makes and fills the source; returns what the ways and the report need to know about it."""
        table = self.table
        self.source.run(*table.create(), table.fill(self.options.scale), *(table.indexes or [table.key()]),
                        f"VACUUM (FREEZE, ANALYZE) {table.name}")
        rows, size = self.prewarm()
        if table.name == "wide":
            self.check_incompressible()
        self.source.run(f"COPY (SELECT * FROM {table.name}) TO '{self.binary_file()}' (FORMAT binary)")
        arguments = self.target.run("SELECT array_to_string(proargnames, ' ') FROM pg_proc "
                                    "WHERE oid::regproc::text = 'fastcopy.copy'")
        return {"rows": rows, "bytes": size, "rebuilds": "indexes" in arguments.split(), **self.rivals()}

    def binary_file(self):
        return f"{self.options.scratch}/{self.name}.binary"

    def prewarm(self):
        """Gets all tables, their TOAST and their indexes into shared buffers; returns the number of rows, and bytes."""
        # The schema has no other table.
        heaps = "SELECT oid, reltoastrelid FROM pg_class " \
                "WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
        self.source.run(f"""
            WITH heap AS ({heaps}),
                 with_toast AS (SELECT oid FROM heap UNION ALL SELECT reltoastrelid FROM heap WHERE reltoastrelid <> 0),
                 with_indexes AS (SELECT oid FROM with_toast UNION ALL
                                  SELECT indexrelid FROM pg_index WHERE indrelid IN (SELECT oid FROM with_toast))
            SELECT sum(pg_prewarm(oid::regclass)) FROM with_indexes""")
        counts = self.source.run("SELECT string_agg(format('(SELECT count(*) FROM %s)', oid::regclass), ' + ') "
                                 f"FROM ({heaps}) AS heap")
        rows = self.source.run(f"SELECT {counts}")
        size = self.source.run(f"SELECT sum(pg_table_size(oid)) FROM ({heaps}) AS heap")
        return int(rows), int(size)

    def rivals(self):
        """What is known of the other programs."""
        pgclone = Server(self.options.target).run(
            "SELECT count(*) FROM pg_available_extensions WHERE name = 'pgclone'")
        # Whether pgcopydb can be told to leave out its VACUUM ANALYZE at the end; 0.10 cannot.
        done = subprocess.run([self.options.pgcopydb, "clone", "--help"], capture_output=True, text=True, check=False)
        return {"pgcopydb": self.options.pgcopydb, "skips_vacuum": "--skip-vacuum" in done.stdout + done.stderr,
                "pgclone": pgclone == "1"}

    def check_incompressible(self):
        """Neither of PostgreSQL's compressions may find anything to save in the wide table's text."""
        for method in ("pglz", "lz4"):
            saved = self.source.run(
                "BEGIN; CREATE TEMPORARY TABLE probe (body text) ON COMMIT DROP; "
                f"ALTER TABLE probe ALTER body SET COMPRESSION {method}; "
                f"INSERT INTO probe SELECT body || '' FROM {self.name} LIMIT 1000; "
                "SELECT count(*) FROM probe WHERE pg_column_compression(body) IS NOT NULL; COMMIT")
            if saved != "0":
                sys.exit(f"{method} compresses {saved} of 1000 rows of {self.name}")

    def ways(self, facts):
        return Ways(self.table, facts)

    def warm_up(self, ways):
        """The way that uses the files once, without being measured."""
        return next(way for way in ways.ways if way.name == "psql-binary")

    def run_on_both(self, steps):
        for server, statement in steps:
            {"source": self.source, "target": self.target}[server].run(statement)

    def reset_target(self, way):
        """Makes the table as the way is to find it."""
        self.target.run(f"DROP TABLE IF EXISTS {self.name} CASCADE")
        if way.target != "absent":
            self.target.run(*self.table.create())
        if way.target == "indexed":
            self.target.run(*self.table.indexes)
        self.run_on_both(way.before)

    def digest(self, server):
        """Number of rows and the sum of their hashes."""
        return server.run("SET max_parallel_workers_per_gather = 2; SELECT count(*), "
                          f"sum(hash_record_extended(t, 0)) FROM {self.name} AS t")

    def expected(self):
        return self.digest(self.source)

    def is_complete(self, expected):
        """Whether the target has the source's rows, and the indexes."""
        indexes = self.target.run("SELECT count(*) FROM pg_index "
                                  f"WHERE indrelid = to_regclass('{self.name}') AND indisvalid")
        return self.digest(self.target) == expected and int(indexes) == len(self.table.indexes)

    def clean_up(self):
        for server in (self.source, self.target):
            server.run(f"DROP TABLE IF EXISTS {self.name} CASCADE", "CHECKPOINT")
        os.remove(self.binary_file())


class WholeDatabase(Subject):
    """A database, with its definitions."""

    def __init__(self, options, database):
        super().__init__(options, database, database.name)
        self.source_server = Server(options.source)
        self.target_server = Server(options.target)

    def make(self):
        self.create_database(self.source_server)
        self.source.run(*self.table.definitions(self.options.scale), *self.table.fill(self.options.scale))
        pgbench = self.table.pgbench_scale(self.options.scale)
        if pgbench:
            # With foreign keys, and VACUUM below.
            subprocess.run(["pgbench", "-i", "-q", "-I", "dtGpf", "-s", str(pgbench), self.source.conninfo], check=True,
                           stderr=subprocess.DEVNULL)
        self.source.run(*self.table.keys(), "VACUUM (FREEZE, ANALYZE)", "CREATE EXTENSION pg_prewarm")
        rows, size = self.prewarm()
        self.source.run("DROP EXTENSION pg_prewarm")
        tables = self.source.run("SELECT count(*) FROM pg_class WHERE relkind IN ('r', 'p') AND NOT relispartition "
                                 "AND relnamespace = 'public'::regnamespace")
        largest = self.source.run("SELECT max(pg_table_size(oid)) FROM pg_class WHERE relkind = 'r'")
        return {"rows": rows, "bytes": size, "tables": int(tables), "largest": int(largest), **self.rivals()}

    def create_database(self, server):
        server.run(f"DROP DATABASE IF EXISTS {self.name} WITH (FORCE)",
                   f"CREATE DATABASE {self.name} TEMPLATE template0")

    def ways(self, facts):
        return DatabaseWays(self.table, facts)

    def warm_up(self, ways):
        return next(way for way in ways.ways if way.name == "dump-Fd-2")

    def reset_target(self, way):
        self.create_database(self.target_server)
        if way.extension:
            self.target.run(f"CREATE EXTENSION {way.extension}")
        if way.target == "defined":
            self.target.run(*self.table.definitions(self.options.scale), *self.table.keys())

    def digest(self, server):
        """The same of each table; of sequences their state; how many indexes and constraints are valid."""
        rows = server.run(
            "SELECT format('SELECT %L, count(*), sum(hash_record_extended(t, 0)) FROM %I AS t;', relname, relname) "
            "FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace ORDER BY relname")
        sequences = server.run(
            "SELECT format('SELECT %L, last_value, is_called FROM %I;', relname, relname) "
            "FROM pg_class WHERE relkind = 'S' AND relnamespace = 'public'::regnamespace ORDER BY relname")
        return [server.run(statement) for statement in (
            rows, sequences,
            "SELECT relkind, count(*) FROM pg_class JOIN pg_index ON indexrelid = oid "
            "WHERE relnamespace = 'public'::regnamespace AND indisvalid GROUP BY 1 ORDER BY 1",
            "SELECT contype, count(*) FROM pg_constraint "
            "WHERE connamespace = 'public'::regnamespace AND convalidated GROUP BY 1 ORDER BY 1")]

    def is_complete(self, expected):
        found = self.digest(self.target)
        for wanted, got in zip(expected, found):
            if wanted != got:
                lines = set(wanted.splitlines()) ^ set(got.splitlines())
                print("differs:", *sorted(lines)[:8], sep="\n  ", flush=True)
        return found == expected

    def clean_up(self):
        for server in (self.source_server, self.target_server):
            server.run(f"DROP DATABASE IF EXISTS {self.name} WITH (FORCE)", "CHECKPOINT")
