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

    def postmaster(self):
        with open(self.run("SHOW data_directory") + "/postmaster.pid", encoding="ascii") as file:
            return int(file.readline())
