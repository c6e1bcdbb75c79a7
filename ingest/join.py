"""The registry join: what codecs claim becomes readings of registered points, or rejects that say why not.

Promises: a station speaks only for itself; every claim becomes one reading or is covered by a reject; units are
converted once, the text as sent and the unit it was taken in are kept. Does not promise: that values are plausible.
"""

import polars as pl
import polars.selectors as cs

from contracts.censored import CENSORED, QUALITY, SHARE
from contracts.factors import CONVERTED_PREFIX, DEVICE_PREFIX, UNITS, ratio
from contracts.frames import EVENTS, READINGS, REJECTS, check, empty
from contracts.points import partition_of, point_table
from contracts.ports import CodecResult, Decoded
from contracts.reasons import Reject
from contracts.site import Site
from contracts.topics import STATION_TOPIC

SCALED_MAX = 9.2e18  # |value| in 10^-decimals must fit Int64
DETAIL_MAX = 200

_NO_TEXT = pl.lit(None, pl.String)
_IS_ABOUT_STATION = pl.col("reason").is_in([Reject.UNKNOWN_STATION.value, Reject.STATION_TOPIC_MISMATCH.value])
_DEVICE = ("device_period_s", "device_point", "device_zs_point")
_FAR_PAST, _FAR_FUTURE = pl.date(1, 1, 1), pl.date(9999, 12, 31)


