"""Reads a Delta table with DuckDB's reader and Polars, and with delta_kernel where YELLOWLINE_KERNEL names the kernel-reader.

    watch.py TABLE          counts again and again until standard input ends; prints how often, and how often a look failed
    watch.py TABLE --once   prints what each engine says: rows, sum of status, smallest and largest seq, events, guests, sum of duration_ms

Used by the long day (tests/it/day.rs). A look fails when a privacy deletion removes a file the engine still wants to read.
"""

import json
import os
import subprocess
import sys
import threading

import duckdb
import polars
from duckdb_extensions import import_extension

QUESTION = ('select count(*), sum(status)::bigint, min(seq), max(seq), count(distinct event_id), count(distinct "user.id"), '
            "sum(duration_ms) from delta_scan('{}')")


def connect():
    import_extension("delta")
    connection = duckdb.connect()
    connection.load_extension("delta")
    return connection


def ask_duckdb(connection, table):
    return list(connection.sql(QUESTION.format(table)).fetchone())


def ask_polars(table):
    column = polars.col
    return list(polars.scan_delta(table).select(
        polars.len(), column("status").sum(), column("seq").min(), column("seq").max().alias("last"),
        column("event_id").n_unique(), column("user.id").drop_nulls().n_unique(), column("duration_ms").sum(),
    ).collect().row(0))


def ask_kernel(table):
    reader = os.environ.get("YELLOWLINE_KERNEL")
    if not reader:
        return None
    seen = subprocess.run(
        [reader, table, "status", "seq", "duration_ms"], check=True, capture_output=True, text=True)
    seen = json.loads(seen.stdout)
    columns = seen["columns"]
    return [seen["rows"], int(columns["status"]["sum"]), int(columns["seq"]["min"]), int(columns["seq"]["max"]),
            columns["duration_ms"]["sum"], len(seen["files"])]


def once(table):
    print(json.dumps({
        "duckdb": ask_duckdb(connect(), table), "polars": ask_polars(table), "kernel": ask_kernel(table)}))


def watch(table):
    stop = threading.Event()

    def until_end():
        sys.stdin.read()
        stop.set()

    threading.Thread(target=until_end, daemon=True).start()
    connection, looks, failed, why = connect(), 0, 0, None
    while not stop.is_set():
        for count in (
            lambda: connection.sql(f"select count(status) from delta_scan('{table}')").fetchone()[0],
            lambda: polars.scan_delta(table).select(polars.col("status").count()).collect().item(),
        ):
            try:
                count()
                looks += 1
            except Exception as failure:  # told at the end
                failed, why = failed + 1, str(failure)[:300]
                connection = connect()  # an error can leave DuckDB's transaction aborted: every later look would fail with it
    print(json.dumps({"looks": looks, "failed": failed, "why": why}))


if __name__ == "__main__":
    once(sys.argv[1]) if "--once" in sys.argv else watch(sys.argv[1])
