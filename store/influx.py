"""InfluxDB: spans are written by one synchronous POST a batch, with a cursor of their own. For boards, never evidence.

Promises: the cursor passes a span when the server has taken every line of it that it ever takes; the others are in the
dead-letter file with the server's words. An absent server costs nothing but lag: spans wait on disk, not in memory.
Does not promise: a point's history; rewriting the same series and instant replaces it.
"""

import gzip
import json
import random
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
import polars.selectors as cs
from urllib3.exceptions import HTTPError

from contracts.ports import SpanSource
from contracts.series import BUCKETS, Bucket
from contracts.site import Influx

from .dead_letters import DeadLetters
from .influx_layout import Registry, span_rows
from .influx_lines import lines_by_bucket
from .spans import Cursors

if TYPE_CHECKING:
    from influxdb_client import InfluxDBClient
    from influxdb_client.rest import ApiException

CURSOR = "influx"
FRAMES = ("readings", "aggregates", "verdicts")  # the parts of a span it needs

_TIMEOUT_MS = 30_000
_GZIP_LEVEL = 1  # lines shrink tenfold at the lowest level already
_BACKOFF_S_MAX = 60.0
_SAMPLE_LINES = 32

SHARD_DAYS: Mapping[Bucket, int] = {"raw": 1, "minute": 7, "hour": 90, "day": 3650, "events": 90}  # files of a server

# the server blames the lines; anything else that is not 2xx (absent, busy, no such database, bad token) may pass
_BLAMES_LINES = (HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.UNPROCESSABLE_ENTITY)
_DROPPED = re.compile(r"beyond retention policy dropped=(\d+)")


class Retry(Exception):
    """The server cannot take anything now. Nothing is lost; call again after `after_s` seconds."""

    def __init__(self, message: str, after_s: float):
        super().__init__(message)
        self.after_s = after_s


class QueryRefused(Exception):
    """The server does not answer the query; its words."""


def database_of(influx: Influx, bucket: Bucket) -> str:
    """A database on 1.x, a bucket on 2.x (its virtual mapping makes it a database of that name)."""
    return f"{influx.database}_{bucket}"


def kept(influx: Influx, bucket: Bucket) -> timedelta | None:
    """How long its points are kept; None: for good."""
    return {"raw": influx.raw_kept, "minute": influx.minute_kept}.get(bucket)


@dataclass
class Counts:
    spans: int = 0
    spans_missed: int = 0  # pruned before they could be written
    lines: int = 0  # taken by the server
    lines_dead: int = 0  # refused, in the dead-letter file
    lines_dead_left_out: int = 0  # of them those the file had no room for
    lines_expired: int = 0  # older than their bucket keeps


@dataclass(frozen=True)
class _Refused:
    line: str
    status: int
    message: str


@dataclass
class _Outcome:
    dead: list[_Refused]
    expired: int = 0


def open_client(influx: Influx, token: str | None) -> "InfluxDBClient":
    """The transport: connections, TLS and the token. Its batching writer loses data silently and is not used."""
    from influxdb_client import InfluxDBClient  # a third of a command's start, and most commands need none

    return InfluxDBClient(influx.url, token=token, timeout=_TIMEOUT_MS)


