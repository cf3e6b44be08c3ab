"""The ways to copy a table or a database, each a command of bash.

The commands use what anybody who repeats one by hand can set: $SOURCE and $TARGET, the connection strings of the
two servers; $SOURCE_URI and $TARGET_URI, the same as URIs; $SCRATCH, a directory; $BENCH, the one this file is in.
"""
import fnmatch
import re
from dataclasses import dataclass

# The settings of pg_fastcopy's workers; the floor of writing uses them too.
WORKER_SETTINGS = "PGOPTIONS='-c synchronous_commit=off -c default_toast_compression=lz4'"


@dataclass
class Way:
    name: str
    command: str
    # What it finds: the table bare, with its indexes (indexed), or no table (absent); of a database nothing (absent), or
    # all definitions (defined).
    target: str = "bare"
    before: tuple = ()          # pairs of a server, source or target, and SQL; not measured
    after: tuple = ()
    copies: bool = True         # false for floors that leave no rows
    extension: str = ""         # of a database: what is installed in it


def psql(server, *statements, options="-q"):
    quoted = " ".join('-c "%s"' % statement.replace('"', r'\"') for statement in statements)
    return f'psql "${server}" -X {options} -v ON_ERROR_STOP=1 {quoted}'


def pipe(table, options):
    read = f"COPY (SELECT * FROM {table.name})" if table.partitions else f"COPY {table.name}"
    return f"{psql('SOURCE', f'{read} TO STDOUT{options}')} | " \
           f"{psql('TARGET', f'COPY {table.name} FROM STDIN{options}')}"


def read_all(table, destination):
    what = f"(SELECT * FROM {table.name})" if table.partitions else table.name
    return f"COPY {what} TO {destination} (FORMAT binary)"


def half(table, condition):
    return f"{psql('SOURCE', f'COPY (SELECT * FROM {table.name} WHERE {condition}) TO STDOUT')} | " \
           f"{psql('TARGET', f'COPY {table.name} FROM STDIN')}"


def fastcopy(table, workers, arguments=", statistics => false"):
    call = f"SELECT fastcopy.copy('$SOURCE', '{table.name}', '{table.name}', {workers}{arguments})"
    return psql("TARGET", call, options="-qAt")


# The ways that a short run leaves out on all tables, and those that it keeps on the tables that show indexes and
# partitions.
DISPENSABLE = ["pgcopydb-1", "dump-Fc", "floor-source-file"]
KEPT_ON = {
    "indexed": ["fastcopy-1-rebuild", "fastcopy-2", "fastcopy-2-keep", "fastcopy-2-rebuild", "fastcopy-2-analyze",
                "fastcopy-4-rebuild", "psql-binary", "dump-Fd-2", "pgcopydb-2", "pgcopydb-4", "pgclone", "logical"],
    "monthly": ["fastcopy-*", "psql-*", "dump-Fd-2", "pgcopydb-1", "logical", "floor-source-socket", "floor-target"],
    "database": ["fastcopy-2", "fastcopy-2-analyze", "dump-Fd-2", "pgcopydb-*"],
    "thousand": ["fastcopy-2", "fastcopy-2-keep", "fastcopy-2-analyze", "dump-Fd-2", "pgcopydb-1", "pgclone"],
}


