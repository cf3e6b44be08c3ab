"""One of the two servers: its connection string, and SQL sent through psql."""
import subprocess
import sys


class Server:
    def __init__(self, conninfo):
        self.conninfo = conninfo
        self.parts = dict(word.split("=", 1) for word in conninfo.split())
        self.uri = "postgresql://{user}@/{dbname}?host={host}&port={port}".format(**self.parts)

    def in_database(self, dbname):
        """The same server's other database; this one if there is no name."""
        if dbname is None:
            return self
        return Server(" ".join(f"{name}={value}" for name, value in {**self.parts, "dbname": dbname}.items()))

    def run(self, *statements):
        """Runs the statements, each in a transaction of its own; returns the last one's output."""
        output = ""
        for statement in statements:
            done = subprocess.run(["psql", self.conninfo, "-XqAt", "-v", "ON_ERROR_STOP=1", "-f", "-"],
                                  input=statement, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                sys.exit(f"{statement}\n{done.stderr}")
            output = done.stdout.strip()
        return output

    def touch_buffers(self):
        """Uses each of the shared buffers once: the kernel provides their memory at the first use. An INSERT, unlike
        COPY, uses no ring of buffers; a row fills a page."""
        self.run(
            "CREATE UNLOGGED TABLE filler (v text)", "ALTER TABLE filler ALTER v SET STORAGE PLAIN",
            "INSERT INTO filler SELECT repeat('x', 8000) FROM generate_series(1, (SELECT setting::integer "
            "FROM pg_settings WHERE name = 'shared_buffers'))",
            "DROP TABLE filler")

    def fill_wal(self, megabytes):
        """Makes WAL segments, which the checkpoint renames for reuse."""
        self.run(f"SELECT count(pg_logical_emit_message(false, '', repeat(' ', 1 << 20))) "
                 f"FROM generate_series(1, {megabytes})", "CHECKPOINT")

    def postmaster(self):
        with open(self.run("SHOW data_directory") + "/postmaster.pid", encoding="ascii") as file:
            return int(file.readline())
