"""Schemas of every frame that crosses between rooms, and the one check.

Promises: a frame that passed `check` has exactly these columns, in this order, with these types.
Does not promise: anything about values; each stage documents its own.
"""

from datetime import datetime

import polars as pl

from .instants import epoch_us

SCHEMA_VERSION = 1  # written into every Parquet file's metadata; raised when a schema below changes

INSTANT = pl.Datetime("us", "UTC")

# A feed: what the journal holds and what is replayed. One row a raw message.
MESSAGES = pl.Schema(
    {
        "received_at": INSTANT,
        "source": pl.String,  # who took it in: "mqtt", "hj212", "csv", "sim"; "$..." rows carry their collector
        "topic": pl.String,  # MQTT topic; "$clock/<collector>", "$operator", "$site" for the journal's own rows
        "payload": pl.Binary,
    }
)

# A batch of messages on its way through the codecs. `row` cites a message inside the batch, `message` outside it.
BATCH = pl.Schema(
    {
        "row": pl.UInt32,
        **MESSAGES,
        "message": pl.Binary,  # first 16 bytes of SHA-256 over topic, NUL, payload: the evidence's name
        "known_at": INSTANT,  # first tick whose decisions may use the row (site clock before it + one tick)
    }
)

# What a codec makes of a batch: claims, before the registry has spoken.
DECODED = pl.Schema(
    {
        "row": pl.UInt32,
        "station": pl.String,  # as claimed by the payload: station id or MN
        "factor": pl.String,  # as sent: HJ 212 code
        "kind": pl.String,  # rtd, avg, min, max, cou; converted ones prefixed zs_
        "period_s": pl.Int32,  # 0, 60, 3600, 86400
        "event_at": INSTANT,  # period data: start of the period (HJ 212-2017 Table 4)
        "raw_text": pl.String,  # the value exactly as sent
        "raw_unit": pl.String,  # the unit as sent; null where the protocol sends none
        "mark": pl.String,  # data mark as sent; null where none
        "device_revision": pl.Int32,  # greater replaces smaller; 0 where the codec knows none
        "quality": pl.String,  # codec's remark, for example "crc_modbus"; null where none
    }
)

READINGS = pl.Schema(
    {
        "partition": pl.UInt8,  # CRC-32(station) mod 64
        "station": pl.String,
        "factor": pl.String,
        "kind": pl.String,
        "period_s": pl.Int32,
        "event_at": INSTANT,
        "value": pl.Float64,  # canonical unit
        "unit": pl.String,  # canonical unit of the factor
        "raw_text": pl.String,
        "raw_unit": pl.String,  # the unit the value was taken to be in (sent, or assumed from the registry)
        "mark": pl.String,
        "device_revision": pl.Int32,
        "quality": pl.String,
        "point": pl.UInt32,  # number of the point it feeds; null where no window is fed by this kind
        "received_at": INSTANT,
        "known_at": INSTANT,
        "message": pl.Binary,
    }
)

# Codecs leave `row`; the join turns it into received_at, source, topic, message.
DECODE_REJECTS = pl.Schema(
    {"row": pl.UInt32, "station": pl.String, "factor": pl.String, "reason": pl.String, "detail": pl.String}
)
DECODE_EVENTS = pl.Schema(
    {"row": pl.UInt32, "station": pl.String, "event": pl.String, "event_at": INSTANT, "detail": pl.String}
)

REJECTS = pl.Schema(
    {
        "received_at": INSTANT,
        "known_at": INSTANT,
        "source": pl.String,
        "topic": pl.String,
        "station": pl.String,  # whom the message spoke for, where that is known (topic first)
        "factor": pl.String,
        "reason": pl.String,  # reasons.Reject
        "detail": pl.String,  # what was found, at most 200 characters, never a password
        "message": pl.Binary,
    }
)

EVENTS = pl.Schema(
    {
        "received_at": INSTANT,
        "source": pl.String,
        "topic": pl.String,
        "station": pl.String,
        "event": pl.String,  # "ack", "command", "heartbeat", "restart", "facility_state", ...
        "event_at": INSTANT,
        "detail": pl.String,  # JSON object
        "message": pl.Binary,
    }
)

# One row a window and revision. The mean is never stored: sum and n are, and whoever compares divides once.
AGGREGATES = pl.Schema(
    {
        "partition": pl.UInt8,
        "station": pl.String,
        "factor": pl.String,
        "period": pl.String,  # minute, hour, day, year
        "window_at": INSTANT,  # start, left-closed, civil in the site's zone
        "revision": pl.UInt32,
        "decided_at": INSTANT,  # tick
        "sum_scaled": pl.Int128,  # over valid parts, in 10^-decimals of `unit`
        "valid_n": pl.UInt32,
        "present_n": pl.UInt32,
        "expected_n": pl.UInt32,
        "min_scaled": pl.Int64,
        "max_scaled": pl.Int64,
        "decimals": pl.UInt8,
        "unit": pl.String,
        "reason": pl.String,  # null: the mean may be judged; else reasons.NoJudgement
    }
)

VERDICTS = pl.Schema(
    {
        "partition": pl.UInt8,
        "rule": pl.String,
        "station": pl.String,
        "factor": pl.String,
        "period": pl.String,
        "window_at": INSTANT,
        "window_s": pl.Int64,  # length of the window; of an instant, the point's interval
        "revision": pl.UInt32,
        "decided_at": INSTANT,
        "state": pl.String,  # reasons.Verdict
        "reason": pl.String,  # reasons.NoJudgement, for "no_judgement"
        "level": pl.String,  # red, orange, yellow; null where no level is reached
        "value_scaled": pl.Int64,  # as compared: rounded to `decimals`
        "decimals": pl.UInt8,
        "unit": pl.String,
        "limit_scaled": pl.Int64,  # in the same decimals; null where no limit is configured
        "valid_n": pl.UInt32,
        "expected_n": pl.UInt32,
        "limit_id": pl.String,
    }
)

# Ground truth of a simulated feed.
TRUTH = pl.Schema(
    {
        "station": pl.String,
        "factor": pl.String,  # null: the whole station
        "incident": pl.String,  # exceedance, stuck, dropout, malformed, treatment_off, ...
        "from_at": INSTANT,
        "to_at": INSTANT,
    }
)

PARTITIONS = 64


def check(frame: pl.DataFrame, schema: pl.Schema) -> pl.DataFrame:
    """The frame with its columns in the schema's order. Raises SchemaError on a missing, extra or mistyped column."""
    return frame.match_to_schema(schema)


_EMPTY: dict[int, tuple[pl.Schema, pl.DataFrame]] = {}  # by the schema's identity


def empty(schema: pl.Schema) -> pl.DataFrame:
    """schema: one that stays, of a module. Its frame is made once: making it costs as much as a query."""
    if id(schema) not in _EMPTY:
        _EMPTY[id(schema)] = schema, pl.DataFrame(schema=schema)
    return _EMPTY[id(schema)][1]


def instant(at: datetime | None) -> pl.Expr:
    """A literal of INSTANT. `pl.lit` of a datetime with a zone runs queries of its own: dear, where it is asked."""
    return pl.lit(None if at is None else epoch_us(at), pl.Int64).cast(INSTANT)