class Ways:
    """All ways for one table."""

    def __init__(self, table, facts):
        self.table = table
        self.facts = facts
        self.ways = []
        # For every way that does not create the indexes itself.
        self.then_index = " && " + psql("TARGET", *table.indexes) if table.indexes else ""
        self.add_fastcopy([1, 2, 4])
        self.add_analyzing_fastcopy()
        self.add_pipes()
        self.add_dumps()
        self.add_pgcopydb()
        self.add_servers()
        if self.facts["pgclone"] and not table.partitions:
            self.add_pgclone()
        self.add_floors()

    def load(self, name, command, **more):
        self.ways.append(Way(name, command + self.then_index, **more))

    def add_fastcopy(self, counts):
        for workers in counts:
            self.load(f"fastcopy-{workers}", fastcopy(self.table, workers))
            if not self.table.indexes:
                continue
            self.ways.append(Way(f"fastcopy-{workers}-keep", fastcopy(self.table, workers), "indexed"))
            if self.facts["rebuilds"]:
                rebuild = ", statistics => false, indexes => 'rebuild'"
                self.ways.append(Way(f"fastcopy-{workers}-rebuild",
                                     fastcopy(self.table, workers, rebuild), "indexed"))

    def add_analyzing_fastcopy(self):
        """As it comes, with ANALYZE at the end: what a pgcopydb that cannot leave that out compares with."""
        if self.table.indexes and self.facts["rebuilds"]:
            call = fastcopy(self.table, 2, ", indexes => 'rebuild'")
            self.ways.append(Way("fastcopy-2-analyze", call, "indexed"))
        else:
            self.load("fastcopy-2-analyze", fastcopy(self.table, 2, ""))

    def add_pipes(self):
        table = self.table
        self.load("psql-text", pipe(table, ""))
        self.load("psql-binary", pipe(table, " (FORMAT binary)"))
        middle = self.facts["rows"] // 2
        # The script that starts a psql | psql for each range of ids.
        self.load("psql-2-ranges", f"{half(table, f'id >= 0 AND id < {middle}')} & first=$!; "
                                   f"{half(table, f'id >= {middle}')}; wait $first")

    def add_dumps(self):
        table = self.table
        what = f"-t '{table.name}*'" + ("" if table.indexes else " -a")
        only = "" if table.indexes else " -a"
        target = "absent" if table.indexes else "bare"
        self.ways.append(Way("dump-Fc", f'pg_dump -d "$SOURCE" {what} -Fc -Z0 | pg_restore -d "$TARGET"{only}', target))
        self.ways.append(Way(
            "dump-Fd-2", f'rm -rf "$SCRATCH/dump" && pg_dump -d "$SOURCE" {what} -Fd -j2 -Z0 -f "$SCRATCH/dump" && '
                         f'pg_restore -d "$TARGET"{only} -j2 "$SCRATCH/dump"', target))

    def add_pgcopydb(self):
        for parts in (1, 2, 4, 8):
            size = self.facts["bytes"] // parts + 1
            # Not all versions have the option for all commands, but all have the variable.
            options = '--source "$SOURCE_URI" --target "$TARGET_URI" --dir "$SCRATCH/pgcopydb" --table-jobs 2'
            options += " --skip-vacuum" if self.facts["skips_vacuum"] else ""
            call = f"clone {options} --index-jobs 2" if self.table.indexes else f"copy table-data {options}"
            self.ways.append(Way(
                f"pgcopydb-{parts}", f'rm -rf "$SCRATCH/pgcopydb" && PGCOPYDB_SPLIT_TABLES_LARGER_THAN={size} '
                                     f'{self.facts["pgcopydb"]} {call}',
                "absent" if self.table.indexes else "bare"))

    def add_pgclone(self):
        # Arguments: data; the target's name; indexes, constraints, triggers.
        indexes = "true" if self.table.indexes else "false"
        call = f"SELECT pgclone.table_ex('$SOURCE', 'public', '{self.table.name}', true, '{self.table.name}', " \
               f"{indexes}, {indexes}, false)"
        self.ways.append(Way("pgclone", psql("TARGET", call, options="-qAt"), "absent"))

    def add_servers(self):
        name = self.table.name
        # f, s and r: the table's rows have been committed.
        wait = "DO 'BEGIN WHILE EXISTS (SELECT FROM pg_subscription_rel " \
               "WHERE srsubstate NOT IN (''f'', ''s'', ''r'')) LOOP PERFORM pg_sleep(0.02); END LOOP; END'"
        self.load("logical", psql("TARGET", "CREATE SUBSCRIPTION bench CONNECTION '$SOURCE' PUBLICATION bench", wait),
                  before=(("source", f"CREATE PUBLICATION bench FOR TABLE {name}"),),
                  after=(("target", "DROP SUBSCRIPTION IF EXISTS bench"), ("source", "DROP PUBLICATION bench")))
        self.load("postgres_fdw", psql("TARGET", f"INSERT INTO {name} SELECT * FROM remote.{name}"),
                  before=(("target", f"IMPORT FOREIGN SCHEMA public LIMIT TO ({name}) "
                                     "FROM SERVER bench_source INTO remote"),),
                  after=(("target", f"DROP FOREIGN TABLE remote.{name}"),))

    def add_floors(self):
        table = self.table
        file = f"$SCRATCH/{table.name}.binary"
        discard = f'/usr/bin/python3 "$BENCH/discard.py" $SOURCE_PARTS "{read_all(table, "STDOUT")}"'
        write = f"{WORKER_SETTINGS} {psql('TARGET', f'''COPY {table.name} FROM '{file}' (FORMAT binary)''')}"
        to_null = read_all(table, "'/dev/null'")
        self.ways.append(Way("floor-source-file", psql("SOURCE", to_null), copies=False))
        self.ways.append(Way("floor-source-socket", discard, copies=False))
        self.load("floor-target", write)
        self.load("floor-both", f"{discard} & first=$!; {write}; wait $first")

    def is_essential(self, name):
        if self.table.name in KEPT_ON:
            return any(fnmatch.fnmatch(name, pattern) for pattern in KEPT_ON[self.table.name])
        return name not in DISPENSABLE

    def add_more_workers(self, pattern, known):
        """Adds the ways of a pattern that names another number of workers."""
        workers = re.fullmatch(r"fastcopy-(\d+)(-keep|-rebuild)?", pattern)
        if workers and f"fastcopy-{workers[1]}" not in known:
            self.add_fastcopy([int(workers[1])])

    def select(self, patterns, essential=False):
        """The ways that match one of the patterns, or all; without those that can be left out."""
        if not patterns and essential:
            return [way for way in self.ways if self.is_essential(way.name)]
        if not patterns:
            return self.ways
        known = {way.name for way in self.ways}
        for pattern in patterns:
            self.add_more_workers(pattern, known)
        return [way for way in self.ways if any(fnmatch.fnmatch(way.name, pattern) for pattern in patterns)]


