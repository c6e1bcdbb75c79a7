"""A small registry and the messages of its stations, for tests of decoding and the registry join."""

import json
from datetime import UTC, date, datetime

import polars as pl

from contracts.factors import standard_factors
from contracts.frames import BATCH, MESSAGES
from contracts.site import Name, Outlet, Point, Site, SiteFile, Station
from ingest.codecs.hj212 import crc

RECEIVED_AT = datetime(2026, 3, 1, 0, 2, tzinfo=UTC)
KNOWN_AT = datetime(2026, 3, 1, 0, 2, 1, tzinfo=UTC)
STATIONS = ("S1", "S2", "S3")


def small_site(**file: object) -> Site:
    """S1 with equipment number MN-1; S2; S3 in use during March 2026. The same three points each, one of S2 dated."""
    names = {"name_zh": "某站", "name_en": "a station"}
    points = [
        Point(station=station, factor=factor, unit=unit, kind=kind, period_s=period_s)
        for station in STATIONS
        for factor, unit, kind, period_s in (
            ("a21026", "mg/m3", "avg", 60),
            ("a21002", "ug/m3", "avg", 60),
            ("a19001", "%", "rtd", 0),
        )
    ]
    dated = Point(station="S2", factor="w01018", unit="mg/L", valid_from=date(2026, 3, 2), valid_to=date(2026, 3, 3))
    return Site(
        file=SiteFile(version=1, site="small", name=Name(zh="小", en="small"), time_zone="Asia/Shanghai", **file),
        factors=standard_factors(),
        outlets=(Outlet(outlet="O1", county="C1", medium="flue_gas", **names),),
        stations=(
            Station(station="S1", outlet="O1", mn="MN-1", **names),
            Station(station="S2", outlet="O1", **names),
            Station(station="S3", outlet="O1", valid_from=date(2026, 3, 1), valid_to=date(2026, 3, 31), **names),
        ),
        points=(*points, dated),
    )


def json_payload(readings: object = None, **changes: object) -> bytes:
    """A right message of S1 but for the changes; a change to None leaves the key out."""
    message = {
        "v": 1,
        "station": "S1",
        "at": "2026-03-01T08:00:00+08:00",
        "period_s": 60,
        "kind": "avg",
        "readings": {"a21026": 35.2} if readings is None else readings,
    } | changes
    return json.dumps({key: value for key, value in message.items() if value is not None}).encode()


def hj212_frame(mn: str, items: str, data_time: str = "20260301080000") -> bytes:
    """A minute-data frame (2051) with the standard's CRC."""
    segment = (
        f"QN=20260301080100000;ST=31;CN=2051;PW=123456;MN={mn};Flag=4;CP=&&DataTime={data_time};{items}&&".encode()
    )
    return b"##%04d%s%04X\r\n" % (len(segment), segment, crc.standard(segment))


def messages_of(*sent: tuple[str, bytes], received_at: datetime = RECEIVED_AT) -> pl.DataFrame:
    """MESSAGES of (topic, payload) in the order given."""
    rows = [(received_at, "mqtt", topic, payload) for topic, payload in sent]
    return pl.DataFrame(rows, schema=MESSAGES, orient="row")


def json_batch(*payloads: bytes, topic: str = "gi/S1/json") -> pl.DataFrame:
    """BATCH of payloads on one topic, numbered from 0; the message hash stands for itself."""
    rows = [
        (row, RECEIVED_AT, "mqtt", topic, payload, row.to_bytes(16, "big"), KNOWN_AT)
        for row, payload in enumerate(payloads)
    ]
    return pl.DataFrame(rows, schema=BATCH, orient="row")
