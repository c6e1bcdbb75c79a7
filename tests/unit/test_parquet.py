"""Laws of the Parquet writer: one set of rows has one file and one digest; a file is there whole or not at all."""

import hashlib
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from contracts import frames
from store.parquet import canonical, content_digest, replacing, write_parquet

ROOT = Path(__file__).resolve().parents[2]
START = datetime(2026, 3, 1, tzinfo=UTC)
KEY = ["station", "factor", "period", "window_at", "revision"]

aggregate_rows = st.lists(
    st.fixed_dictionaries(
        {
            "partition": st.just(7),
            "station": st.sampled_from(["S1", "S2", "红花岗 一号"]),
            "factor": st.sampled_from(["a21026", None]),
            "period": st.just("hour"),
            "window_at": st.integers(0, 3).map(lambda hour: START + timedelta(hours=hour)),
            "revision": st.integers(1, 2),
            "decided_at": st.just(START),
            "sum_scaled": st.one_of(st.none(), st.integers(-(10**37), 10**37)),
            "valid_n": st.integers(0, 60),
            "present_n": st.just(60),
            "expected_n": st.just(60),
            "min_scaled": st.none(),
            "max_scaled": st.integers(-(2**63), 2**63 - 1),
            "decimals": st.just(3),
            "unit": st.just("mg/m3"),
            "reason": st.sampled_from([None, "no_data"]),
        }
    ),
    max_size=12,
)


def written(frame: pl.DataFrame, path: Path) -> str:
    write_parquet(frame, path, KEY, frames.AGGREGATES)
    return hashlib.sha256(path.read_bytes()).hexdigest()


@given(rows=aggregate_rows, rng=st.randoms(use_true_random=False))
def test_order_and_chunking_do_not_change_the_bytes_or_the_digest(tmp_path_factory, rows, rng):
    path = tmp_path_factory.mktemp("parquet") / "a.parquet"
    frame = pl.DataFrame(rows, schema=frames.AGGREGATES)
    rng.shuffle(rows)
    chunks = [pl.DataFrame([row], schema=frames.AGGREGATES) for row in rows] or [frame]
    other = pl.concat(chunks, rechunk=False)
    assert written(frame, path) == written(other, path)
    assert content_digest(frame, KEY) == content_digest(other, KEY) == content_digest(pl.read_parquet(path), KEY)


@given(rows=aggregate_rows.filter(bool), column=st.sampled_from(["sum_scaled", "valid_n", "reason", "station"]))
def test_a_changed_value_changes_the_digest(rows, column):
    frame = pl.DataFrame(rows, schema=frames.AGGREGATES)
    other = [dict(row) for row in rows]
    changed = {"sum_scaled": 10**37 + 1, "valid_n": 61, "reason": "", "station": "S"}
    other[0][column] = changed[column]
    assert content_digest(frame) != content_digest(pl.DataFrame(other, schema=frames.AGGREGATES))


def test_the_number_of_threads_does_not_change_the_bytes(tmp_path):
    program = """
import sys, hashlib, polars as pl
from pathlib import Path
from contracts import frames
from store.parquet import content_digest, write_parquet
n = 150_000
numbers = pl.int_range(n, eager=True).alias("i")
frame = numbers.to_frame().select(
    received_at=(pl.col("i") * 7919 % 50_000).cast(frames.INSTANT), source=pl.lit("mqtt"),
    topic="gi/S" + (pl.col("i") * 31 % 97).cast(pl.String), payload=(pl.col("i") // 2).cast(pl.String).cast(pl.Binary))
path = Path(sys.argv[1])
write_parquet(frame, path, ["received_at", "source"], frames.MESSAGES)
print(pl.thread_pool_size(), hashlib.sha256(path.read_bytes()).hexdigest(), content_digest(frame, ["received_at"]))
"""
    answers = []
    for threads in (1, 3):
        environment = {**os.environ, "POLARS_MAX_THREADS": str(threads), "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-c", program, str(tmp_path / f"{threads}.parquet")]
        run = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        answers.append(run.stdout.split())
    assert [answer[0] for answer in answers] == ["1", "3"]
    assert answers[0][1:] == answers[1][1:]


