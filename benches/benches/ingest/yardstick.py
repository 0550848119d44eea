"""Loads a file of NDJSON with one engine and prints a row: engine, file, target."""

import os
import resource
import shutil
import sys
import time


def duckdb_load(source, target):
    import duckdb

    os.makedirs(target)
    database = duckdb.connect(os.path.join(target, "events.duckdb"))
    database.execute(
        "CREATE TABLE events AS SELECT * FROM read_json(?, format = 'newline_delimited', sample_size = 50000)", [source]
    )
    rows = database.execute("SELECT count(*) FROM events").fetchone()[0]
    database.close()
    return rows


def chdb_load(source, target):
    from chdb import session

    database = session.Session(target)
    database.query("CREATE DATABASE IF NOT EXISTS bench")
    database.query(
        "CREATE TABLE bench.events ENGINE = MergeTree ORDER BY tuple() AS SELECT * FROM "
        f"file('{source}', JSONEachRow) SETTINGS input_format_max_rows_to_read_for_schema_inference = 50000, "
        "input_format_json_infer_incomplete_types_as_strings = 1, schema_inference_make_columns_nullable = 1"
    )
    rows = int(str(database.query("SELECT count() FROM bench.events")).strip())
    database.close()
    return rows


def bytes_below(folder):
    return sum(os.path.getsize(os.path.join(root, name)) for root, _, names in os.walk(folder) for name in names)


def main():
    engine, source, target = sys.argv[1:]
    load = {"duckdb": duckdb_load, "chdb": chdb_load}[engine]
    __import__(engine)
    begin, cpu = time.monotonic(), time.process_time()
    rows = load(source, target)
    wall, cpu = time.monotonic() - begin, time.process_time() - cpu
    megabytes = os.path.getsize(source) / 1e6
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    ratio = megabytes * 1e6 / max(bytes_below(target), 1)
    version = sys.modules[engine].__version__
    print(
        f"| {engine} {version} | {megabytes / cpu:.1f} | {megabytes / wall:.1f} | {wall:.1f} | {peak:.0f} "
        f"| {ratio:.1f} | {rows} |",
        flush=True,
    )
    shutil.rmtree(target, ignore_errors=True)


main()
