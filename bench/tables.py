"""The tables and databases that are copied: how they are made on the source and on the target.

Text that is meant to be incompressible is base64 of SHA-384: hexadecimal digits would not do, since
PostgreSQL's compression finds repetitions among sixteen of them.
"""
from dataclasses import dataclass, field


@dataclass
class Table:
    name: str
    rows: int                   # in full size
    columns: str                # of CREATE TABLE
    select: str                 # what fills it; n counts the rows from 0
    indexes: list = field(default_factory=list)     # what every way has to end with
    partitions: list = field(default_factory=list)  # CREATE TABLE of each
    suffix: str = ""            # of CREATE TABLE

    def create(self):
        return [f"CREATE TABLE {self.name} ({self.columns}) {self.suffix}", *self.partitions]

    def key(self):
        column = "id, at" if self.partitions else "id"
        return f"ALTER TABLE {self.name} ADD PRIMARY KEY ({column})"

    def fill(self, scale):
        count = max(1, self.rows * scale // 100)
        return f"INSERT INTO {self.name} SELECT {self.select.format(count=count)} " \
               f"FROM generate_series(0, {count} - 1) AS n"


ORDER_COLUMNS = "id bigint, customer integer, at timestamptz, amount numeric(12,2), status text, " \
                "reference text, paid boolean, details jsonb"
ORDER_SELECT = """n, hashint4(n) & 262143,
    timestamptz '2024-01-01 00:00:00+00' + n * interval '10 seconds' + (hashint4(n + 1) & 4095) * interval '1 second',
    (hashint4(n + 2) & 1048575) / 100.0,
    ('{{new,paid,packed,shipped,delivered,returned}}'::text[])[1 + (hashint4(n + 3) & 65535) % 6],
    encode(sha384(int4send(n)), 'base64'), hashint4(n + 4) & 15 <> 0,
    jsonb_build_object('channel', ('{{web,app,shop}}'::text[])[1 + (hashint4(n + 5) & 65535) % 3],
                       'items', 1 + (hashint4(n + 6) & 7))"""


def months():
    for month in range(12):
        yield f"CREATE TABLE monthly_{month + 1:02} PARTITION OF monthly FOR VALUES " \
              f"FROM ('2024-{month + 1:02}-01 00:00:00+00') " \
              f"TO ('{2024 + (month + 1) // 12}-{(month + 1) % 12 + 1:02}-01 00:00:00+00')"


TABLES = [
    Table("narrow", 6_000_000, "id bigint, a integer, b float8, at timestamptz",
          "n, hashint4(n), hashint8(n) / 1000.0, "
          "timestamptz '2024-01-01 00:00:00+00' + (hashint4(n + 1) & 134217727) * interval '0.3 seconds'"),
    Table("orders", 3_000_000, ORDER_COLUMNS, ORDER_SELECT),
    Table("wide", 100_000, "id bigint, body text",
          "n, (SELECT string_agg(encode(sha384(int8send(n::bigint * 64 + i)), 'base64'), '') "
          "FROM generate_series(0, 59) AS i)"),
    Table("indexed", 3_000_000, ORDER_COLUMNS, ORDER_SELECT,
          indexes=["ALTER TABLE indexed ADD PRIMARY KEY (id)",
                   "CREATE INDEX indexed_customer ON indexed (customer)",
                   "CREATE INDEX indexed_at ON indexed (at)",
                   "CREATE INDEX indexed_status_amount ON indexed (status, amount)"]),
    Table("monthly", 3_000_000, "id bigint, at timestamptz, sensor integer, value float8, note text",
          "n, timestamptz '2024-01-01 00:00:00+00' + n * (interval '366 days' / {count}), "
          "hashint4(n) & 1023, hashint8(n) / 1000.0, 'reading ' || hashint4(n + 1)",
          partitions=list(months()), suffix="PARTITION BY RANGE (at)"),
]


class Shop:
    """pgbench's tables, and all above with indexes and foreign keys."""
    name = "database"
    partitions = True

    def definitions(self, _scale):
        return [statement for table in TABLES for statement in table.create()]

    def fill(self, scale):
        return [table.fill(scale) for table in TABLES]

    def pgbench_scale(self, scale):
        return max(1, 30 * scale // 100)

    def keys(self):
        return [*(statement for table in TABLES for statement in table.indexes or [table.key()]),
                "CREATE INDEX orders_customer ON orders (customer)",
                "CREATE INDEX orders_at ON orders (at)",
                "CREATE INDEX monthly_sensor_at ON monthly (sensor, at)",
                "CREATE SEQUENCE orders_id_seq OWNED BY orders.id",
                "ALTER TABLE orders ALTER id SET DEFAULT nextval('orders_id_seq')",
                "SELECT setval('orders_id_seq', (SELECT max(id) FROM orders))",
                "ALTER TABLE orders ADD FOREIGN KEY (id) REFERENCES narrow",
                "ALTER TABLE wide ADD FOREIGN KEY (id) REFERENCES narrow",
                "ALTER TABLE indexed ADD FOREIGN KEY (id) REFERENCES orders",
                "ALTER TABLE monthly ADD FOREIGN KEY (id) REFERENCES orders"]


class Thousand:
    """A thousand tables of ten rows, with a primary key each; fewer below half the size."""
    name = "thousand"
    partitions = False

    def names(self, scale):
        return [f"small_{number:04}" for number in range(min(1000, 20 * scale))]

    # Some at a time, as each psql has its costs, and each transaction its locks.
    def in_batches(self, scale, statement):
        statements = [statement.format(name=name) for name in self.names(scale)]
        return ["\n".join(statements[at:at + 100]) for at in range(0, len(statements), 100)]

    def definitions(self, scale):
        return self.in_batches(scale, "CREATE TABLE {name} (id integer PRIMARY KEY, v text);")

    def fill(self, scale):
        return self.in_batches(scale, "INSERT INTO {name} SELECT n, 'row ' || n FROM generate_series(1, 10) AS n;")

    def pgbench_scale(self, _scale):
        return 0

    def keys(self):
        return []


DATABASES = [Shop(), Thousand()]