@given(rows=aggregate_rows)
def test_sums_are_published_as_decimals_and_come_back_exact(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("parquet") / "a.parquet"
    frame = pl.DataFrame(rows, schema=frames.AGGREGATES)
    write_parquet(frame, path, KEY, frames.AGGREGATES)
    back = pl.read_parquet(path)
    assert back.schema["sum_scaled"] == pl.Decimal(38, 0)
    restored = back.with_columns(pl.col("sum_scaled").cast(pl.Int128))
    assert_frame_equal(restored, canonical(frame, KEY))
    other_reader = [None if value is None else int(value) for value in pq.read_table(path)["sum_scaled"].to_pylist()]
    assert other_reader == restored["sum_scaled"].to_list()


def test_the_file_says_its_schema_and_version(tmp_path):
    path = tmp_path / "deep" / "er" / "m.parquet"
    write_parquet(frames.empty(frames.MESSAGES), path, ["received_at"], frames.MESSAGES)
    metadata = pl.read_parquet_metadata(path)
    assert metadata["greenisland_schema_version"] == str(frames.SCHEMA_VERSION)
    assert metadata["greenisland_schema"] == "messages"
    assert pl.read_parquet(path).schema == frames.MESSAGES


def test_a_frame_of_another_schema_is_refused_and_nothing_is_written(tmp_path):
    with pytest.raises(pl.exceptions.SchemaError):
        write_parquet(pl.DataFrame({"received_at": [START]}), tmp_path / "m.parquet", [], frames.MESSAGES)
    assert list(tmp_path.iterdir()) == []


def test_a_failure_while_writing_leaves_the_old_file_and_no_rest(tmp_path):
    path = tmp_path / "a"
    path.write_text("old")

    def write_half():
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_half()
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == {"a": "old"}


def test_zero_and_minus_zero_tie_and_still_have_one_order():
    frame = pl.DataFrame({"key": [1, 1, 1], "value": [0.0, -0.0, 0.0]})
    orders = [canonical(frame[rows], ["key"])["value"].to_list() for rows in ([0, 1, 2], [1, 0, 2], [2, 0, 1])]
    assert len({str(order) for order in orders}) == 1


def test_digest_tells_null_from_empty_and_values_from_their_neighbours():
    digests = [
        content_digest(pl.DataFrame({"a": rows}, schema={"a": pl.String}))
        for rows in ([None], [""], ["ab", "c"], ["a", "bc"], [])
    ]
    assert len(set(digests)) == 5


def test_digest_of_known_rows_never_changes():
    """The digest is published: a change of it is a change of the contract."""
    frame = pl.DataFrame(
        {
            "a": pl.Series([2, 1], dtype=pl.UInt8),
            "b": ["二", None],
            "c": [0.5, None],
            "d": pl.Series([-(10**30), 0], dtype=pl.Int128),
            "e": [START, None],
            "f": [b"\0\xff", b""],
            "g": [True, None],
            "h": pl.Series([2**64 - 1, None], dtype=pl.UInt64),
        }
    )
    assert content_digest(frame, ["a"]) == "70b3160fe65ef11eb0e1f5615322d60edfa2242cbc782a64124fdda7f962c6a1"


def test_two_may_replace_the_same_file_at_once(tmp_path):
    path = tmp_path / "kept" / "site.json"
    with replacing(path) as one, replacing(path) as another:
        one.write_text("1", encoding="utf-8")
        another.write_text("2", encoding="utf-8")
    assert path.read_text(encoding="utf-8") == "1"  # who ends last
    assert list(path.parent.iterdir()) == [path]
