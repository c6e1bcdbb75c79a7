"""The project's own JSON: one object a payload, described by `json_v1.schema.json`.

Promises: every message gives at least one row; the text of a number is kept exactly as sent; one bad reading does not
harm the others. Does not promise: that the station, the factor or the unit exists; that is the registry join.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Annotated, Literal, get_args

import msgspec
import polars as pl

from contracts.censored import is_censored
from contracts.frames import DECODE_EVENTS, DECODE_REJECTS, DECODED, INSTANT, check, empty
from contracts.ports import CodecResult
from contracts.reasons import Reject

Kind = Literal["rtd", "avg", "min", "max", "cou", "zs_rtd", "zs_avg", "zs_min", "zs_max"]
KINDS = frozenset(get_args(Kind))
DEPTH_MAX = 64  # the schema needs 3; a fixed bound keeps the outcome independent of the caller's stack
FACTOR_MAX = 64


class Envelope(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """A message but for its readings, which stay text until they are known to be plain or not."""

    v: Literal[1]
    station: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    at: str
    readings: msgspec.Raw
    period_s: Literal[0, 60, 3600, 86400] = 0
    kind: Kind = "rtd"
    rev: Annotated[int, msgspec.Meta(ge=0, le=2_147_483_647)] = 0


_envelope = msgspec.json.Decoder(Envelope).decode
_any_json = msgspec.json.Decoder(msgspec.Raw).decode

_SPACE = r"[ \t\r\n]*"
_NUMBER = r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?"
_FACTOR = rf'"[A-Za-z0-9_.-]{{1,{FACTOR_MAX}}}"'
_TEXT = r'"[^"\\]{0,64}"'


def _member(factor: str, value: str) -> str:
    return rf"{_SPACE}{factor}{_SPACE}:{_SPACE}{value}{_SPACE}"


def _object_of(member: str) -> str:
    return rf"^\{{{member}(?:,{member})*\}}$"


def _value(number: str, text: str, kind: str) -> str:
    """A number, or an object whose fields come in the schema's order, so that none is given twice."""
    fields = _member('"value"', number) + "".join(
        f"(?:,{_member(key, value)})?" for key, value in (('"unit"', text), ('"mark"', text), ('"kind"', kind))
    )
    return rf"(?:{number}|\{{{fields}\}})"


_KIND = '"(?:' + "|".join(sorted(KINDS)) + ')"'
# Keys without commas, colons or escapes, values all numbers: such an object may be cut at its commas and colons.
_PLAIN = _object_of(_member(_FACTOR, _NUMBER))
# As above, some values with unit, mark or kind: cut by expressions of the same grammar.
_MARKED_MEMBER = _member(_FACTOR, _value(_NUMBER, _TEXT, _KIND))
_MARKED = _object_of(_MARKED_MEMBER)
_MARKED_PARTS = _member(f"({_FACTOR})", _value(f"({_NUMBER})", f"({_TEXT})", f"({_KIND})"))
# An escape may hide a key; a key written twice may be a duplicate. Both are read by the careful way.
_SUSPICIOUS = r"(?s)\\|" + "|".join(f'"{key}".*"{key}"' for key in Envelope.__struct_fields__ if key != "kind")


def _is_suspicious(text: pl.Expr, members: pl.Expr) -> pl.Expr:
    kinds = text.str.count_matches('"kind"', literal=True) - members.str.count_matches('"kind"', literal=True)
    return text.str.contains(_SUSPICIOUS) | (kinds > 1)  # readings may have kinds of their own


_INSTANT = (
    r"^[12][0-9]{3}-[0-9]{2}-[0-9]{2}T[0-2][0-9]:[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,9})?(?:Z|[+-][0-2][0-9]:[0-5][0-9])$"
)
_STRINGS = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_BRACKETS = re.compile(r"[\[\]{}]")