class InfluxWriter:
    """Writes spans in order. `drain` is called again and again by one thread; between calls it holds only counters."""

    def __init__(
        self,
        influx: Influx,
        token: str | None,
        spans: SpanSource,
        cursors: Cursors,
        dead_letter_file: Path,
        registry: Registry | None = None,
        *,
        jitter: random.Random | None = None,
    ):
        self._influx, self._spans, self._cursors = influx, spans, cursors
        self._registry = registry or Registry()
        self._dead_letters = DeadLetters(dead_letter_file)
        self._client = open_client(influx, token)
        self._jitter = jitter or random.Random()
        self._failures = 0  # one after another
        self.counts = Counts()  # since it was made

    def close(self) -> None:
        self._client.close()

    def drain(self, spans_max: int, upto: int | None = None) -> int:
        """Writes the next spans, so many at most and none after `upto`; returns how many.

        Raises Retry, and OSError where a dead letter cannot be put aside; what was finished stays finished.
        """
        cursor = self._cursors.cursor(CURSOR)
        written = 0
        if upto is not None and cursor >= upto:
            return 0
        for seq, named in self._spans.spans_after(cursor):
            if upto is not None and seq > upto:
                break
            self._write_span(seq, named)
            self._cursors.set_cursor(CURSOR, seq)
            self.counts.spans += 1
            self.counts.spans_missed += seq - cursor - 1
            cursor = seq
            written += 1
            if written == spans_max:
                break
        return written

    def _write_span(self, seq: int, named: Mapping[str, pl.DataFrame]) -> None:
        self.write({"span": seq}, named)

    def write(self, about: Mapping[str, object], named: Mapping[str, pl.DataFrame]) -> None:
        """Writes some of FRAMES; `about` is said of every line that is refused. Raises Retry, OSError."""
        self.write_rows(about, span_rows(named, self._registry))

    def write_rows(self, about: Mapping[str, object], rows: Mapping[str, pl.DataFrame]) -> None:
        """Writes rows by measurement (contracts.series). Raises Retry, OSError.

        Refused lines are put aside at the end: what is begun again after a Retry puts none aside twice.
        """
        dead: list[dict[str, object]] = []
        written = expired = 0
        for measurement, frame in rows.items():
            for bucket, lines in lines_by_bucket(measurement, frame).items():
                for batch in lines.to_frame().iter_slices(self._influx.batch_lines):
                    outcome = self._write(batch.to_series(), bucket, is_whole_batch=True)
                    dead += [{**about, "bucket": bucket, **vars(item)} for item in outcome.dead]
                    expired += outcome.expired
                    written += batch.height - len(outcome.dead) - outcome.expired
        self.counts.lines_dead_left_out += self._dead_letters.add(dead)
        self.counts.lines_dead += len(dead)
        self.counts.lines_expired += expired
        self.counts.lines += written

    def _write(self, lines: pl.Series, bucket: Bucket, *, is_whole_batch: bool = False) -> _Outcome:
        """Writes what the server takes, by halves where it refuses: its 4xx does not say which lines landed."""
        refused = self._post(lines, bucket)
        if refused is None:
            return _Outcome([])
        dropped = _DROPPED.search(refused.message)
        if dropped and int(dropped[1]) == len(lines):
            return _Outcome([], expired=len(lines))
        if len(lines) == 1:
            return _Outcome([refused])
        if is_whole_batch and len(lines) >= _SAMPLE_LINES:
            self._refuse_to_drop_everything(lines, bucket)
        half = len(lines) // 2
        left, right = self._write(lines[:half], bucket), self._write(lines[half:], bucket)
        return _Outcome(left.dead + right.dead, left.expired + right.expired)

    def _refuse_to_drop_everything(self, lines: pl.Series, bucket: Bucket) -> None:
        """Lines from all over the batch, one by one: where none is taken the fault is not the lines', and they wait."""
        sample = lines.gather_every(len(lines) // _SAMPLE_LINES)
        for n in range(len(sample)):
            refused = self._post(sample[n : n + 1], bucket)
            if refused is None or _DROPPED.search(refused.message):
                return
        raise self._retry(f"{self._influx.url} refuses every line, for example: {refused.message}")

    def _post(self, lines: pl.Series, bucket: Bucket) -> _Refused | None:
        """One request. None: taken whole. Raises Retry where the server does not blame the lines."""
        from influxdb_client.rest import ApiException

        text = lines.str.join("\n").item()
        try:
            self._client.api_client.call_api(
                "/write",
                "POST",
                query_params=[("db", database_of(self._influx, bucket)), ("precision", "ns")],
                header_params={"Content-Type": "text/plain; charset=utf-8", "Content-Encoding": "gzip"},
                body=gzip.compress(text.encode(), _GZIP_LEVEL, mtime=0),
            )
        except ApiException as error:
            if error.status in _BLAMES_LINES:
                return _Refused(text, error.status, server_words(error))
            asked = (error.headers or {}).get("Retry-After", "")
            raise self._retry(
                f"{self._influx.url} answers {error.status}: {server_words(error)}",
                int(asked) if asked.isdecimal() else 0,
            ) from error
        except HTTPError as error:
            raise self._retry(f"{self._influx.url} does not answer: {error}") from error
        self._failures = 0
        return None

    def _retry(self, message: str, asked_s: float = 0.0) -> Retry:
        """Doubles the wait with every failure, half of it at random: several writers do not return together."""
        self._failures += 1
        wait_s = min(2.0 ** min(self._failures - 1, 10), _BACKOFF_S_MAX)
        return Retry(message, max(asked_s, wait_s * (0.5 + self._jitter.random() / 2)))


def create_databases(influx: Influx, token: str | None = None) -> None:
    """InfluxDB 1.x: a database a bucket, with how long it keeps; made, or changed where the site says otherwise now.

    (2.x has no such statements: `influx_manage` makes buckets there.)
    """
    for bucket in BUCKETS:
        name, bound = _quoted(database_of(influx, bucket)), kept(influx, bucket)
        duration = "INF" if bound is None else f"{int(bound.total_seconds())}s"
        shard = f"{SHARD_DAYS[bucket]}d"
        query(influx, f"CREATE DATABASE {name}", token, bucket)
        policy = f'ALTER RETENTION POLICY "autogen" ON {name} DURATION {duration} SHARD DURATION {shard} DEFAULT'
        query(influx, policy, token, bucket)


def _quoted(name: str) -> str:
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def query(influx: Influx, influxql: str, token: str | None = None, bucket: Bucket = "raw") -> pl.DataFrame:
    """One InfluxQL query as a frame: `time` in us UTC, tags of GROUP BY as text columns, every number a float.

    Several series or statements are put below each other. Raises QueryRefused.
    """
    from influxdb_client.rest import ApiException

    with _transport(influx, token) as client:
        try:
            answer = client.api_client.call_api(
                "/query",
                "POST",
                query_params=[("db", database_of(influx, bucket)), ("q", influxql), ("epoch", "ns")],
                _preload_content=False,
                _return_http_data_only=True,
            )
            results = json.loads(answer.data)["results"]
        except ApiException as error:
            raise QueryRefused(server_words(error)) from error
        except HTTPError as error:
            raise QueryRefused(f"{influx.url} does not answer: {error}") from error
    for result in results:
        if "error" in result:
            raise QueryRefused(result["error"])
    frames = [_series_frame(series) for result in results for series in result.get("series", ())]
    if not frames:
        return pl.DataFrame()
    # a column of nothing but nulls has the type it has elsewhere, or is one of numbers
    return pl.concat(frames, how="diagonal_relaxed").with_columns(cs.by_dtype(pl.Null).cast(pl.Float64))


@contextmanager
def _transport(influx: Influx, token: str | None) -> Iterator["InfluxDBClient"]:
    client = open_client(influx, token)
    try:
        yield client
    finally:
        client.close()


def _series_frame(series: dict) -> pl.DataFrame:
    columns = zip(*series["values"], strict=True)
    frame = pl.DataFrame([_column(name, values) for name, values in zip(series["columns"], columns, strict=True)])
    tags = [pl.lit(value, pl.String).alias(tag) for tag, value in series.get("tags", {}).items()]
    return frame.with_columns(tags)


def _column(name: str, values: tuple) -> pl.Series:
    if name == "time":
        return pl.Series(name, values, pl.Datetime("ns", "UTC")).dt.cast_time_unit("us")
    if all(value is None for value in values):
        return pl.Series(name, values, pl.Null)
    if any(isinstance(value, str) for value in values):
        return pl.Series(name, values, pl.String)
    return pl.Series(name, [None if value is None else float(value) for value in values], pl.Float64)


def server_words(error: "ApiException") -> str:
    """What the server said: 1.x has `error`, 2.x `message`."""
    body = error.body.decode("utf-8", "replace") if isinstance(error.body, bytes) else error.body or ""
    try:
        answer = json.loads(body)
    except ValueError:
        return body.strip() or str(error.reason)
    return str(answer.get("error") or answer.get("message") or body) if isinstance(answer, dict) else body
