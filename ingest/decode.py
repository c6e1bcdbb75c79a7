"""The one decoder: raw messages in, readings, rejects and events out, by topic.

Promises: pure, nothing raises, and every message not beginning with `$` gives at least one row, whatever its bytes and
however the batch is cut. Does not promise: anything about `$` rows; whoever keeps the clock and the records reads them.
"""

from datetime import datetime
from hashlib import sha256

import polars as pl

from contracts.frames import BATCH, DECODE_EVENTS, DECODE_REJECTS, DECODED, INSTANT, MESSAGES, check, empty
from contracts.ports import Codec, CodecResult, Decoded
from contracts.reasons import Reject
from contracts.site import Site
from contracts.topics import STATION_TOPIC

from .codecs.hj212 import Hj212Codec
from .codecs.json_v1 import JsonCodec
from .join import RegistryJoin

MESSAGE_HASH_BYTES = 16


class Decoder:
    def __init__(self, site: Site, hj212_policy: str = "accept-known-variant"):
        self._time_zone = site.time_zone
        self._payload_bytes_max = site.file.max_payload_bytes
        self._codecs: dict[str, Codec] = {"json": JsonCodec(), "hj212": Hj212Codec(policy=hj212_policy)}
        self._join = RegistryJoin(site)

    def decode(self, batch: pl.DataFrame) -> Decoded:
        """batch: frames.BATCH, `row` unique and ascending. Every output is in the order of its rows."""
        messages = check(batch, BATCH).filter(~pl.col("topic").str.starts_with("$"))
        size = pl.col("payload").bin.size()
        too_large = pl.format("{} bytes; at most {} are taken", size, pl.lit(self._payload_bytes_max))
        routed = messages.with_columns(
            reason=pl.when(pl.col("topic").str.extract(STATION_TOPIC.pattern, 2).is_null())
            .then(pl.lit(Reject.UNKNOWN_TOPIC.value))
            .when(size == 0)
            .then(pl.lit(Reject.EMPTY_PAYLOAD.value))
            .when(size > self._payload_bytes_max)
            .then(pl.lit(Reject.TOO_LARGE.value)),
            codec=pl.col("topic").str.extract(STATION_TOPIC.pattern, 2),
        )
        refused = routed.filter(pl.col("reason").is_not_null()).select(
            "row",
            station=pl.lit(None, pl.String),
            factor=pl.lit(None, pl.String),
            reason="reason",
            detail=pl.when(pl.col("reason") == Reject.TOO_LARGE.value).then(too_large),
        )
        results = [CodecResult(empty(DECODED), check(refused, DECODE_REJECTS), empty(DECODE_EVENTS))]
        taken = routed.filter(pl.col("reason").is_null())
        for name, codec in self._codecs.items():
            its = taken.filter(pl.col("codec") == name).select(BATCH.names())
            if len(its):
                results.append(codec(its, self._time_zone))
        return self._join(
            messages,
            CodecResult(
                readings=_in_row_order([r.readings for r in results]),
                rejects=_in_row_order([r.rejects for r in results]),
                events=_in_row_order([r.events for r in results]),
            ),
        )


def _in_row_order(frames: list[pl.DataFrame]) -> pl.DataFrame:
    filled = [frame for frame in frames if len(frame)] or frames[:1]
    return filled[0] if len(filled) == 1 else pl.concat(filled).sort("row", maintain_order=True)


def batch_of(messages: pl.DataFrame, known_at: pl.Series | datetime, first_row: int = 0) -> pl.DataFrame:
    """BATCH of a MESSAGES frame. `known_at`: one instant for all, or one a message."""
    known = pl.lit(known_at) if isinstance(known_at, datetime) else known_at.alias("known_at")
    rows = pl.int_range(first_row, first_row + pl.len(), dtype=pl.UInt32)
    return (
        check(messages, MESSAGES)
        .with_columns(row=rows, message=_message_hashes(messages), known_at=known)
        .with_columns(pl.col("known_at").cast(INSTANT))
        .match_to_schema(BATCH)
    )


def _message_hashes(messages: pl.DataFrame) -> pl.Series:
    """The evidence's name of each message: topic, NUL, payload."""
    topics, payloads = messages["topic"].to_list(), messages["payload"].to_list()
    return pl.Series(
        [
            sha256(topic.encode() + b"\0" + payload).digest()[:MESSAGE_HASH_BYTES]
            for topic, payload in zip(topics, payloads, strict=True)
        ],
        dtype=pl.Binary,
    )