class JsonCodec:
    """contracts.ports.Codec for topics `gi/<station>/json`."""

    def __call__(self, batch: pl.DataFrame, time_zone: str) -> CodecResult:  # noqa: ARG002 - instants carry an offset
        envelopes, rejects = _parse(batch)
        timed = envelopes.filter(pl.col("event_at").is_not_null())
        bad_time = envelopes.filter(pl.col("event_at").is_null()).select(
            "row",
            "station",
            factor=pl.lit(None, pl.String),
            reason=pl.lit(Reject.BAD_TIME.value),
            detail=pl.format("`at` is not an ISO 8601 instant with offset: {}", pl.col("at").str.slice(0, 100)),
        )
        text, members = pl.col("text"), pl.col("readings")
        timed = timed.with_columns(
            way=pl.when(_is_suspicious(text, members))
            .then(pl.lit("careful"))
            .when(members.str.contains(_PLAIN))
            .then(pl.lit("plain"))
            .when(members.str.contains(_MARKED))
            .then(pl.lit("marked"))
            .otherwise(pl.lit("careful"))
        )
        way = pl.col("way")
        cut = _cut_plain(timed.filter(way == "plain"))
        if (timed["way"] == "marked").any():
            cut = pl.concat([cut, _cut_marked(timed.filter(way == "marked"))])
        twice = _rows_with_a_factor_twice(cut).implode()
        careful, careful_rejects = _read_carefully(timed.filter((way == "careful") | pl.col("row").is_in(twice)))
        readings = pl.concat([cut.filter(~pl.col("row").is_in(twice)), careful]).sort("row", maintain_order=True)
        all_rejects = pl.concat([rejects, bad_time, careful_rejects]).sort("row", maintain_order=True)
        return CodecResult(
            check(readings, DECODED),
            check(all_rejects.with_columns(pl.col("detail").str.slice(0, 200)), DECODE_REJECTS),
            empty(DECODE_EVENTS),
        )


