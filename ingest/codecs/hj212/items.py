"""Data area of the data commands (2011, 2051, 2061, 2031): items to readings.

Promises: every item becomes part of a reading, a reject or the frame's `other_items` event; value text as sent.
Does not promise: numbers or units; the registry join parses and converts.
"""

from functools import lru_cache
from typing import NamedTuple

from contracts.reasons import Reject

from .columns import Columns
from .tables import legacy_codes

# Numeric suffixes of the standard; devices also send them in lower case.
KINDS = {
    "rtd": "rtd",
    "min": "min",
    "avg": "avg",
    "max": "max",
    "cou": "cou",
    "zsrtd": "zs_rtd",
    "zsmin": "zs_min",
    "zsavg": "zs_avg",
    "zsmax": "zs_max",
    "zscou": "zs_cou",
    "data": "data",  # noise: the level of the period, of its day part, of its night part
    "daydata": "day_data",
    "nightdata": "night_data",
}
# HJ/T 212-2005 prints Ld as night and Ln as day, 2017 the other way round: never guessed, always said.
_SWAPPED_2005 = frozenset({"Ld", "Ln"})


LAYOUT_MAX = 4096  # characters of names: a longer list of names is not remembered


class Layout(NamedTuple):
    """What the names of a data area mean; devices send the same names in every frame, so it is remembered."""

    time_at: int  # index of DataTime, -1 where it is missing
    is_request: bool  # the centre asks rather than the site answers: nothing, or a span of time
    values: tuple[int, ...]  # indices of the items that are readings, and of each, in the same order:
    marks: tuple[int, ...]  # index of its mark, -1 where none
    factors: list[str]
    kinds: list[str]
    units: list[str | None]  # unit of the 2005 edition where it differs, else None
    is_swapped: bool  # Ld or Ln of the 2005 edition
    is_repeated: bool  # a factor's kind comes more than once, perhaps by its 2005 and its 2017 code
    others: tuple[int, ...]


def layout_of(names: tuple[str, ...], is_2005: bool) -> Layout:
    if sum(map(len, names)) > LAYOUT_MAX:
        return _layout.__wrapped__(names, is_2005)
    return _layout(names, is_2005)


@lru_cache(maxsize=2048)
def _layout(names: tuple[str, ...], is_2005: bool) -> Layout:
    split = [name.rpartition("-") for name in names]
    kinds = [KINDS.get(suffix.lower()) if code else None for code, _, suffix in split]
    mark_at: dict[tuple[str, str], int] = {}
    for at, (code, _, suffix) in enumerate(split):
        if code and suffix.lower() in ("flag", "zsflag"):
            mark_at.setdefault((code, suffix.lower()), at)
    values = tuple(at for at, kind in enumerate(kinds) if kind)
    marks = []
    for at in values:
        mark = mark_at.get((split[at][0], "flag"), -1)
        marks.append(mark_at.get((split[at][0], "zsflag"), mark) if kinds[at].startswith("zs_") else mark)
    named = [factor_of(split[at][0], is_2005) for at in values]
    time_at = names.index("DataTime") if "DataTime" in names else -1
    keys = [(factor, kinds[at]) for at, (factor, _) in zip(values, named, strict=True)]
    return Layout(
        time_at=time_at,
        is_request=not names or "BeginTime" in names or "EndTime" in names,
        values=values,
        marks=tuple(marks),
        factors=[factor for factor, _ in named],
        kinds=[kinds[at] for at in values],
        # Cou is an amount in the emission unit (kg, g, m3), which no frame names.
        units=[None if kinds[at].endswith("cou") else unit for at, (_, unit) in zip(values, named, strict=True)],
        is_swapped=is_2005 and any(split[at][0] in _SWAPPED_2005 for at in values),
        is_repeated=len(set(keys)) < len(keys),
        others=tuple(sorted(set(range(len(names))) - {time_at, *values, *marks})),
    )


def factor_of(code: str, is_2005: bool) -> tuple[str, str | None]:
    """Factor and, for a 2005 code whose unit is not the 2017 one, the unit its values are in."""
    if is_2005 and code in legacy_codes():
        return legacy_codes()[code]
    if len(code) == 6 and code[0].isupper() and code[1:].isdigit():  # W01018
        return code[0].lower() + code[1:], None
    return code, None


def add_data(
    columns: Columns,
    layout: Layout,
    values: list[str | None],
    *,
    station: str,
    period_s: int,
    event_at: int,
    quality: str | None,
) -> None:
    """Adds one reading an item that has a value, and a reject an item that has none."""
    texts = [values[at] for at in layout.values]
    marks = [(values[at] or None) if at >= 0 else None for at in layout.marks]
    sent = (layout.factors, layout.kinds, texts, layout.units, marks)
    if layout.is_repeated or not all(texts):
        kept = _unambiguous(columns, station, *sent)
        sent = tuple([column[at] for at in kept] for column in sent)
    if layout.is_swapped:
        quality = f"{quality},ld_ln_2005" if quality else "ld_ln_2005"
    columns.add_readings(station, period_s, event_at, quality, sent)


def _unambiguous(
    columns: Columns,
    station: str,
    factors: list[str],
    kinds: list[str],
    texts: list[str | None],
    units: list[str | None],
    marks: list[str | None],
) -> list[int]:
    """Indices of the readings that stand; the others become rejects. The same reading again counts once."""
    claims: dict[tuple[str, str], dict[tuple, int]] = {}
    for at, text in enumerate(texts):
        if text:
            claims.setdefault((factors[at], kinds[at]), {}).setdefault((text, units[at], marks[at]), at)
        else:
            columns.add_reject(Reject.VALUE_MISSING, f"{kinds[at]} has no value", station, factors[at])
    kept = []
    for (factor, kind), claim in claims.items():
        if len(claim) == 1:
            kept += claim.values()
        else:
            # Neither can be preferred: they share event time, revision, receipt and evidence.
            columns.add_reject(Reject.WRONG_SHAPE, f"{kind} is given {len(claim)} times", station, factor)
    return kept