class DatabaseWays(Ways):
    """All ways for a database, from an empty one to one that has everything."""

    # pylint: disable=super-init-not-called
    def __init__(self, database, facts):
        self.table = database
        self.facts = facts
        self.ways = []
        self.add_fastcopy([1, 2, 4])
        self.add_clone("fastcopy-2-analyze", 2, "create", "")
        self.add_dumps()
        self.add_pgcopydb()
        if self.facts["pgclone"] and not database.partitions:
            self.add_pgclone()

    def add_clone(self, name, workers, definitions, arguments=", statistics => false"):
        call = f"SELECT fastcopy.wait(fastcopy.clone('$SOURCE', workers => {workers}, " \
               f"definitions => '{definitions}'{arguments}))"
        self.ways.append(Way(name, psql("TARGET", call, options="-qAt"),
                             "defined" if definitions == "keep" else "absent", extension="pg_fastcopy"))

    def add_fastcopy(self, counts):
        for workers in counts:
            self.add_clone(f"fastcopy-{workers}", workers, "create")
            if self.table.name == "thousand":
                self.add_clone(f"fastcopy-{workers}-keep", workers, "keep")

    def add_dumps(self):
        self.ways.append(Way("dump-Fc", 'pg_dump -d "$SOURCE" -Fc -Z0 | pg_restore -d "$TARGET"', "absent"))
        self.ways.append(Way(
            "dump-Fd-2", 'rm -rf "$SCRATCH/dump" && pg_dump -d "$SOURCE" -Fd -j2 -Z0 -f "$SCRATCH/dump" && '
                         'pg_restore -d "$TARGET" -j2 "$SCRATCH/dump"', "absent"))

    def add_pgcopydb(self):
        for parts in (1,) if self.table.name == "thousand" else (1, 2, 4):
            options = '--source "$SOURCE_URI" --target "$TARGET_URI" --dir "$SCRATCH/pgcopydb"'
            options += " --table-jobs 2 --index-jobs 2"
            options += " --skip-vacuum" if self.facts["skips_vacuum"] else ""
            options += f" --split-tables-larger-than {self.facts['largest'] // parts + 1}" if parts > 1 else ""
            self.ways.append(Way(f"pgcopydb-{parts}",
                                 f'rm -rf "$SCRATCH/pgcopydb" && {self.facts["pgcopydb"]} clone {options}', "absent"))

    def add_pgclone(self):
        self.ways.append(Way("pgclone", psql("TARGET", "SELECT pgclone.database('$SOURCE', true)", options="-qAt"),
                             "absent", extension="pgclone"))
