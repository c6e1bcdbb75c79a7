"""Laws of decoding: nothing is dropped, chunking is nothing, a station speaks only for itself, the schema is true."""

import json
from datetime import UTC, datetime, timedelta, timezone
from importlib.resources import files
from itertools import pairwise

import jsonschema
import polars as pl
from hypothesis import example, given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from contracts.frames import DECODED
from ingest.codecs.json_v1 import KINDS, JsonCodec
from ingest.decode import Decoder, batch_of
from tests.decoding_site import KNOWN_AT, RECEIVED_AT, STATIONS, hj212_frame, json_batch, messages_of, small_site

DECODER = Decoder(small_site())
SCHEMA = jsonschema.Draft202012Validator(
    json.loads((files("ingest") / "codecs" / "json_v1.schema.json").read_text(encoding="utf-8"))
)

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
numbers = st.one_of(
    st.integers(-(10**6), 10**6).map(str),
    st.decimals(-(10**6), 10**6, places=3).map(str),
    st.sampled_from(["-0", "1e999", "-1.50E-07", "9e18", "1" + "0" * 30]),
)
factors = st.one_of(st.sampled_from(["a21026", "a21002", "a19001", "w01018", "value", "at", "$rejects"]), texts)
stations = st.sampled_from([*STATIONS, "MN-1", "X9", "站"])
instants = st.builds(
    lambda offset, hours: (RECEIVED_AT - timedelta(minutes=offset)).astimezone(timezone(timedelta(hours=hours))),
    st.integers(-9, 10**6),
    st.integers(-12, 14),
)


@st.composite
def spelled(draw, value: str) -> str:
    """JSON whitespace before and after."""
    blank = st.sampled_from(["", "", "", " ", "\n\t"])
    return draw(blank) + value + draw(blank)


@st.composite
def reading_objects(draw) -> tuple[tuple[object, ...], str]:
    """What a reading says, (number, unit, mark, kind), and one of the ways to write it."""
    number = draw(numbers)
    unit, mark, kind = draw(
        st.tuples(
            st.none() | st.sampled_from(["mg/m3", "ug/m3", "%"]) | texts,
            st.none() | texts,
            st.none() | st.sampled_from(sorted(KINDS)),
        )
    )
    fields = [("value", number)] + [
        (key, json.dumps(text, ensure_ascii=draw(st.booleans())))
        for key, text in (("unit", unit), ("mark", mark), ("kind", kind))
        if text is not None
    ]
    if draw(st.booleans()):
        fields = draw(st.permutations(fields))
    if len(fields) == 1 and draw(st.booleans()):
        return (number, unit, mark, kind), draw(spelled(number))
    body = ",".join(f"{draw(spelled(json.dumps(key)))}:{draw(spelled(text))}" for key, text in fields)
    return (number, unit, mark, kind), draw(spelled("{" + body + "}"))


@st.composite
def right_messages(draw) -> tuple[list[tuple[object, ...]], bytes]:
    """DECODED rows without `row`, and a payload that says them."""
    station, at, kind = draw(stations), draw(instants), draw(st.sampled_from(["rtd", *sorted(KINDS)]))
    period_s, revision = draw(st.sampled_from([0, 60, 3600, 86400])), draw(st.integers(0, 2**31 - 1))
    said = draw(st.dictionaries(factors.filter(bool), reading_objects(), min_size=1, max_size=5))
    members = ",".join(
        f"{draw(spelled(json.dumps(factor, ensure_ascii=draw(st.booleans()))))}:{text}"
        for factor, (_, text) in said.items()
    )
    fields = [
        ("v", "1"),
        ("station", json.dumps(station)),
        ("at", json.dumps(at.isoformat())),
        ("kind", json.dumps(kind)),
        ("period_s", str(period_s)),
        ("rev", str(revision)),
        ("readings", "{" + members + "}"),
    ]
    if kind == "rtd" and draw(st.booleans()):
        fields.remove(("kind", '"rtd"'))
    payload = "{" + ",".join(f'"{key}":{draw(spelled(text))}' for key, text in draw(st.permutations(fields))) + "}"
    rows = [
        (station, factor, its_kind or kind, period_s, at, number, unit, mark, revision, None)
        for factor, ((number, unit, mark, its_kind), _) in said.items()
    ]
    return rows, payload.encode()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2**32) | st.sampled_from([0.5, 1e300]) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)
right_payloads = right_messages().map(lambda said: said[1])
cut_payloads = st.builds(lambda payload, n: payload[: n % (len(payload) + 1)], right_payloads, st.integers(0, 10**4))
spoilt_payloads = st.builds(
    lambda payload, at, byte: payload[: at % len(payload)] + bytes([byte]) + payload[at % len(payload) + 1 :],
    right_payloads,
    st.integers(0, 10**4),
    st.integers(0, 255),
)
frames = st.builds(
    hj212_frame,
    st.sampled_from(["S1", "MN-1", "S2", "X9"]),
    st.sampled_from(["a21026-Avg=35.2,a21026-Flag=N", "a21026-Avg=--;a21002-Avg=1;a99999-Avg=2", ""]),
    st.sampled_from(["20260301080000", "20990101000000", "never"]),
)
payloads = st.one_of(
    frames,
    right_payloads,
    right_payloads,
    cut_payloads,
    spoilt_payloads,
    json_values.map(lambda v: json.dumps(v).encode()),
    st.binary(max_size=40),
)
topics = st.one_of(
    st.builds(
        "gi/{}/{}".format, st.sampled_from([*STATIONS, "MN-1", "X9"]), st.sampled_from(["json", "json", "hj212"])
    ),
    st.sampled_from(["gi/S1", "gi/S1/xml", "", "x"]),
)
sent = st.lists(st.tuples(topics, payloads), max_size=8)


