"""Other engines read our tables while we write: DuckDB's Delta reader and Polars must agree with our SQL."""

import json
import os
import pathlib
import random
import subprocess
import tempfile
import unittest
import urllib.request

import duckdb
import polars
from duckdb_extensions import import_extension


class Server:
    """A real `yellowline serve` on a free port that flushes often."""

    def __init__(self, data):
        environment = {**os.environ, "YELLOWLINE_STORE__FLUSH_INTERVAL_S": "1"}
        self.process = subprocess.Popen(
            [os.environ["YELLOWLINE_BIN"], "serve", "--data", str(data), "--listen", "127.0.0.1:0"],
            stdout=subprocess.PIPE, text=True, env=environment)
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

    def rows(self, sql):
        return self.post("/sql", {"sql": sql, "dataset": "shop"})["rows"]

    def stop(self):
        """A clean stop flushes, so that files and memtable cannot differ."""
        self.process.terminate()
        assert self.process.wait(60) == 0

    def kill(self):
        self.process.kill()
        self.process.wait()


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
        log = sorted(pathlib.Path(table(data), "_delta_log").glob("*.json"))
        protocol = json.loads(log[0].read_text().splitlines()[0]).get("protocol") or next(
            json.loads(line)["protocol"] for line in log[0].read_text().splitlines() if "protocol" in line)
        self.assertEqual((protocol["minReaderVersion"], protocol["minWriterVersion"]), (1, 2))


if __name__ == "__main__":
    unittest.main()
