"""`greenisland decode`: what a codec sees in a file, as NDJSON on stdout and a summary on stderr.

Promises: every frame or line gives at least one line of output; memory does not grow with the file.
Does not promise: what a site would make of it. There is no registry join: values and units are as sent, and a unit the
protocol does not send is shown as the factor's own.
"""

import hashlib
import json
import math
import re
import sys
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from enum import StrEnum
from functools import cache
from typing import Annotated, BinaryIO
from zoneinfo import ZoneInfoNotFoundError

import polars as pl
import typer

from contracts.civil_time import zone
from contracts.factors import standard_factors
from contracts.frames import BATCH
from contracts.ports import Codec
from contracts.reasons import Reject
from ingest.codecs.hj212 import Hj212Codec, split_stream
from ingest.codecs.hj212.tables import commands, system_types

READ_BYTES = 1 << 20
BATCH_MESSAGES = 1000
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_NO_INSTANT = datetime(1970, 1, 1, tzinfo=UTC)  # decoding does not look at when a message came


class CodecName(StrEnum):
    HJ212 = "hj212"
    JSON = "json"


class PolicyName(StrEnum):
    ACCEPT_KNOWN_VARIANT = "accept-known-variant"
    STRICT = "strict"
    ACCEPT_ANY = "accept-any"


def decode_command(
    path: Annotated[str, typer.Argument(metavar="FILE|-", help="File to decode; - reads standard input.")],
    codec: Annotated[
        CodecName,
        typer.Option("--codec", help="hj212: a byte stream of frames, as a socket delivers. json: a payload a line."),
    ],
    policy: Annotated[
        PolicyName,
        typer.Option(
            "--policy",
            metavar="NAME",
            help="Which CRCs an HJ 212 frame may carry: strict (the standard's), accept-known-variant (known wrong "
            "ones), accept-any.",
        ),
    ] = PolicyName.ACCEPT_KNOWN_VARIANT,
    time_zone: Annotated[
        str, typer.Option("--time-zone", help="Civil time of the device; HJ 212 sends no offset.")
    ] = "Asia/Shanghai",
) -> None:
    """Show what a codec sees: readings, rejects and events as NDJSON; a summary on stderr."""
    try:
        zone(time_zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise typer.BadParameter(
            f"{time_zone!r} is not a time zone; write one like Asia/Shanghai", param_hint="--time-zone"
        ) from error
    if codec is CodecName.HJ212:
        decoder: Codec = Hj212Codec(policy.value)
    else:
        from ingest.codecs.json_v1 import JsonCodec

        decoder = JsonCodec()
    counts: Counter[str] = Counter()
    try:
        source = sys.stdin.buffer if path == "-" else open(path, "rb")  # noqa: SIM115
    except OSError as error:
        raise typer.BadParameter(f"{path}: {error.strerror}", param_hint="FILE") from error
    with source:
        payloads = _frames(source) if codec is CodecName.HJ212 else _lines(source)
        for first, messages in payloads:
            lines = _decoded(decoder, messages, first, time_zone, counts)
            typer.echo("".join(f"{json.dumps(line, ensure_ascii=False)}\n" for line in lines).encode(), nl=False)
    typer.echo(_summary(counts, "frames" if codec is CodecName.HJ212 else "lines"), err=True)


def _frames(source: BinaryIO) -> Iterator[tuple[int, list[bytes]]]:
    """Number of the first frame, and frames; what is left at the end of the stream is decoded as it is."""
    rest, first = b"", 1
    while chunk := source.read(READ_BYTES):
        frames, rest = split_stream(rest + chunk)
        yield from _batches(first, frames)
        first += len(frames)
    if rest.strip():
        yield first, [rest]


def _lines(source: BinaryIO) -> Iterator[tuple[int, list[bytes]]]:
    first, batch = 1, []
    for line in source:
        batch.append(line.rstrip(b"\r\n"))
        if len(batch) == BATCH_MESSAGES:
            yield first, batch
            first, batch = first + len(batch), []
    if batch:
        yield first, batch


def _batches(first: int, messages: list[bytes]) -> Iterator[tuple[int, list[bytes]]]:
    for at in range(0, len(messages), BATCH_MESSAGES):
        yield first + at, messages[at : at + BATCH_MESSAGES]


def _batch(messages: list[bytes]) -> pl.DataFrame:
    same = [_NO_INSTANT] * len(messages)
    return pl.DataFrame(
        {
            "row": range(len(messages)),
            "received_at": same,
            "source": ["file"] * len(messages),
            "topic": [""] * len(messages),
            "payload": messages,
            "message": [hashlib.sha256(b"\0" + payload).digest()[:16] for payload in messages],
            "known_at": same,
        },
        schema=BATCH,
    )


def _decoded(
    codec: Codec, messages: list[bytes], first: int, time_zone: str, counts: Counter[str]
) -> list[dict[str, object]]:
    """Lines in the order of the messages; inside one, readings, then rejects, then events."""
    result = codec(_batch(messages), time_zone)
    counts["messages"] += len(messages)
    lines: list[tuple[int, dict[str, object]]] = []
    for row in result.readings.iter_rows(named=True):
        lines.append((row["row"], _reading(row)))
    for row in result.rejects.iter_rows(named=True):
        shown = {"reject": row["reason"], "detail": row["detail"], "station": row["station"], "factor": row["factor"]}
        lines.append((row["row"], shown))
    for row in result.events.iter_rows(named=True):
        lines.append((row["row"], _event(row)))
    lines.sort(key=lambda line: line[0])
    for _, line in lines:
        counts["readings" if "value" in line else "rejects" if "reject" in line else "events"] += 1
        if "reject" in line:
            counts[f"reject {line['reject']}"] += 1
    return [line | {"message": first + row} for row, line in lines]


@cache
def _unit_of(factor: str) -> str | None:
    about = standard_factors().get(factor)
    return about.unit if about else None


def _reading(row: dict) -> dict[str, object]:
    text = row["raw_text"]
    value = float(text) if text is not None and _NUMBER.fullmatch(text) else math.nan
    if not math.isfinite(value):
        reason = Reject.NOT_FINITE if math.isinf(value) else Reject.NOT_A_NUMBER
        shown = None if text is None else text[:40]
        return {"reject": str(reason), "detail": shown, "station": row["station"], "factor": row["factor"]}
    is_amount = row["kind"].endswith("cou")  # in the emission unit, not the factor's own
    return {
        "station": row["station"],
        "factor": row["factor"],
        "kind": row["kind"],
        "value": value,
        "mark": row["mark"],
        "unit": row["raw_unit"] or (None if is_amount else _unit_of(row["factor"])),
        "event_at": row["event_at"].isoformat(),
        "period_s": row["period_s"],
        "raw_text": text,
        "quality": row["quality"],
    }


def _event(row: dict) -> dict[str, object]:
    detail = json.loads(row["detail"]) if row["detail"] else {}
    names = {"command": commands().get(detail.get("cn")), "system": system_types().get(detail.get("st"))}
    return {
        "event": row["event"],
        "station": row["station"],
        "event_at": row["event_at"].isoformat() if row["event_at"] else None,
        **{key: name for key, name in names.items() if name},
        "detail": detail,
    }


def _summary(counts: Counter[str], what: str) -> str:
    reasons = sorted((key.removeprefix("reject "), n) for key, n in counts.items() if key.startswith("reject "))
    by_reason = f" ({', '.join(f'{reason} {n}' for reason, n in reasons)})" if reasons else ""
    return (
        f"{counts['messages']} {what}: {counts['readings']} readings, {counts['rejects']} rejects{by_reason}, "
        f"{counts['events']} events"
    )