def _parse(batch: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Envelopes, one row a message, `event_at` null where `at` is no instant; and messages refused as a whole."""
    rows: list[int] = []
    texts: list[str] = []
    parsed: list[Envelope] = []
    refused: list[tuple[int, None, None, str, str]] = []
    for row, payload in zip(batch["row"].to_list(), batch["payload"].to_list(), strict=True):
        try:
            text = payload.decode()
            parsed.append(_envelope(text))
        except UnicodeDecodeError as error:
            refused.append((row, None, None, Reject.NOT_UTF8, f"{error.reason} at byte {error.start}"))
        except (msgspec.DecodeError, RecursionError) as error:
            refused.append((row, None, None, *_refusal(text, error)))
        else:
            rows.append(row)
            texts.append(text)
    envelopes = pl.DataFrame(
        {
            "row": rows,
            "station": [e.station for e in parsed],
            "at": [e.at for e in parsed],
            "period_s": [e.period_s for e in parsed],
            "kind": [e.kind for e in parsed],
            "device_revision": [e.rev for e in parsed],
            "readings": [bytes(e.readings) for e in parsed],
            "text": texts,
        },
        schema={
            "row": pl.UInt32,
            "station": pl.String,
            "at": pl.String,
            "period_s": pl.Int32,
            "kind": pl.String,
            "device_revision": pl.Int32,
            "readings": pl.Binary,
            "text": pl.String,
        },
    ).with_columns(pl.col("readings").cast(pl.String), event_at=_instant(pl.col("at")))
    return envelopes, pl.DataFrame(refused, schema=DECODE_REJECTS, orient="row")


def _instant(text: pl.Expr) -> pl.Expr:
    """Null unless the text is an ISO 8601 instant with offset; what is finer than a microsecond is cut off."""
    return (
        pl.when(text.str.contains(_INSTANT))
        .then(text)
        .str.to_datetime("%Y-%m-%dT%H:%M:%S%.f%#z", time_unit="us", time_zone="UTC", strict=False)
        .cast(INSTANT)
    )


def _refusal(text: str, error: msgspec.DecodeError | RecursionError) -> tuple[Reject, str]:
    if isinstance(error, RecursionError) or _is_too_deep(text):
        return Reject.WRONG_SHAPE, f"nested deeper than {DEPTH_MAX} levels"
    if isinstance(error, msgspec.ValidationError):
        # The typed decoder stops at the first wrong field; what follows may not be JSON at all.
        try:
            _any_json(text)
        except msgspec.DecodeError as syntax:
            return Reject.NOT_JSON, str(syntax)
        return Reject.WRONG_SHAPE, str(error)
    return Reject.NOT_JSON, str(error)


def _is_too_deep(text: str) -> bool:
    if text.count("{") + text.count("[") <= DEPTH_MAX:
        return False
    depth = 0
    for bracket in _BRACKETS.findall(_STRINGS.sub("", text)):
        depth += 1 if bracket in "{[" else -1
        if depth > DEPTH_MAX:
            return True
    return False


def _cut_plain(messages: pl.DataFrame) -> pl.DataFrame:
    """DECODED of messages whose readings are plain numbers, without a Python step per reading."""
    members = pl.col("readings")
    none = pl.lit(None, pl.String)
    return (
        messages.lazy()
        .with_columns(members.str.slice(1, members.str.len_bytes() - 2).str.split(","))
        .explode("readings")
        .with_columns(members.str.split_exact(":", 1).struct.rename_fields(["factor", "raw_text"]))
        .unnest("readings")
        .with_columns(
            pl.col("factor").str.strip_chars(' \t\r\n"'),
            pl.col("raw_text").str.strip_chars(" \t\r\n"),
            raw_unit=none,
            mark=none,
            quality=none,
        )
        .select(DECODED.names())
        .collect()
    )


def _cut_marked(messages: pl.DataFrame) -> pl.DataFrame:
    """The same for messages in which some readings are objects."""
    part = pl.col("readings").struct.field
    return (
        messages.lazy()
        .with_columns(pl.col("readings").str.extract_all(_MARKED_MEMBER))
        .explode("readings")
        .with_columns(pl.col("readings").str.extract_groups(_MARKED_PARTS))
        .with_columns(
            factor=part("1").str.strip_chars('"'),
            raw_text=pl.coalesce(part("2"), part("3")),
            raw_unit=_unquoted(part("4")),
            mark=_unquoted(part("5")),
            kind=pl.coalesce(_unquoted(part("6")), "kind"),
            quality=pl.lit(None, pl.String),
        )
        .select(DECODED.names())
        .collect()
    )


def _unquoted(text: pl.Expr) -> pl.Expr:
    return text.str.slice(1, text.str.len_chars() - 2)


def _rows_with_a_factor_twice(readings: pl.DataFrame) -> pl.Series:
    # Distinct hashes prove distinct pairs, and cost a third of the exact look.
    pair = pl.col("row").cast(pl.UInt64).mul(1 << 32) + (pl.col("factor").hash() & 0xFFFFFFFF)
    if readings.select(pair.n_unique() == pl.len()).item():
        return readings["row"].clear()
    return readings.filter(pl.struct("row", "factor").is_duplicated())["row"].unique()


class _Number(str):
    """A JSON number as written."""

    __slots__ = ()


class _Members(list[tuple[str, object]]):
    """A JSON object, duplicates included."""

    __slots__ = ()

    def twice(self) -> str | None:
        """The first key given more than once."""
        if len(dict(self)) == len(self):
            return None
        return next((key for key, n in Counter(key for key, _ in self).items() if n > 1), None)


_read = json.JSONDecoder(object_pairs_hook=_Members, parse_float=_Number, parse_int=_Number).decode


def _read_carefully(messages: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """DECODED and rejects of messages with marks, units, escapes, duplicates or mistakes."""
    decoded: list[tuple[object, ...]] = []
    rejects: list[tuple[object, ...]] = []
    head = messages.select("row", "station", "kind", "period_s", "event_at", "device_revision", "text")
    for row, station, kind, period_s, event_at, revision, text in head.rows():
        for factor, found in _claims(text):
            if isinstance(found, _Reading):
                decoded.append(
                    (
                        *(row, station, factor, found.kind or kind, period_s, event_at),
                        *(str(found.raw_text), found.unit, found.mark, revision, None),
                    )
                )
            else:
                rejects.append((row, station, factor, *found))
    return (
        pl.DataFrame(decoded, schema=DECODED, orient="row"),
        pl.DataFrame(rejects, schema=DECODE_REJECTS, orient="row"),
    )


class _Reading(msgspec.Struct, gc=False):
    raw_text: str
    unit: str | None = None
    mark: str | None = None
    kind: str | None = None


_Refused = tuple[Reject, str]


def _claims(text: str) -> Iterator[tuple[str | None, _Reading | _Refused]]:
    """(factor, what was found) of one message that is JSON and whose envelope is right."""
    if _is_too_deep(text):
        yield None, (Reject.WRONG_SHAPE, f"nested deeper than {DEPTH_MAX} levels")
        return
    message = _read(text)
    if (key := message.twice()) is not None:
        yield None, (Reject.WRONG_SHAPE, f"`{key}` is given more than once")
        return
    readings = dict(message)["readings"]
    if not isinstance(readings, _Members) or not readings:
        yield None, (Reject.WRONG_SHAPE, "`readings` must be an object with at least one member")
        return
    times = Counter(factor for factor, _ in readings)
    for factor, value in dict(readings).items():
        if not 1 <= len(factor) <= FACTOR_MAX:
            yield factor[:FACTOR_MAX], (Reject.WRONG_SHAPE, f"a factor has 1 to {FACTOR_MAX} characters")
        elif times[factor] > 1:
            # Neither value can be preferred: they share event time, revision, receipt and evidence.
            yield factor, (Reject.WRONG_SHAPE, f"the factor is given {times[factor]} times")
        else:
            yield factor, _reading(value)


def _reading(value: object) -> _Reading | _Refused:
    if not isinstance(value, _Members):
        return _refused_value(value) or _Reading(value)
    if (key := value.twice()) is not None:
        return Reject.WRONG_SHAPE, f"`{key}` is given more than once"
    fields = dict(value)
    number, unit, mark, kind = (fields.pop(key, None) for key in ("value", "unit", "mark", "kind"))
    given = {key for key, _ in value}
    if fields:
        return Reject.WRONG_SHAPE, f"unknown field `{next(iter(fields))}`"
    for key, text in (("unit", unit), ("mark", mark)):
        if key in given and (not isinstance(text, str) or isinstance(text, _Number)):
            return Reject.WRONG_SHAPE, f"`{key}` must be text"
    if "kind" in given and (isinstance(kind, list) or kind not in KINDS):
        return Reject.WRONG_SHAPE, f"`kind` must be one of {', '.join(sorted(KINDS))}"
    return _refused_value(number) or _Reading(number, unit, mark, kind)


def _refused_value(value: object) -> _Refused | None:
    match value:
        case _Number():
            return None
        case str() if is_censored(value):
            return None
        case str() if value.strip().upper() == "ND":
            return Reject.VALUE_IS_TEXT, 'ND names no number: send the limit of quantification, for example "<0.05"'
        case str():
            return Reject.VALUE_IS_TEXT, f"a number must be sent without quotes: {value[:100]}"
        case bool():
            return Reject.VALUE_IS_BOOLEAN, f"found {str(value).lower()}"
        case None:
            return Reject.VALUE_MISSING, "found no value"
        case _:
            return Reject.WRONG_SHAPE, "a reading is a number, or an object with `value`"
