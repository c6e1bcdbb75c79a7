"""What people say in a rule test: rows of `facts`, checked against the test's site and made the journal's records.

Promises: a fact is known at the tick its row says; the pipeline reads it as it reads any operator's record.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from contracts.facts import CHECKS, Mark, Qc, Review, Stop, Withdrawal, fact_name, to_body
from contracts.records import RECORD_VERSION, Record, encode
from contracts.site import Identifier, Site, Strict
from rules.facts.tables import compile_marking
from rules.ticks import TICK

from ..site.yaml_lines import Loc, suggestion

Instant = Callable[[str], datetime]  # of a time as tests write it; raises ValueError
_SAID_MAX = 500  # characters, as contracts.facts.Text


def _said(text: str) -> str:
    if not text.strip() or len(text) > _SAID_MAX:
        raise ValueError(f"must say something, in at most {_SAID_MAX} characters")
    return text


Said = Annotated[str, AfterValidator(_said)]


class _FactRow(Strict):
    name: Identifier | None = None  # by which a review or withdrawal of the same test speaks of it
    known_at: str | None = None  # the first tick that knows it; none: the test's start
    reason: Said = "test"


class MarkRow(_FactRow):
    kind: Literal["mark"]
    by: Said = "plant"
    station: Identifier = "S1"
    factor: str | None = None
    type: Said
    from_at: str
    to_at: str


class StopRow(_FactRow):
    kind: Literal["stop"]
    by: Said = "centre"
    station: Identifier | None = None  # S1, where no outlet is named
    outlet: Identifier | None = None
    from_at: str
    to_at: str
    number: Said = "1"

    @model_validator(mode="after")
    def _of_one(self) -> "StopRow":
        if self.station is not None and self.outlet is not None:
            raise ValueError("names either a station or an outlet")
        return self


class QcRow(_FactRow):
    kind: Literal["qc"]
    by: Said = "plant"
    station: Identifier = "S1"
    factor: str
    check: Literal[CHECKS]  # type: ignore[valid-type]
    at: str
    passed: bool
    values: Said = "test"


class ReviewRow(_FactRow):
    kind: Literal["review"]
    by: Said = "centre"
    about: Identifier
    decision: Literal["accept", "return", "approve_late"]


class WithdrawalRow(_FactRow):
    kind: Literal["withdrawal"]
    by: Said = "plant"
    about: Identifier


FactRow = Annotated[MarkRow | StopRow | QcRow | ReviewRow | WithdrawalRow, Field(discriminator="kind")]


def check(
    rows: Sequence[Any], site: Site, instant: Instant, start_at: datetime, until: datetime | None
) -> Iterator[tuple[Loc, str]]:
    """Every mistake in FactRow rows: where in them it is, and what would be right.

    instant: what a time stands for; raises ValueError. until: the last tick of the test, where it is written.
    """
    outlets = [one.outlet for one in site.outlets]
    measured: dict[str, list[str]] = {one.station: [] for one in site.stations}
    for point in site.points:
        measured[point.station].append(point.factor)
    marking = compile_marking(site)
    kinds: dict[str, str] = {}
    for n, row in enumerate(rows):
        at: dict[str, datetime] = {}
        for key in ("known_at", "from_at", "to_at", "at"):
            try:
                if (text := getattr(row, key, None)) is not None:
                    at[key] = instant(text)
            except ValueError as error:
                yield (n, key), str(error)
        known_at = at.get("known_at", start_at)
        if known_at < start_at or (until is not None and known_at > until):
            yield (n, "known_at"), f"{row.known_at!r} is not between the test's start and its end"
        elif known_at.microsecond:
            yield (n, "known_at"), f"{row.known_at!r} is no tick: ticks are whole seconds"
        if "from_at" in at and "to_at" in at and at["from_at"] >= at["to_at"]:
            yield (n, "to_at"), f"{row.to_at!r} is not after {row.from_at!r}"
        station = station_of(row)
        factors = measured.get(station or "")
        factor = getattr(row, "factor", None)
        if station is not None and factors is None:
            yield (n, "station"), f"no point is of station {station!r}{suggestion(station, measured)}"
        elif factor is not None and factors is not None and factor not in factors:
            message = f"{factor!r} is not a point of station {station!r}"
            yield (n, "factor"), f"{message}, which measures {', '.join(sorted(factors))}"
        if isinstance(row, StopRow) and row.outlet is not None and row.outlet not in outlets:
            yield (n, "outlet"), f"{row.outlet!r} is not an outlet of this test; there are {', '.join(outlets)}"
        if isinstance(row, MarkRow) and factors is not None and marking.type_of(row.station, row.type) is None:
            known = sorted(marking.types[row.station])
            hint = suggestion(row.type, known) or f"; there are {', '.join(known)}"
            yield (n, "type"), f"{row.type!r} is not a type of marks for this medium and industry{hint}"
        if isinstance(row, ReviewRow | WithdrawalRow):
            fitting = [name for name, kind in kinds.items() if kind == "mark" or isinstance(row, WithdrawalRow)]
            if row.about not in fitting:
                what = "mark" if isinstance(row, ReviewRow) else "mark, stop or check"
                hint = suggestion(row.about, fitting) or (f"; there are {', '.join(fitting)}" if fitting else "")
                message = f"{row.about!r} is not the name of a {what} above{hint}"
                yield (n, "about"), message
        elif row.name is not None:
            if row.name in kinds:
                yield (n, "name"), f"{row.name!r} is the name of another fact already"
            kinds[row.name] = row.kind


def records(rows: Sequence[Any], instant: Instant, start_at: datetime) -> Iterator[tuple[datetime, bytes]]:
    """(tick at which it is known, payload of its `$operator` row) of FactRow rows, which `check` finds right.

    Facts known at one tick were made in the order in which they are written.
    """
    names: dict[str, str] = {}
    for n, row in enumerate(rows):
        known_at = start_at if row.known_at is None else instant(row.known_at)
        body: Any
        match row:
            case MarkRow():
                times = {"from_at": instant(row.from_at), "to_at": instant(row.to_at)}
                body = Mark(station=row.station, factor=row.factor, type=row.type, reason=row.reason, **times)
            case StopRow():
                times = {"from_at": instant(row.from_at), "to_at": instant(row.to_at)}
                where = {"station": station_of(row), "outlet": row.outlet}
                body = Stop(number=row.number, reason=row.reason, **where, **times)
            case QcRow():
                about = row.model_dump(include={"station", "factor", "check", "passed", "values"})
                body = Qc(at=instant(row.at), **about)
            case ReviewRow():
                body = Review(about=names[row.about], decision=row.decision, reason=row.reason)
            case WithdrawalRow():
                body = Withdrawal(about=names[row.about], reason=row.reason)
        made_at = known_at - TICK + timedelta(microseconds=n)
        payload = encode(
            Record(v=RECORD_VERSION, actor=row.by, origin="test", at=made_at, action=row.kind, body=to_body(body))
        )
        if row.name is not None:
            names[row.name] = fact_name(payload)
        yield known_at, payload


def station_of(row: Any) -> str | None:
    """The station a row is about; None: an outlet, or another fact."""
    if isinstance(row, StopRow):
        return None if row.outlet is not None else row.station or "S1"
    return getattr(row, "station", None)
