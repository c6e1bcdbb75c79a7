"""Instants as whole microseconds since 1970, UTC: what files, keys and buckets hold."""

from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


def epoch_us(at: datetime) -> int:
    return (at - EPOCH) // MICROSECOND
