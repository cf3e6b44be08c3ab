"""Sends one COPY ... TO STDOUT to a server and throws away what comes, as cheaply as a client can.

    discard.py HOST PORT DATABASE USER SQL

HOST is an address, or the directory of a Unix socket.

The messages are not looked at: the bytes are read into one buffer until they end as the answer to a
simple query ends (ReadyForQuery, idle). Only for a server that trusts this client.
"""
import socket
import struct
import sys


def startup(database, user):
    body = struct.pack("!i", 3 << 16) + b"".join(
        word.encode() + b"\0" for word in ("user", user, "database", database)) + b"\0"
    return struct.pack("!i", len(body) + 4) + body


def query(sql):
    body = sql.encode() + b"\0"
    return b"Q" + struct.pack("!i", len(body) + 4) + body


def skip_to_ready(connection):
    """Reads to the next ReadyForQuery; returns the last bytes, which tell how it went."""
    ready = b"Z\0\0\0\5I"
    buffer = bytearray(1 << 18)
    tail = b""
    while not tail.endswith(ready):
        got = connection.recv_into(buffer)
        if got == 0:
            sys.exit("discard.py: the server closed the connection")
        tail = (tail + buffer[max(0, got - 512):got])[-512:]
    return tail


def main():
    host, port, database, user, sql = sys.argv[1:]
    by_path = host.startswith("/")
    with socket.socket(socket.AF_UNIX if by_path else socket.AF_INET) as connection:
        connection.connect(f"{host}/.s.PGSQL.{port}" if by_path else (host, int(port)))
        connection.sendall(startup(database, user))
        skip_to_ready(connection)
        connection.sendall(query(sql))
        if b"COPY " not in skip_to_ready(connection)[-40:]:
            sys.exit("discard.py: the COPY failed")


main()
