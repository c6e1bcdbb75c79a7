"""The series InfluxDB serves and boards draw: one table, measurement -> bucket, tags, fields.

Promises: every numeric field is a float and every text field a text wherever it is written; lines, boards and the guide
follow this table. Does not promise: that every tag differs from another; most say what the station's name implies.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import polars as pl

from .frames import INSTANT

Bucket = Literal["raw", "minute", "hour", "day", "events"]
Kind = Literal["float", "text"]
BUCKETS: tuple[Bucket, ...] = get_args(Bucket)

NOBODY = "-"  # written where nobody is meant, for example the enterprise of a river section: a tag cannot be empty

PERIOD_BUCKET: Mapping[str, Bucket] = {
    "instant": "minute",
    "minute": "minute",
    "five_minute": "minute",
    "hour": "hour",
    "day": "day",
    "month": "day",
    "year": "day",
}

PLACE = ("county", "park", "enterprise", "outlet", "medium")  # of a station; of a park or shared facility what it has
NAMES = ("place_zh", "place_en", "factor_zh", "factor_en", "unit")
# one label of each: "name [identifier]", which a board's variable takes apart
LABELLED = ("county", "park", "enterprise", "station", "factor")
LABELS = tuple(f"{of}_{language}" for of in LABELLED for language in ("zh", "en"))


@dataclass(frozen=True)
class Measurement:
    """What a board may ask for."""

    bucket: Bucket | None  # None: by the tag `period`, see PERIOD_BUCKET
    tags: tuple[str, ...]
    fields: Mapping[str, Kind]
    time: str  # what its instant is

    def schema(self) -> pl.Schema:
        """Rows of it: `time`, tags (null: not written), fields (a text is never null; a number may be)."""
        types = {name: pl.Float64 if kind == "float" else pl.String for name, kind in self.fields.items()}
        return pl.Schema({"time": INSTANT, **dict.fromkeys(self.tags, pl.String()), **types})


MEASUREMENTS: Mapping[str, Measurement] = {
    "reading": Measurement(
        bucket="raw",
        tags=("station", "factor", "kind", "period_s"),
        fields={"value": "float", "mark": "text"},
        time="event",
    ),
    "aggregate": Measurement(
        bucket=None,
        tags=("station", "factor", "period", *PLACE, *NAMES),
        fields={
            "mean": "float",
            "min": "float",
            "max": "float",
            "valid_n": "float",
            "present_n": "float",
            "expected_n": "float",
            "revision": "float",
            "reason": "text",
        },
        time="start of window",
    ),
    "verdict": Measurement(
        bucket=None,
        tags=("rule", "station", "factor", "limit_id", "period", "basis", *PLACE, *NAMES),
        fields={
            "value": "float",
            "limit": "float",
            "limit_pct": "float",
            "severity": "float",
            "revision": "float",
            "state": "text",
            "level": "text",
            "reason": "text",
        },
        time="start of window",
    ),
    "alert": Measurement(
        bucket="events",
        tags=("rule", "station", "factor", "limit_id", "period", *PLACE, *NAMES),
        fields={
            "severity": "float",
            "is_open": "float",
            "peak": "float",
            "limit": "float",
            "state": "text",
            "level": "text",
            "text_zh": "text",
            "text_en": "text",
            "clause": "text",
            "resolved": "text",
            "episode": "text",
        },
        time="when it opened",
    ),
    "transition": Measurement(
        bucket="events",
        tags=("rule", "station", "factor", "transition", *PLACE, *NAMES),
        fields={"severity": "float", "level": "text", "text_zh": "text", "text_en": "text", "episode": "text"},
        time="tick of the decision",
    ),
    "mark": Measurement(
        bucket="events",
        tags=("station", "factor", "kind", "type", "fact", *PLACE, *NAMES),
        fields={"to_ms": "float", "state": "text", "text": "text", "actor": "text"},
        time="its beginning",
    ),
    "registry": Measurement(
        bucket="events",
        tags=("station", "factor", "outlet", "medium", "county", "park", "enterprise", *LABELS),
        fields={"interval_s": "float"},
        time="2000-01-01",
    ),
    "pipeline": Measurement(
        bucket="raw",
        tags=(),
        fields={
            "messages": "float",
            "readings": "float",
            "rejects": "float",
            "duplicates": "float",
            "rewritten": "float",
            "late": "float",
        },
        time="site clock at the end of the span",
    ),
    "reject": Measurement(
        bucket="raw", tags=("reason",), fields={"n": "float"}, time="site clock at the end of the span"
    ),
    "health": Measurement(
        bucket="raw",
        tags=(),
        fields={
            "clock_age_s": "float",
            "archive_behind": "float",
            "influxdb_behind": "float",
            "outbox_pending": "float",
            "outbox_refused": "float",
            "outbox_gave_up": "float",
            "open_red": "float",
            "open_orange": "float",
            "open_yellow": "float",
            "open_silent": "float",
            "stations": "float",
            "dead_lines": "float",
        },
        time="wall clock of the writer",
    ),
}


def bucket_of(measurement: str, period: str) -> Bucket:
    """Where its rows of one period are; raises KeyError."""
    return MEASUREMENTS[measurement].bucket or PERIOD_BUCKET[period]
