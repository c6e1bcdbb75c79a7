"""A feed is a set: files, copies, order and slices never matter."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from contracts import frames
from store.feed import FeedError, read_feed, scan_feed, write_feed

START = datetime(2026, 3, 1, tzinfo=UTC)
messages = st.lists(
    st.tuples(
        st.integers(0, 5).map(lambda s: START + timedelta(seconds=s)),
        st.sampled_from(["mqtt", "hj212"]),
        st.sampled_from(["gi/S1/json", "gi/S2/json", "$clock/main"]),
        st.sampled_from([b"", b"{}", b"\x00\xff", "习水".encode()]),
    ),
    max_size=30,
)


def feed(rows: list[tuple]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=frames.MESSAGES, orient="row")


@given(rows=messages, rng=st.randoms(use_true_random=False), slice_rows=st.integers(1, 9))
def test_files_copies_order_and_slices_do_not_matter(tmp_path_factory, rows, rng, slice_rows):
    folder = tmp_path_factory.mktemp("feed")
    expected = feed(sorted(set(rows)))
    copies = rows + rng.sample(rows, len(rows) // 2)
    rng.shuffle(copies)
    halves = [folder / "1.parquet", folder / "2.parquet"]
    feed(copies[::2]).write_parquet(halves[0])  # as a stranger writes it: unsorted, with copies
    write_feed(feed(copies[1::2]), halves[1])
    assert_frame_equal(read_feed(halves), expected)
    assert_frame_equal(pl.concat([frames.empty(frames.MESSAGES), *scan_feed(halves[::-1], slice_rows)]), expected)
    assert write_feed(feed(copies), folder / "a.parquet") == expected.height
    write_feed(expected, folder / "b.parquet")
    assert (folder / "a.parquet").read_bytes() == (folder / "b.parquet").read_bytes()


def test_a_slice_never_divides_an_instant(tmp_path):
    rows = [(START, "mqtt", f"gi/S{n}/json", b"") for n in range(10)] + [
        (START + timedelta(seconds=1), "mqtt", "t", b"")
    ]
    write_feed(feed(rows), tmp_path / "f.parquet")
    assert [part.height for part in scan_feed(tmp_path / "f.parquet", 1)] == [10, 1]


def test_columns_beyond_a_feeds_are_passed_over(tmp_path):
    frame = feed([(START, "mqtt", "t", b"x")])
    frame.with_columns(note=pl.lit(1)).select(reversed(["note", *frame.columns])).write_parquet(tmp_path / "f.parquet")
    assert_frame_equal(read_feed(tmp_path / "f.parquet"), frame)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda frame: frame.drop("topic"),
            "column 'topic' is missing; a feed has received_at, source, topic, payload",
        ),
        (lambda frame: frame.cast({"payload": pl.String}), "column 'payload' is String; it must be binary"),
        (
            lambda frame: frame.cast({"received_at": pl.Datetime("ms", "UTC")}),
            "it must be timestamp in microseconds, UTC",
        ),
        (lambda frame: frame.with_columns(source=pl.lit(None, pl.String)), "column 'source' is empty in 1 rows"),
        (
            lambda frame: frame.with_columns(received_at=pl.lit(None, frames.INSTANT)),
            "'received_at' is empty in 1 rows",
        ),
    ],
)
def test_a_file_that_is_no_feed_is_refused_in_the_users_words(tmp_path, change, words):
    path = tmp_path / "f.parquet"
    change(feed([(START, "mqtt", "t", b"x")])).write_parquet(path)
    for read in (read_feed, lambda path: list(scan_feed(path))):
        with pytest.raises(FeedError) as error:
            read(path)
        assert words in str(error.value)
        assert str(error.value).startswith(f"{path}: ")


def test_a_missing_file_and_one_that_is_not_parquet_are_told_apart(tmp_path):
    with pytest.raises(FeedError, match="there is no such file"):
        read_feed(tmp_path / "f.parquet")
    (tmp_path / "f.parquet").write_text("received_at,source,topic,payload\n")
    with pytest.raises(FeedError, match="is not a Parquet file"):
        read_feed(tmp_path / "f.parquet")
    with pytest.raises(FeedError, match="no feed file given"):
        read_feed([])
