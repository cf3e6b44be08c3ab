"""Turns the runs into performance.csv (every run), performance.md (medians, ratios, commands), performance.part.md
(what docs/performance.md takes of it) and performance.svg."""
import csv
import os
import platform
import statistics
import subprocess
from dataclasses import astuple, dataclass, fields

# From so many tables on, a database's time is told per table.
MANY_TABLES = 50


@dataclass
class Run:
    table: str
    way: str
    round: int
    wall_s: float
    cpu_s: float
    wal_bytes: int
    peak_kb: int
    verdict: str


@dataclass
class Row:
    """The medians of one way and one table."""
    name: str
    wall: float
    fastest: float
    slowest: float
    cpu: float
    wal: float
    peak_kb: float
    verdict: str


def summarise(name, runs):
    walls = [run.wall_s for run in runs]
    verdicts = {run.verdict for run in runs}
    verdict = next((bad for bad in ("FAILED", "DIFFERENT") if bad in verdicts), verdicts.pop())
    cpu, wal, peak = (statistics.median(getattr(run, field) for run in runs)
                      for field in ("cpu_s", "wal_bytes", "peak_kb"))
    return Row(name, statistics.median(walls), min(walls), max(walls), cpu, wal, peak, verdict)


def rows_of(table, ways, runs):
    """A row for each way, in the ways' order."""
    rows = []
    for way in ways:
        mine = [run for run in runs if run.table == table and run.way == way.name]
        if mine:
            rows.append(summarise(way.name, mine))
    return rows


def find(rows, *names):
    """The first of the names that has a good row."""
    for name in names:
        for row in rows:
            if row.name == name and row.verdict in ("equal", ""):
                return row
    return None


def best_pgcopydb(rows):
    good = [row for row in rows if row.name.startswith("pgcopydb-") and row.verdict == "equal"]
    return min(good, key=lambda row: row.wall, default=None)


def base_row(rows):
    """What ratios refer to: two workers, with the target's indexes rebuilt by themselves where that is possible."""
    return find(rows, "fastcopy-2-rebuild", "fastcopy-2")


def ratio(value, base):
    return f"{value / base:.2f}" if base else ""


def version(*command):
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return (done.stdout + done.stderr).strip().splitlines()[0]
    except (OSError, IndexError):
        return "unknown"


def processor():
    with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
        for line in file:
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.machine()


def kernel():
    """The kernel's version, without what a distributor or a host adds to it."""
    return ".".join(platform.release().split(".")[:2])


def table_section(name, facts, rows):
    base = base_row(rows)
    count = facts.get("tables")
    yield f"\n## {name}\n\n{f'{count} tables, ' if count else ''}{facts['rows']} rows, {facts['bytes'] / 1e6:.0f} MB.\n\n"
    many = count and count >= MANY_TABLES
    heads = ["way", "wall s", *(["ms per table"] if many else []), "min–max", "÷", "CPU s", "÷", "WAL MB", "memory MB"]
    yield f"| {' | '.join(heads)} | rows |\n|---|{'---:|' * (len(heads) - 1)}---|\n"
    for row in rows:
        per_table = f"| {1000 * row.wall / count:.2f} " if many else ""
        yield f"| {row.name} | {row.wall:.2f} {per_table}| {row.fastest:.2f}–{row.slowest:.2f} " \
              f"| {ratio(row.wall, base and base.wall)} | {row.cpu:.2f} | {ratio(row.cpu, base and base.cpu)} " \
              f"| {row.wal / 1e6:.1f} | {row.peak_kb / 1024:.1f} | {row.verdict} |\n"


def database_summary(databases, facts):
    """The ratios of whole databases."""
    heads = ("database", "wall, pgcopydb (best split) ÷ this", "wall, pg_dump and pg_restore ÷ this",
             "this without ANALYZE ÷ this", "wall, pgclone ÷ this", "ms per table", "into tables that exist")
    yield "\nWhole databases, with their definitions, indexes, keys and sequences, into an empty one; `this` has its " \
          "ANALYZE, which pg_dump and pgclone do not have, but for the times per table.\n\n"
    yield "| " + " | ".join(heads) + " |\n|---|" + "---:|" * (len(heads) - 1) + "\n"
    for name, rows in databases:
        this, bare, pgcopydb = find(rows, "fastcopy-2-analyze"), find(rows, "fastcopy-2"), best_pgcopydb(rows)
        dump, pgclone, keep = find(rows, "dump-Fd-2"), find(rows, "pgclone"), find(rows, "fastcopy-2-keep")
        count = facts[name]["tables"]
        many = count >= MANY_TABLES
        cells = [f"{pgcopydb.wall / this.wall:.2f} ({pgcopydb.name})" if pgcopydb and this else "",
                 ratio(dump.wall, this.wall) if dump and this else "",
                 ratio(bare.wall, this.wall) if bare and this else "",
                 ratio(pgclone.wall, this.wall) if pgclone and this else "",
                 f"{1000 * bare.wall / count:.2f}" if bare and many else "",
                 f"{1000 * keep.wall / count:.2f}" if keep and many else ""]
        yield f"| {name} | " + " | ".join(cells) + " |\n"


