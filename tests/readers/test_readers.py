"""Other engines read our tables while we write: DuckDB's Delta reader, Polars and, where it was built (`./test kernel`),
delta_kernel must agree with our SQL, after anything that can happen to a table.

YELLOWLINE_READERS_SEED replays a sequence, YELLOWLINE_READERS_STEPS makes it longer, YELLOWLINE_KERNEL names the kernel-reader.
"""

import json
import os
import pathlib
import random
import subprocess
import tempfile
import threading
import unittest
import urllib.request

import deltalake
import duckdb
import polars
from duckdb_extensions import import_extension


class Server:
    """A real `yellowline serve` on a free port that flushes often."""

    # Files, checkpoints and cleanup within seconds, so that a test sees them.
    SETTINGS = {
        "YELLOWLINE_STORE__FLUSH_INTERVAL_S": "1",
        "YELLOWLINE_STORE__MEMTABLE_ROWS_MAX": "150",
        "YELLOWLINE_STORE__CHECKPOINT_COMMITS": "3",
    }

    def __init__(self, data, *flags):
        self.process = subprocess.Popen(
            [os.environ["YELLOWLINE_BIN"], "serve", "--data", str(data), "--listen", "127.0.0.1:0", *flags],
            stdout=subprocess.PIPE, text=True, env={**os.environ, **self.SETTINGS})
        for line in self.process.stdout:
            if line.startswith("listening on "):
                self.url = line.removeprefix("listening on ").strip()
                return
        raise AssertionError("the server ended before it listened")

    def post(self, path, body):
        request = urllib.request.Request(
            f"{self.url}/api/v1{path}", json.dumps(body).encode(), {"content-type": "application/json"})
        with urllib.request.urlopen(request) as response:
            return json.load(response)

    def files(self, dataset):
        """How many files the dataset has now."""
        with urllib.request.urlopen(f"{self.url}/api/v1/datasets") as response:
            return next(one["files"] for one in json.load(response)["datasets"] if one["name"] == dataset)

    def rows(self, sql):
        return self.post("/sql", {"sql": sql, "dataset": "shop"})["rows"]

    def stop(self):
        """A clean stop flushes, so that files and memtable cannot differ."""
        self.process.terminate()
        assert self.process.wait(60) == 0
        self.process.stdout.close()

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


def events(seed, count):
    chance = random.Random(seed)
    for number in range(count):
        event = {
            "id": f"{seed}-{number}",
            "time": f"2026-11-{chance.randint(10, 19):02}T{chance.randint(0, 23):02}:00:00Z",
            "route": chance.choice(["/search", "/checkout/pay"]),
            "duration_ms": chance.randint(1, 900) / 4,
            "n": chance.randint(-(2**62), 2**62),
            "experiments": {"13": chance.choice("AB")},
        }
        if seed % 2:
            event[f"added later {seed}"] = chance.choice([True, False])
        yield event


def table(data):
    found = [path.parent for path in pathlib.Path(data).rglob("_delta_log") if "shop" in str(path)]
    assert len(found) == 1, found
    return str(found[0])


def polars_files(folder):
    """Live files as the Python package deltalake, which Polars reads with, lists them."""
    return deltalake.DeltaTable(folder).file_uris()