@given(sent)
def test_every_message_gives_at_least_one_row(sent):
    batch = batch_of(messages_of(*sent), KNOWN_AT)
    result = DECODER.decode(batch)
    named = {message for frame in (result.readings, result.rejects, result.events) for message in frame["message"]}
    assert named == set(batch["message"])


@given(sent, st.lists(st.integers(0, 8), max_size=4))
def test_chunking_does_not_matter(sent, cuts):
    batch = batch_of(messages_of(*sent), KNOWN_AT)
    bounds = [0, *sorted(min(cut, len(batch)) for cut in cuts), len(batch)]
    chunks = [DECODER.decode(batch[a:b]) for a, b in pairwise(bounds)]
    whole = DECODER.decode(batch)
    for name in ("readings", "rejects", "events"):
        assert_frame_equal(
            pl.concat([getattr(chunk, name) for chunk in chunks]), getattr(whole, name), check_exact=True
        )


@given(sent)
def test_no_message_makes_a_row_for_another_station(sent):
    result = DECODER.decode(batch_of(messages_of(*sent), KNOWN_AT))
    topic_of = {row["message"]: row["topic"] for row in batch_of(messages_of(*sent), KNOWN_AT).iter_rows(named=True)}
    for message, station in result.readings.select("message", "station").rows():
        assert topic_of[message].split("/")[1] == station
    for frame in (result.rejects, result.events):
        for topic, station in frame.select("topic", "station").rows():
            assert station is None or topic.split("/")[1] == station
    assert set(result.readings["station"]) <= set(STATIONS)


@given(st.lists(right_messages(), min_size=1, max_size=4))
def test_however_a_message_is_written_it_says_the_same(said):
    result = JsonCodec()(json_batch(*(payload for _, payload in said)), "Asia/Shanghai")
    expected = [(row, *claim) for row, (claims, _) in enumerate(said) for claim in claims]
    assert result.rejects.rows() == []
    assert_frame_equal(result.readings, pl.DataFrame(expected, schema=DECODED, orient="row"))


field_values = {
    "v": st.sampled_from([1, 2, "1", None, True]),
    "station": st.sampled_from(["S1", "", "站" * 64, "站" * 65, 7, None]),
    "at": st.sampled_from(["2026-03-01T08:00:00+08:00", "2026-03-01T00:00:00.5Z", "2026-03-01", "", 0, None]),
    "period_s": st.sampled_from([0, 60, 3600, 86400, 61, "60", None, False]),
    "kind": st.sampled_from([*sorted(KINDS), "mean", "", 1, None]),
    "rev": st.sampled_from([0, 2**31 - 1, 2**31, -1, "0", None, True]),
}
wrong_or_right_readings = st.dictionaries(
    st.sampled_from(["a21026", "站" * 64, "站" * 65, "", "v"]),
    st.one_of(
        st.sampled_from([35.2, 1, 1e300]),
        st.fixed_dictionaries(
            {},
            optional={
                "value": st.sampled_from([35.2, "35.2", None, True, [], {}]),
                "unit": st.sampled_from(["mg/m3", "", 1, None]),
                "mark": st.sampled_from(["N", 0, None]),
                "kind": st.sampled_from(["avg", "mean", [], None]),
                "other": st.just(1),
            },
        ),
        json_values,
    ),
    max_size=3,
)


@given(
    st.fixed_dictionaries(
        {"v": st.just(1), "station": st.just("S1"), "at": st.just("2026-03-01T08:00:00+08:00")}
        | {"readings": wrong_or_right_readings | json_values}
    ),
    st.fixed_dictionaries({}, optional=field_values | {"other": st.just(1)}),
    st.none() | st.sampled_from(["v", "station", "at", "readings"]),
)
@example({"v": 1, "station": "S1", "at": "2026-03-01T08:00:00+08:00", "readings": {"a": 1}}, {}, None)
def test_the_codec_takes_whole_exactly_what_the_schema_allows(message, changes, left_out):
    message = {key: value for key, value in (message | changes).items() if key != left_out}
    result = JsonCodec()(json_batch(json.dumps(message).encode()), "Asia/Shanghai")
    assert (len(result.rejects) == 0) == SCHEMA.is_valid(message)


@given(
    st.text("0123456789-T:+Z. ", max_size=30)
    | st.integers(-(10**10), 10**10).map(
        lambda s: datetime.fromtimestamp(s / 8, UTC).isoformat().replace("+00:00", "Z")
    )
)
def test_an_instant_the_codec_takes_is_the_one_python_reads(text):
    batch = json_batch(json.dumps({"v": 1, "station": "S1", "at": text, "readings": {"a": 1}}).encode())
    for event_at in JsonCodec()(batch, "Asia/Shanghai").readings["event_at"]:
        assert event_at == datetime.fromisoformat(text)