def summary(tables, facts):
    """The ratios that say how far ahead of others, and how near to the floors."""
    databases = [(name, rows) for name, rows in tables if "tables" in facts[name]]
    tables = [(name, rows) for name, rows in tables if "tables" not in facts[name]]
    heads = ("table", "wall, pgcopydb (best split) ÷ this", "this without ANALYZE", "CPU, psql binary pipe ÷ this",
             "CPU of this ÷ (source floor + target floor)", "CPU of this ÷ both floors at once")
    yield "\n## In short\n\nMedians; `this` is pg_fastcopy with two workers. pgcopydb ends with VACUUM ANALYZE if it cannot " \
          "be told otherwise; then `this` has its ANALYZE too, except in the second column of figures.\n\n"
    if tables:
        yield "| " + " | ".join(heads) + " |\n|---|---:|---:|---:|---:|---:|\n"
    for name, rows in tables:
        base, pgcopydb, binary = base_row(rows), best_pgcopydb(rows), find(rows, "psql-binary")
        alike = base if facts[name]["skips_vacuum"] else find(rows, "fastcopy-2-analyze")
        source, target, both = (find(rows, "floor-" + floor) for floor in ("source-socket", "target", "both"))
        cells = [f"{pgcopydb.wall / alike.wall:.2f} ({pgcopydb.name})" if pgcopydb and alike else "",
                 ratio(pgcopydb.wall, base.wall) if pgcopydb and base else "",
                 ratio(binary.cpu, base.cpu) if binary and base else "",
                 ratio(base.cpu, source.cpu + target.cpu) if base and source and target else "",
                 ratio(base.cpu, both.cpu) if base and both else ""]
        yield f"| {name} | " + " | ".join(cells) + " |\n"
    if databases:
        yield from database_summary(databases, facts)


def commands(ways):
    yield "\n## Commands\n\nAs run, each after a CHECKPOINT on both sides; bench/ways.py explains the variables.\n"
    for table, chosen in ways.items():
        yield f"\n### {table}\n"
        for way in chosen:
            yield f"\n{way.name}\n\n    {way.command}\n"


def write_csv(path, runs):
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([field.name for field in fields(Run)])
        for run in runs:
            writer.writerow(f"{value:.3f}" if isinstance(value, float) else value for value in astuple(run))


def colour(name):
    if name.startswith("fastcopy"):
        return 0x1B9E77
    return 0xAAAAAA if name.startswith("floor") else 0x7570B3


def plot_script(path, tables):
    """One panel for each table: a bar of wall seconds, and below it a thin one of CPU seconds."""
    columns = 2 if len(tables) > 1 else 1
    lines = -(-len(tables) // columns)
    panels = []
    for name, rows in tables:
        best = best_pgcopydb(rows)
        shown = [row for row in rows if row.verdict in ("equal", "") and
                 (not row.name.startswith("pgcopydb-") or row is best)]
        panels.append((name, sorted(shown, key=lambda row: -row.wall)))
    tallest = max((len(shown) for _, shown in panels), default=1)
    size = f"{560 * columns},{(70 + 22 * tallest) * lines}"
    yield f'set terminal svg noenhanced size {size} font "sans-serif,11" background "white"\n'
    yield f"set output '{path}'\nset multiplot layout {lines},{columns}\nunset key\nset border 1\n"
    yield "set style fill solid noborder\nset xtics nomirror\nset ytics nomirror scale 0\nset grid x\nset lmargin 18\n"
    for name, shown in panels:
        yield f"$data << END\n"
        for place, row in enumerate(shown):
            yield f"{place} {row.wall:.3f} {row.cpu:.3f} {colour(row.name)} {row.name}\n"
        yield "END\n"
        yield f'set title "{name}: wall seconds (thick), CPU seconds of the machine (thin)"\n'
        yield f"set xrange [0:*]\nset yrange [-0.7:{len(shown) - 0.3}]\n"
        yield "plot $data using ($2/2):($1+0.12):($2/2):(0.26):4:ytic(5) with boxxyerror lc rgb variable, " \
              "$data using ($3/2):($1-0.28):($3/2):(0.08):4 with boxxyerror lc rgb variable\n"
    yield "unset multiplot\n"


def write(options, source, facts, ways, runs):
    """Writes the three files and prints the tables."""
    tables = [(name, rows_of(name, ways[name], runs)) for name in ways]
    write_csv(os.path.join(options.out, "performance.csv"), runs)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    text = [
        "# Ways to copy a table from one PostgreSQL server into another\n\n",
        f"Made by `{options.command}` of pg_fastcopy {options.revision}: {options.rounds} rounds, tables of "
        f"{options.scale} % size. How it measures stands at the head of bench/run.\n\n",
        f"{os.cpu_count()} × {processor()}, {memory:.0f} GB; Linux {kernel()}; "
        f"{source.run('SHOW server_version')} on both sides; {version(options.pgcopydb, '--version')}.\n",
        *summary(tables, facts)]
    for name, rows in tables:
        text.extend(table_section(name, facts[name], rows))
    print("".join(text), flush=True)
    with open(os.path.join(options.out, "performance.part.md"), "w", encoding="utf-8") as file:
        # A page of its own has the title.
        file.writelines(line.replace("\n## ", "\n### ") for line in text[1:])
    with open(os.path.join(options.out, "performance.md"), "w", encoding="utf-8") as file:
        file.writelines([*text, *commands(ways)])
    subprocess.run(["gnuplot"], input="".join(plot_script(os.path.join(options.out, "performance.svg"), tables)),
                   text=True, check=True)
