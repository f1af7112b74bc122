"""What do 300 creates in one Bulk cost on PostgreSQL, against raw SQL of the same rows in the driver's pipeline mode?

Run it as ``python -m benchmarks.bulk_postgres``.
"""

import time
from urllib.parse import urlsplit

import psycopg

from benchmarks.bulk import ROUNDS, TABLES, USERS, Rows, bulk, rows_of_one_bulk
from benchmarks.harness import Row, Than, compared, measured, show
from benchmarks.options import Options, read_options
from benchmarks.serving import Serving, server
from tests.cluster import Cluster, Databases

_SQL = {"gram": "INSERT INTO gram VALUES (%s, string_to_array(%s, ' '))"}


def insert(raw: psycopg.Connection, rows: Rows) -> None:
    """Insert rows in one transaction; the driver's `executemany` is its pipeline mode."""
    with raw.transaction(), raw.cursor(binary=True) as cursor:
        for table in (*TABLES, "gram"):
            holes = ", ".join(["%s"] * len(rows[table][0]))
            cursor.executemany(_SQL.get(table, f"INSERT INTO {table} VALUES ({holes})"), rows[table])


def run(options: Options) -> list[Row]:
    """Measure the CPU time of those who send the SQL and of PostgreSQL's own processes together."""
    # What ends takes its CPU time with it.
    with Cluster(durable=True, autovacuum="off").running() as cluster:
        databases = Databases(cluster.url)
        url = databases.prepared()
        with server(database_url=url) as running:
            kept = [rows_of_one_bulk(running, f"kept{n}-") for n in range(ROUNDS)]
        other = databases.empty(urlsplit(url).path[1:], "")
        assert cluster.process
        postgres = Serving(cluster.process.pid, 0)
        with server(database_url=url) as running, psycopg.connect(other) as raw:
            bulk(running, "first-")
            mine, theirs = (
                f"one Bulk of {USERS} creates on PostgreSQL",
                "raw executemany of them, pipelined",
            )
            works = {mine: lambda n: bulk(running, f"bulk{n}-"), theirs: lambda n: insert(raw, kept[n])}
            clocks = {
                mine: lambda: running.cpu() + postgres.cpu(),
                theirs: lambda: time.process_time() + postgres.cpu(),
            }
            return compared(measured(works, clocks, ROUNDS), {mine: Than(theirs, 4)})


def main() -> None:
    show(run(read_options()))


if __name__ == "__main__":
    main()