class RegistryJoin:
    """Holds a site's registry as frames; a changed site is a new RegistryJoin."""

    def __init__(self, site: Site):
        self._time_zone = site.time_zone
        self._max_future = pl.duration(seconds=site.file.max_future_s)
        self._max_age = pl.lit(site.file.max_age)
        self._stations = _station_table(site)
        self._points = _fed_points(site)
        # where a station's point of a factor stands among them: by station number x codes + code
        self._codes = pl.Enum(self._points["factor"].unique().sort())
        self._point_at = _places(self._points, self._stations, self._codes)
        self._has_device_means = self._points["device_period_s"].null_count() < len(self._points)
        if not self._has_device_means:
            self._points = self._points.drop(_DEVICE)
        self._points = self._points.drop("station", "factor")
        self._factors = _conversions("raw_unit")
        dates = [*self._stations.select("valid_from", "valid_to"), *self._points.select(cs.starts_with("valid_"))]
        self._has_dates = any(column.null_count() < column.len() for column in dates)

    def __call__(self, batch: pl.DataFrame, claims: CodecResult) -> Decoded:
        """batch: frames.BATCH, `row` unique and ascending; claims cite its rows. The results are in row order."""
        messages = _addressed(batch).join(
            self._stations, left_on="speaker", right_on="station", how="left", maintain_order="left"
        )
        joined, refused = self._joined(messages, claims.readings)
        events, rejects = empty(EVENTS), [claims.rejects]
        if refused.height:
            rejects.append(_station_once_a_message(_explained(refused, self._time_zone)))
        if claims.events.height:
            its_own, not_its_own = _spoken(messages, claims.events)
            rejects.append(_station_once_a_message(_explained_events(not_its_own)))
            events = its_own.with_columns(station="speaker").sort("row", maintain_order=True).select(EVENTS.names())
        return Decoded(
            readings=check(joined.select(READINGS.names()), READINGS),
            rejects=cited(batch, pl.concat(rejects).sort("row", maintain_order=True)),
            events=check(events, EVENTS),
        )

    def _joined(self, messages: pl.DataFrame, claims: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Claims that are readings, and those that are not with the `reason`, beside what the registry knows of them.

        Message, station and point of a claim are looked up by their numbers: nothing here joins on text a row.
        """
        at_message = messages["row"].search_sorted(claims["row"])
        frame = claims.hstack(messages.drop("row", "source", "topic").select(pl.all().gather(at_message)))
        at_factor = claims["factor"].cast(self._codes, strict=False).to_physical()
        at_point = self._point_at.gather(frame["station_n"] * self._codes.categories.len() + at_factor)
        frame = frame.drop("station_n").hstack(self._points.select(pl.all().gather(at_point)))
        event_at, received_at = pl.col("event_at"), pl.col("received_at")
        number = pl.col("number")
        frame = frame.with_columns(number=pl.col("raw_text").cast(pl.Float64, strict=False))
        if frame["number"].null_count():
            frame = _censored(frame)
        if claims["raw_unit"].null_count() < len(claims):
            frame = frame.join(
                self._factors, on=["raw_unit", "unit"], how="left", maintain_order="left", suffix="_sent"
            ).with_columns(
                pl.when(pl.col("raw_unit").is_null()).then(name).otherwise(f"{name}_sent").alias(name)
                for name in ("multiplier", "divisor")
            )
        # Adding zero makes one zero of the two that floats have.
        value = number * pl.col("multiplier") / pl.col("divisor") + 0.0
        # what adds up over a period is an amount, not a concentration: unless its unit is sent or it is what the point
        # is registered for, nobody has said which, and the number is kept as it came
        is_amount = (pl.col("kind") == "cou") & (pl.col("kind_point") != "cou") & pl.col("raw_unit").is_null()
        value = pl.when(is_amount).then(number + 0.0).otherwise(value)
        out_of_dates: dict[str, pl.Expr] = {"station": pl.lit(False), "point": pl.lit(False)}
        if self._has_dates:
            day = event_at.dt.convert_time_zone(self._time_zone).dt.date()
            for what, suffix in (("station", ""), ("point", "_point")):
                from_day, to_day = pl.col(f"valid_from{suffix}"), pl.col(f"valid_to{suffix}")
                out_of_dates[what] = ~day.is_between(from_day.fill_null(_FAR_PAST), to_day.fill_null(_FAR_FUTURE))
        cases = [
            *_not_for(pl.col("station")),
            (event_at.is_null(), Reject.BAD_TIME),
            (event_at > received_at + self._max_future, Reject.TIME_IN_FUTURE),
            (event_at < received_at - self._max_age, Reject.TIME_TOO_OLD),
            (out_of_dates["station"], Reject.UNKNOWN_STATION),
            (pl.col("point").is_null() | out_of_dates["point"], Reject.UNKNOWN_FACTOR),
            (pl.col("multiplier").is_null(), Reject.UNKNOWN_UNIT),
            (number.is_null(), Reject.NOT_A_NUMBER),
            (~number.is_finite(), Reject.NOT_FINITE),
            (~(pl.col("value").abs() * pl.col("scale") < SCALED_MAX), Reject.OUT_OF_NUMERIC_RANGE),
        ]
        frame = (
            frame.lazy()
            .with_columns(value=value)
            .with_columns(is_refused=pl.any_horizontal(holds.fill_null(False) for holds, _ in cases))
            .collect()
        )
        refused = frame.filter("is_refused") if frame["is_refused"].any() else frame.clear()
        if refused.height:
            frame = frame.filter(~pl.col("is_refused"))
        feeds = (pl.col("kind") == pl.col("kind_point")) & (pl.col("period_s") == pl.col("period_s_point"))
        fed = pl.when(feeds).then("point")
        if self._has_device_means:
            is_mean = pl.col("period_s") == pl.col("device_period_s")
            fed = fed.when(is_mean & (pl.col("kind") == "avg")).then("device_point")
            fed = fed.when(is_mean & (pl.col("kind") == "zs_avg")).then("device_zs_point")
        told = [
            pl.col("station").alias("claimed"),
            pl.col("speaker").alias("station"),
            pl.col("raw_unit").alias("raw_unit_sent"),
            pl.coalesce("raw_unit", pl.when(~is_amount).then("sent_unit")).alias("raw_unit"),
            pl.when(~is_amount).then("unit").alias("unit"),
            fed.alias("point"),
        ]
        # which reason it is costs a look at texts: only those that have one are asked
        return frame.with_columns(told), refused.with_columns(reason=_first_true(cases)).with_columns(told)


def _censored(frame: pl.DataFrame) -> pl.DataFrame:
    """Below a limit of quantification a share of it stands for the value, and `quality` says so."""
    bound = pl.coalesce(pl.col("raw_text").str.extract(CENSORED, group) for group in (1, 2)).cast(pl.Float64)
    said = pl.concat_str("quality", pl.lit(QUALITY), separator=",", ignore_nulls=True)
    return frame.with_columns(
        number=pl.coalesce("number", bound * SHARE),
        quality=pl.when(bound.is_not_null()).then(said).otherwise("quality"),
    )


def _spoken(messages: pl.DataFrame, events: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Events with their message and its station, and those the payload may not speak of, with the reason."""
    # acknowledgements of HJ/T 212-2005 name nobody: the topic says whose they are
    claimed = pl.coalesce("station", "speaker")
    said = events.join(messages, on="row", how="left", maintain_order="left").with_columns(
        reason=_first_true(_not_for(claimed))
    )
    return said.filter(pl.col("reason").is_null()), said.filter(pl.col("reason").is_not_null())


def _not_for(claimed: pl.Expr) -> list[tuple[pl.Expr, Reject]]:
    """When a payload may not speak for the station it names."""
    is_own = (claimed == pl.col("speaker")) | (claimed == pl.col("mn"))
    return [
        (pl.col("partition").is_null(), Reject.UNKNOWN_STATION),
        (~is_own.fill_null(False), Reject.STATION_TOPIC_MISMATCH),
    ]


def cited(batch: pl.DataFrame, rejects: pl.DataFrame) -> pl.DataFrame:
    """REJECTS from DECODE_REJECTS: the row becomes its message; the topic says whom it spoke for, else the payload."""
    if rejects.is_empty():
        return empty(REJECTS)
    return check(
        rejects.join(_addressed(batch), on="row", how="left", maintain_order="left")
        .with_columns(station=pl.coalesce("speaker", "station"), detail=pl.col("detail").str.slice(0, DETAIL_MAX))
        .select(REJECTS.names()),
        REJECTS,
    )


def _addressed(batch: pl.DataFrame) -> pl.DataFrame:
    """Messages without their payload, with the station whose branch of topics they came on."""
    return batch.drop("payload").with_columns(speaker=pl.col("topic").str.extract(STATION_TOPIC.pattern, 1))


def _station_table(site: Site) -> pl.DataFrame:
    return pl.DataFrame(
        [(n, s.station, s.mn, partition_of(s.station), s.valid_from, s.valid_to) for n, s in enumerate(site.stations)],
        schema={
            "station_n": pl.Int64,
            "station": pl.String,
            "mn": pl.String,
            "partition": pl.UInt8,
            "valid_from": pl.Date,
            "valid_to": pl.Date,
        },
        orient="row",
    )


def _fed_points(site: Site) -> pl.DataFrame:
    """Registered points only: what the pipeline computes itself (`$...`, `zs_...`) no device may send. Beside each the
    points that the device's own means of its factor feed."""
    sent = point_table(site).filter(pl.col("kind").is_not_null())
    is_device = pl.col("factor").str.starts_with(DEVICE_PREFIX)
    points, device = sent.filter(~is_device), sent.filter(is_device)
    twice = points.filter(pl.struct("station", "factor").is_duplicated())
    if len(twice):
        station, factor = twice.select("station", "factor").row(0)
        raise ValueError(
            f"station {station} has two points of factor {factor}; a reading could not tell which it feeds"
        )
    for name, prefix in (("device_point", DEVICE_PREFIX), ("device_zs_point", DEVICE_PREFIX + CONVERTED_PREFIX)):
        bare = pl.col("factor").str.strip_prefix(prefix)
        means = device.filter(pl.col("kind") == ("avg" if prefix == DEVICE_PREFIX else "zs_avg"))
        means = means.select("station", bare, pl.col("point").alias(name), pl.col("period_s").alias(f"{name}_s"))
        points = points.join(means, on=["station", "factor"], how="left", maintain_order="left")
    return points.join(_conversions("sent_unit"), on=["sent_unit", "unit"], how="left").select(
        *("station", "factor", "point", "sent_unit", "unit", "multiplier", "divisor"),
        *("device_point", "device_zs_point", pl.col("device_point_s").alias("device_period_s")),
        pl.col("kind", "period_s", "valid_from", "valid_to").name.suffix("_point"),
        scale=pl.lit(10.0).pow(pl.col("decimals")),
    )


def _places(points: pl.DataFrame, stations: pl.DataFrame, codes: pl.Enum) -> pl.Series:
    """Row of `points` by station number x number of codes + code; null where there is no such point."""
    size = codes.categories.len()
    at = points.join(stations, on="station", how="left", maintain_order="left").select(
        at=pl.col("station_n") * size + pl.col("factor").cast(codes).to_physical()
    )
    every = pl.DataFrame({"at": pl.int_range(stations.height * size, eager=True)})
    return every.join(at.with_row_index("place"), on="at", how="left", maintain_order="left")["place"]


def _conversions(sent_name: str) -> pl.DataFrame:
    """What a value is multiplied and divided by, per (unit sent, canonical unit) of one quantity.

    Dividing by 1000 is exact to the last bit where multiplying by 0.001 is not: 35200 ug/m3 are 35.2 mg/m3.
    """
    rows = []
    for sent, (sent_dimension, _) in UNITS.items():
        for canonical, (dimension, _) in UNITS.items():
            if sent_dimension == dimension:
                by = ratio(sent, canonical)
                whole = round(1 / by)
                is_division = by < 1 and abs(1 / by - whole) < 1e-9 * whole
                rows.append((sent, canonical, 1.0 if is_division else by, float(whole) if is_division else 1.0))
    schema = {sent_name: pl.String, "unit": pl.String, "multiplier": pl.Float64, "divisor": pl.Float64}
    return pl.DataFrame(rows, schema=schema, orient="row")


def _first_true(cases: list[tuple[pl.Expr, Reject]]) -> pl.Expr:
    """The reason of the first case that holds; null where none does."""
    found = _NO_TEXT
    for holds, reason in reversed(cases):
        found = pl.when(holds).then(pl.lit(reason.value)).otherwise(found)
    return found


def _explained(refused: pl.DataFrame, time_zone: str) -> pl.DataFrame:
    """DECODE_REJECTS: one row a refused claim, with what was found."""
    day = pl.col("event_at").dt.convert_time_zone(time_zone).dt.date().cast(pl.String)

    def dates(suffix: str) -> list[pl.Expr]:
        return [pl.col(f"{name}{suffix}").cast(pl.String).fill_null("...") for name in ("valid_from", "valid_to")]

    is_registered, has_point = pl.col("partition").is_not_null(), pl.col("sent_unit").is_not_null()
    value = pl.col("raw_text").fill_null("nothing").str.slice(0, 80)
    detail = {
        Reject.UNKNOWN_STATION: pl.when(is_registered)
        .then(pl.format("{} is not in use on {}; registered from {} to {}", "speaker", day, *dates("")))
        .otherwise(_unknown_station()),
        Reject.STATION_TOPIC_MISMATCH: _mismatch(),
        Reject.BAD_TIME: pl.lit("no instant the data could be given"),
        Reject.TIME_IN_FUTURE: pl.format("{} was received at {}", _utc("event_at"), _utc("received_at")),
        Reject.TIME_TOO_OLD: pl.format("{} was received at {}", _utc("event_at"), _utc("received_at")),
        Reject.UNKNOWN_FACTOR: pl.when(has_point)
        .then(pl.format("not in use on {}; registered from {} to {}", day, *dates("_point")))
        .otherwise(pl.lit("the registry has no point of this factor at the station")),
        Reject.UNKNOWN_UNIT: pl.format(
            "{} cannot be converted to {}", pl.col("raw_unit_sent").fill_null("nothing").str.slice(0, 40), "unit"
        ),
        Reject.NOT_A_NUMBER: pl.format("found {}", value),
        Reject.NOT_FINITE: pl.format("found {}", value),
        Reject.OUT_OF_NUMERIC_RANGE: pl.format("{} {} does not fit the factor's decimals", value, "raw_unit"),
    }
    return refused.select(
        "row",
        station="claimed",
        factor=pl.when(~_IS_ABOUT_STATION).then("factor"),
        reason="reason",
        detail=pl.coalesce(pl.when(pl.col("reason") == reason.value).then(text) for reason, text in detail.items()),
    )


def _explained_events(refused: pl.DataFrame) -> pl.DataFrame:
    is_unknown = pl.col("reason") == Reject.UNKNOWN_STATION.value
    return refused.with_columns(claimed="station").select(
        "row",
        "station",
        factor=_NO_TEXT,
        reason="reason",
        detail=pl.when(is_unknown).then(_unknown_station()).otherwise(_mismatch()),
    )


def _station_once_a_message(rejects: pl.DataFrame) -> pl.DataFrame:
    """A message on a wrong topic is one fault, not as many as it has readings."""
    return pl.concat(
        [rejects.filter(~_IS_ABOUT_STATION), rejects.filter(_IS_ABOUT_STATION).unique(maintain_order=True)]
    )


def _unknown_station() -> pl.Expr:
    return pl.format("the payload speaks for {}; the registry has no station of the topic", _claimed())


def _mismatch() -> pl.Expr:
    return pl.format("the payload speaks for {}", _claimed())


def _claimed() -> pl.Expr:
    return pl.col("claimed").fill_null("no station").str.slice(0, 64)


def _utc(column: str) -> pl.Expr:
    return pl.col(column).dt.strftime("%Y-%m-%dT%H:%M:%SZ")
