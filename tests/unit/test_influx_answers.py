"""What the writer makes of each answer a server may give, 2.x's included, against a server of this file."""

import gzip
import json
import random
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import polars as pl
import pytest

from contracts import frames
from contracts.site import Influx
from store.influx import InfluxWriter, Retry
from tests.answering import Answer, Answering

AT = datetime(2026, 3, 1, tzinfo=UTC)


class Server(Answering):
    """Takes lines; `judge(line)` gives None or (status, message, headers) of the first line it minds."""

    def __init__(self):
        self.requests: list[tuple[dict, dict]] = []
        self.points: dict[str, str] = {}
        self.judge = lambda line: None  # noqa: ARG005
        super().__init__(self._answer)

    def _answer(self, asked):
        self.requests.append((parse_qs(urlsplit(asked.path).query), asked.headers))
        status, message, headers = self.take(gzip.decompress(asked.body).decode().split("\n"))
        return Answer(status, b"" if message is None else {"code": "x", "message": message}, tuple(headers.items()))

    def take(self, lines):
        answers = [self.judge(line) for line in lines]
        self.points |= {line.rsplit(" ", 1)[1]: line for line, bad in zip(lines, answers, strict=True) if bad is None}
        return next((answer for answer in answers if answer is not None), (204, None, {}))


class Spans:
    """One span of readings a list entry, whose values are given; and cursors in memory."""

    def __init__(self, *spans: list[float]):
        self.spans, self.values = spans, {}

    def spans_after(self, cursor):
        for seq, values in enumerate(self.spans, start=1):
            rows = [
                {"station": "S1", "factor": "a21026", "event_at": AT + timedelta(hours=seq, seconds=n), "value": value}
                for n, value in enumerate(values)
            ]
            if seq > cursor and values:
                yield (
                    seq,
                    {
                        "readings": pl.DataFrame(rows, schema=frames.READINGS),
                        "aggregates": frames.empty(frames.AGGREGATES),
                        "verdicts": frames.empty(frames.VERDICTS),
                    },
                )

    def cursor(self, name):
        return self.values.get(name, 0)

    def set_cursor(self, name, value):
        self.values[name] = value


@pytest.fixture
def server():
    running = Server()
    yield running
    running.close()


@pytest.fixture
def writer_of(server, tmp_path):
    writers = []

    def make(spans: Spans, token: str | None = "t0ken", batch_lines: int = 100) -> InfluxWriter:
        influx = Influx(url=server.url, database="gi", batch_lines=batch_lines)
        writers.append(InfluxWriter(influx, token, spans, spans, tmp_path / "dead.ndjson", jitter=random.Random(1)))
        return writers[-1]

    yield make
    for writer in writers:
        writer.close()


def is_bad(value: str, status: int, message: str, **headers: str):
    return lambda line: (status, message, headers) if f"value={value}," in line else None


def test_a_batch_is_one_gzipped_post_with_the_token(server, writer_of):
    writer = writer_of(Spans([1.0] * 250, [2.0]))
    assert writer.drain(10) == 2
    assert len(server.requests) == 3 + 1
    query, headers = server.requests[0]
    assert query == {"db": ["gi_raw"], "precision": ["ns"]}
    assert headers["Authorization"] == "Token t0ken"
    assert headers["Content-Encoding"] == "gzip"
    assert (writer.counts.spans, writer.counts.lines, len(server.points)) == (2, 251, 251)


def test_without_a_token_none_is_sent(server, writer_of):
    writer_of(Spans([1.0]), token=None).drain(1)
    assert "Authorization" not in server.requests[0][1]


@pytest.mark.parametrize("status", [401, 403, 404, 429, 500, 503])
def test_an_answer_that_does_not_blame_the_lines_is_waited_out(server, writer_of, tmp_path, status):
    spans = Spans([1.0], [2.0], [3.0])
    writer = writer_of(spans)
    server.judge = is_bad("2.0", status, "not now")
    waits = []
    for _ in range(12):
        with pytest.raises(Retry, match=f"answers {status}: not now") as raised:
            writer.drain(10)
        waits.append(raised.value.after_s)
    assert spans.values == {"influx": 1}
    assert waits[0] <= 1
    assert waits[0] < waits[3] < waits[6]
    assert 30 <= max(waits) <= 60
    server.judge = lambda line: None  # noqa: ARG005
    assert writer.drain(10) == 2
    assert len(server.points) == 3
    assert not (tmp_path / "dead.ndjson").exists()


def test_the_server_may_ask_for_a_longer_wait(server, writer_of):
    server.judge = is_bad("1.0", 429, "slow down", **{"Retry-After": "77"})
    with pytest.raises(Retry) as raised:
        writer_of(Spans([1.0])).drain(1)
    assert raised.value.after_s == 77


@pytest.mark.parametrize("status", [400, 413, 422])
def test_refused_lines_are_put_aside_and_the_rest_is_written(server, writer_of, tmp_path, status):
    spans = Spans([float(n) for n in range(100)], [7.0])
    writer = writer_of(spans)
    server.judge = is_bad("7.0", status, "type conflict")
    assert writer.drain(10) == 2
    assert len(server.points) == 99
    dead = [json.loads(text) for text in (tmp_path / "dead.ndjson").read_text().splitlines()]
    assert [(item["span"], item["status"], item["message"]) for item in dead] == [
        (1, status, "type conflict"),
        (2, status, "type conflict"),
    ]
    assert "value=7.0" in dead[0]["line"]
    assert (writer.counts.lines, writer.counts.lines_dead) == (99, 2)
    assert len(server.requests) < 20


def test_a_server_that_refuses_every_line_is_waited_for_and_nothing_is_put_aside(server, writer_of, tmp_path):
    spans = Spans([1.0] * 100)
    writer = writer_of(spans)
    server.judge = is_bad("1.0", 400, "database is read-only")
    with pytest.raises(Retry, match="refuses every line, for example: database is read-only"):
        writer.drain(1)
    assert len(server.requests) < 40
    assert (spans.values, (tmp_path / "dead.ndjson").exists()) == ({}, False)


def test_a_pruned_span_is_counted_as_missed(writer_of):
    writer = writer_of(Spans([1.0], [], [], [2.0]))
    assert writer.drain(10) == 2
    assert (writer.counts.spans, writer.counts.spans_missed) == (2, 2)


def test_drain_stops_after_so_many_spans(writer_of):
    spans = Spans([1.0], [2.0], [3.0])
    writer = writer_of(spans)
    assert (writer.drain(2), spans.values) == (2, {"influx": 2})
    assert (writer.drain(2), writer.drain(2)) == (1, 0)