class Readers(unittest.TestCase):
    QUESTION = ('select count(*), min(n), max(n), sum(duration_ms), '
                'count(distinct route), sum(case when "experiments.13" = \'B\' then 1 else 0 end) from {}')

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

    def ask_duckdb(self, folder):
        import_extension("delta")
        connection = duckdb.connect()
        connection.load_extension("delta")
        return connection.sql(self.QUESTION.format(f"delta_scan('{folder}')")).fetchone()

    def ask_polars(self, folder):
        frame = polars.scan_delta(folder)
        return frame.select(
            polars.len(), polars.col("n").min(), polars.col("n").max().alias("max"), polars.col("duration_ms").sum(),
            polars.col("route").n_unique(), (polars.col("experiments.13") == "B").sum(),
        ).collect().row(0)

    def agree(self, ours, folder):
        exact = [int(value) if isinstance(value, str) else value for value in ours]
        for name, theirs in [("DuckDB", self.ask_duckdb(folder)), ("Polars", self.ask_polars(folder))]:
            self.assertEqual(list(theirs), exact, name)

    def test_counts_sums_and_extremes_agree_through_flushes_new_columns_and_kills(self):
        data = pathlib.Path(self.folder.name)
        sent = 0
        for seed in range(6):
            server = Server(data)
            for _ in range(3):
                batch = list(events(seed * 100 + sent, 200))
                self.assertEqual(server.post("/events/shop", batch)["accepted"], 200)
                sent += 200
            self.assertEqual(int(server.rows("select count(*) from events")[0][0]), sent)
            if seed % 2:
                server.kill()
                continue
            server.stop()
            server = Server(data)
            ours = server.rows(self.QUESTION.format("events"))[0]
            self.agree(ours, table(data))
            server.stop()
        protocol = deltalake.DeltaTable(table(data)).protocol()
        self.assertEqual((protocol.min_reader_version, protocol.min_writer_version), (1, 2))

    def kernel(self, folder):
        """What delta_kernel sees: live files, rows, sums; None where it is not built."""
        reader = os.environ.get("YELLOWLINE_KERNEL")
        if not reader:
            return None
        seen = subprocess.run([reader, folder, "n", "duration_ms"], check=True, capture_output=True, text=True)
        return json.loads(seen.stdout)

    def all_agree(self, data):
        """Of a stopped folder, shown read-only: nothing changes while the engines look."""
        folder = table(data)
        server = Server(data, "--read-only")
        ours = server.rows(self.QUESTION.format("events"))[0]
        self.agree(ours, folder)
        live = len(polars_files(folder))
        self.assertEqual(server.files("shop"), live)
        seen = self.kernel(folder)
        if seen:
            self.assertEqual(len(seen["files"]), live)
            self.assertEqual(seen["rows"], int(ours[0]))
            self.assertEqual((seen["columns"]["n"]["min"], seen["columns"]["n"]["max"]), (str(ours[1]), str(ours[2])))
            self.assertEqual(seen["columns"]["duration_ms"]["sum"], ours[3])
            on_disk = {str(path.relative_to(folder)) for path in pathlib.Path(folder).rglob("part-*.parquet")}
            self.assertLessEqual(set(seen["files"]), on_disk)
        server.stop()
        return int(ours[0])

    def verify(self, data):
        checked = subprocess.run(
            [os.environ["YELLOWLINE_BIN"], "verify", "--data", str(data)], capture_output=True, text=True)
        self.assertEqual(checked.returncode, 0, checked.stdout + checked.stderr)

    def test_any_sequence_of_what_happens_to_a_table_leaves_all_engines_with_the_same_answers(self):
        seed = int(os.environ.get("YELLOWLINE_READERS_SEED") or random.randrange(10**6))
        steps = int(os.environ.get("YELLOWLINE_READERS_STEPS", "8"))
        print(f"replay with YELLOWLINE_READERS_SEED={seed} YELLOWLINE_READERS_STEPS={steps}", flush=True)
        chance = random.Random(seed)
        data = pathlib.Path(self.folder.name)
        sent, server = 0, Server(data)
        for step in range(steps):
            for _ in range(chance.randint(1, 6)):
                # Odd numbers bring a column of their own; 160 events are more than a memtable takes, so they are flushed soon.
                batch = list(events(1000 * (step + 1) + chance.randint(0, 999), chance.choice([3, 160])))
                # The clients' ids may repeat: what counts is what was taken.
                sent += server.post("/events/shop", batch)["accepted"]
            if chance.random() < 0.5:
                server.kill()
            else:
                server.stop()
                self.assertEqual(self.all_agree(data), sent)
            server = Server(data)
        server.stop()
        self.assertEqual(self.all_agree(data), sent)
        self.verify(data)

    def test_readers_beside_a_writing_server_never_fail_and_never_go_back(self):
        data = pathlib.Path(self.folder.name)
        server = Server(data)
        server.post("/events/shop", list(events(2, 200)))
        server.stop()
        server = Server(data)
        stop, failures, sent = threading.Event(), [], [200]

        def write():
            try:
                for number in range(40):
                    sent[0] += server.post("/events/shop", list(events(1000 + number, 160)))["accepted"]
            except Exception as failure:  # told by the main thread
                failures.append(failure)
            stop.set()

        writer = threading.Thread(target=write)
        writer.start()
        import_extension("delta")
        connection = duckdb.connect()
        connection.load_extension("delta")
        folder, last, looks = table(data), [0, 0], 0
        while not stop.is_set() or looks < 3:
            counts = [
                connection.sql(f"select count(*) from delta_scan('{folder}')").fetchone()[0],
                polars.scan_delta(folder).select(polars.len()).collect().item(),
            ]
            for before, now in zip(last, counts):
                self.assertGreaterEqual(now, before)
                self.assertLessEqual(now, sent[0] + 160)
            last, looks = counts, looks + 1
        writer.join()
        self.assertEqual(failures, [])
        server.stop()
        self.assertEqual(self.all_agree(data), sent[0])

    def test_a_backup_is_read_like_the_table_itself(self):
        data = pathlib.Path(self.folder.name) / "data"
        server = Server(data)
        for number in range(12):
            server.post("/events/shop", list(events(100 + 2 * number, 160)))
        server.stop()
        target = pathlib.Path(self.folder.name) / "backup"
        subprocess.run(
            [os.environ["YELLOWLINE_BIN"], "backup", str(target), "--data", str(data)], check=True, capture_output=True)
        self.assertEqual(self.all_agree(target), 12 * 160)

    def test_keys_of_several_types_are_one_expression(self):
        """docs/operations.md, "Other engines"."""
        data = pathlib.Path(self.folder.name)
        server = Server(data)
        prices = [1, 2.5, "3", "free", True, None, 7]
        server.post("/events/shop", [{"id": str(n), "price": price} for n, price in enumerate(prices)])
        server.stop()
        server = Server(data, "--read-only")
        ours = server.rows("select event_id, price#text from events order by event_id")
        server.stop()
        import_extension("delta")
        connection = duckdb.connect()
        connection.load_extension("delta")
        theirs = connection.sql(
            'select event_id, coalesce("price"::text, "price#float"::text, "price#text", "price#bool"::text) '
            f"from delta_scan('{table(data)}') order by event_id").fetchall()
        self.assertEqual([list(row) for row in theirs], ours)

    def test_rare_keys_of_wide_datasets_are_one_expression(self):
        """docs/operations.md, "Other engines": more keys than a file has columns."""
        data = pathlib.Path(self.folder.name)
        server = Server(data)
        usual = {f"k{n}": n for n in range(1100)}
        batch = [{"id": f"usual{n}", **usual} for n in range(3)] + [{"id": "odd", "rare": "found", **usual}]
        server.post("/events/shop", batch)
        server.stop()
        server = Server(data, "--read-only")
        ours = server.rows("select event_id, rare from events order by event_id")
        server.stop()
        import_extension("delta")
        connection = duckdb.connect()
        connection.load_extension("delta")
        source = f"delta_scan('{table(data)}')"
        columns = [row[0] for row in connection.sql(f"describe select * from {source}").fetchall()]
        in_rest = """json_extract_string(rest, '$."rare"')"""
        value = f"coalesce(rare::text, {in_rest})" if "rare" in columns else in_rest
        theirs = connection.sql(f"select event_id, {value} from {source} order by event_id").fetchall()
        self.assertEqual([list(row) for row in theirs], ours)
        kept = connection.sql(f"select count(*) from {source} where {in_rest} is not null").fetchone()[0]
        self.assertEqual(kept, 1, "the rare key stands in rest: else this test shows nothing")


if __name__ == "__main__":
    unittest.main()
