"""Span files come back as they were written, or say which part of which file is damaged."""

from datetime import UTC, datetime

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from contracts import frames
from store.spans import SpanDamaged, SpanFiles, read_span, span_name, write_span
from store.state_db import SpanRow, StateDb

AT = datetime(2026, 3, 1, tzinfo=UTC)


def span_frames() -> dict[str, pl.DataFrame]:
    message = {"received_at": AT, "source": "mqtt", "topic": "gi/S1/json", "message": b"\1" * 16, "station": "S1"}
    reject = {**message, "known_at": AT, "reason": "not_json", "detail": "习水"}
    event = {**message, "event": "heartbeat", "event_at": AT, "detail": "{}"}
    aggregate = {"station": "S1", "sum_scaled": -(10**30), "valid_n": 45, "window_at": AT}
    return {
        "rejects": frames.empty(frames.REJECTS).vstack(pl.DataFrame([reject], schema=frames.REJECTS)),
        "events": pl.DataFrame([event], schema=frames.EVENTS),
        "aggregates": pl.DataFrame([aggregate] * 50, schema=frames.AGGREGATES),
        "verdicts": frames.empty(frames.VERDICTS),
        "transitions": pl.DataFrame({"episode": ["e1"], "transition": ["fired"]}),
    }


@pytest.fixture
def span(tmp_path):
    path = tmp_path / span_name(1)
    return path, write_span(path, span_frames())


def test_frames_come_back_as_written(span):
    path, digest = span
    back = read_span(path, digest=digest)
    assert list(back) == list(span_frames())
    for name, frame in span_frames().items():
        assert_frame_equal(back[name], frame)


def test_only_the_named_frames_are_read(span):
    path, _ = span
    assert list(read_span(path, names={"events", "absent"})) == ["events"]


@given(cut=st.integers(1, 10_000), data=st.data())
def test_a_truncated_file_is_told_and_named(tmp_path_factory, cut, data):
    path = tmp_path_factory.mktemp("span") / span_name(1)
    write_span(path, span_frames())
    whole = path.read_bytes()
    path.write_bytes(whole[: -min(cut, len(whole))])
    with pytest.raises(SpanDamaged, match=span_name(1)):
        read_span(path, names=data.draw(st.sampled_from([None, set()])))


@given(at=st.integers(0, 10**6), flip=st.integers(1, 255))
def test_any_altered_byte_is_told(tmp_path_factory, at, flip):
    path = tmp_path_factory.mktemp("span") / span_name(1)
    write_span(path, span_frames())
    content = bytearray(path.read_bytes())
    content[at % len(content)] ^= flip
    path.write_bytes(content)
    with pytest.raises(SpanDamaged):
        read_span(path)


def test_the_damaged_part_is_named(span):
    path, _ = span
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)
    with pytest.raises(SpanDamaged, match="transitions: does not match its hash"):
        read_span(path)
    assert read_span(path, names={"events"})["events"].height == 1, "undamaged parts can still be read"
    path.write_bytes(content[:-3])
    with pytest.raises(SpanDamaged, match="transitions: the file ends at byte"):
        read_span(path, names={"events"})
    path.write_bytes(content + b"x")
    with pytest.raises(SpanDamaged, match="1 bytes too many"):
        read_span(path, names={"events"})


def test_a_whole_file_that_is_not_the_committed_one_is_refused(span):
    path, digest = span
    other = write_span(path, span_frames() | {"transitions": pl.DataFrame({"episode": ["e2"]})})
    assert other != digest
    with pytest.raises(SpanDamaged, match="of another file"):
        read_span(path, digest=digest)


def test_a_frame_of_another_schema_is_refused(tmp_path):
    with pytest.raises(pl.exceptions.SchemaError):
        write_span(tmp_path / span_name(1), {"verdicts": pl.DataFrame({"rule": ["r"]})})
    assert list(tmp_path.iterdir()) == []


def test_span_files_come_in_order_after_the_cursor_and_pruned_ones_leave_a_gap(tmp_path):
    with StateDb(tmp_path / "state.db") as state:
        for seq in range(1, 6):
            digest = write_span(tmp_path / span_name(seq), {"transitions": pl.DataFrame({"seq": [seq]})})
            state.commit_span(SpanRow(seq, span_name(seq), digest, seq - 1, seq, None, None, {}), now_us=0)
        state.prune_spans(2, tmp_path)
        files = SpanFiles(tmp_path, state)
        assert [(seq, named["transitions"].item()) for seq, named in files.spans_after(0)] == [(3, 3), (4, 4), (5, 5)]
        assert [seq for seq, _ in files.spans_after(4)] == [5]
        assert [list(named) for _, named in SpanFiles(tmp_path, state, {"events"}).spans_after(4)] == [[]]
        write_span(tmp_path / span_name(5), {"transitions": pl.DataFrame({"seq": [6]})})
        with pytest.raises(SpanDamaged, match=span_name(5)):
            list(files.spans_after(4))
