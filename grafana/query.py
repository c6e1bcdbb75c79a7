"""One query of a panel or variable: InfluxQL for a server, a Polars plan over the same rows without one.

Promises: both give the same columns and numbers (tests/grafana/test_query.py); InfluxQL of the subset that 1.x, 2.x and
3 Core share. As JSON it travels in the board's target, so that whoever draws the board can build it again.
Does not promise: the order of rows of different groups; the last bits of a mean.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from typing import Any, Literal

# of several points of one instant `last` may be any: group by what tells them apart
Aggregation = Literal["mean", "min", "max", "sum", "count", "last"]
Fill = Literal["none", "null", "0", "previous"]
Operator = Literal["=", "!=", ">", ">=", "<", "<=", "=~"]

AUTO = "auto"  # of `every`: as wide as the panel asks for
ZONE = "Asia/Shanghai"  # of civil days; the boards are generated for one zone
_EVERY = re.compile(r"([1-9]\d*)([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class NotPortable(ValueError):
    """A query that one of the servers, or the plan, would understand differently; the message says why."""


@dataclass(frozen=True)
class Column:
    """One column of the answer."""

    field: str  # of the measurement; without `aggregation` it may be a tag
    aggregation: Aggregation | None = None  # None: as it is, of every point or beside a `last`
    name: str = ""  # as it is called in the answer; "": like the field
    over: str | None = None  # sum(field) / sum(over), where the aggregation is sum
    times: float = 1.0
    is_difference: bool = False  # to the bucket before, where it is not negative: of registers

    @property
    def called(self) -> str:
        return self.name or self.field


@dataclass(frozen=True)
class Where:
    """A condition: a tag or text against text, a number against a number, a tag against variables (`=~`)."""

    column: str
    operator: Operator
    value: str | float  # of `=~`: the variable's name


@dataclass(frozen=True)
class Query:
    """Columns of one measurement in one bucket, by group and by time."""

    bucket: str
    measurement: str
    columns: tuple[Column, ...]
    where: tuple[Where, ...] = ()
    group: tuple[str, ...] = ()  # tags
    every: str | None = None  # "1m", "1h", "1d" or AUTO; None: not by time
    fill: Fill = "none"
    is_in_range: bool = True  # false: of all time, for what stands rather than happens
    newest_first: int = 0  # > 0: so many points, the newest first

    def __post_init__(self) -> None:
        aggregated = [one for one in self.columns if one.aggregation]
        bare = [one for one in self.columns if not one.aggregation]
        if not self.columns:
            raise NotPortable("names no column")
        if aggregated and bare and (len(aggregated) > 1 or aggregated[0].aggregation != "last" or self.every):
            raise NotPortable("columns as they are stand alone, or beside one last() of no time buckets")
        if not aggregated and (self.group or self.every):
            raise NotPortable("points as they are cannot be grouped")
        if self.every and self.every != AUTO:
            seconds(self.every)
        if self.every is None and self.fill != "none":
            raise NotPortable("only time buckets can be filled")
        if not self.is_in_range and self.every:
            raise NotPortable("time buckets need a range")
        if self.newest_first and aggregated:
            raise NotPortable("only points as they are have a newest")
        for one in self.columns:
            if one.over is not None and one.aggregation != "sum":
                raise NotPortable(f"{one.called}: only a sum is divided by another")
            if one.is_difference and (not self.every or self.every == AUTO or self.fill != "none"):
                raise NotPortable(f"{one.called}: a difference needs fixed time buckets that are not filled")
        if len({one.called for one in self.columns}) != len(self.columns):
            raise NotPortable("two columns of one name")

    @property
    def is_selection(self) -> bool:
        """The newest point of each group, with other columns of that point."""
        return any(one.aggregation for one in self.columns) and any(not one.aggregation for one in self.columns)

    @property
    def names(self) -> tuple[str, ...]:
        """Tags and fields it reads."""
        read = [*self.group, *(one.column for one in self.where), *(one.field for one in self.columns)]
        return tuple(dict.fromkeys([*read, *(one.over for one in self.columns if one.over)]))


@dataclass(frozen=True)
class TagValues:
    """What a variable offers: the values of a tag."""

    bucket: str
    measurement: str
    tag: str
    where: tuple[Where, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys([self.tag, *(one.column for one in self.where)]))


@dataclass(frozen=True)
class Bindings:
    """What a board fills in: its range (both ends included), its variables, the width AUTO stands for."""

    from_at: datetime
    to_at: datetime
    variables: Mapping[str, Sequence[str]] = field(default_factory=dict)  # name -> chosen values; absent: all
    interval: timedelta = timedelta(minutes=1)


def seconds(every: str) -> int:
    """Raises NotPortable."""
    found = _EVERY.fullmatch(every)
    if found is None:
        raise NotPortable(f"{every!r} is no width of a bucket; write 30s, 1m, 1h or 1d")
    width = int(found[1]) * _SECONDS[found[2]]
    if width > 86400:
        raise NotPortable(f"{every!r}: months and weeks are no buckets of InfluxQL; one day at most")
    return width


# -- InfluxQL


def influxql(query: Query | TagValues, bindings: Bindings | None = None) -> str:
    """The text. Without bindings it holds Grafana's own placeholders."""
    if isinstance(query, TagValues):
        condition = _conditions(query.where, None, bindings)
        return f'SHOW TAG VALUES FROM "{query.measurement}" WITH KEY = "{query.tag}"{condition}'
    columns = ", ".join(_column(one) for one in query.columns)
    text = f'SELECT {columns} FROM "{query.measurement}"'
    text += _conditions(query.where, _range(bindings) if query.is_in_range else None, bindings)
    by = ([f"time({_width(query.every, bindings)})"] if query.every else []) + [f'"{tag}"' for tag in query.group]
    if by:
        text += f" GROUP BY {', '.join(by)}"
    if query.every:
        text += f" fill({query.fill})"
    if query.newest_first:
        text += f" ORDER BY time DESC LIMIT {query.newest_first}"
    return text + (f" tz('{ZONE}')" if has_zone(query) else "")


def has_zone(query: Query) -> bool:
    """Whether its buckets must follow civil time: a day's, and those whose width nobody knows beforehand."""
    return query.every is not None and (query.every == AUTO or seconds(query.every) >= 3600)


def _column(one: Column) -> str:
    if one.aggregation is None:
        said = f'"{one.field}"'
    else:
        said = f'{one.aggregation}("{one.field}")'
        if one.is_difference:
            said = f"non_negative_difference({said})"
        if one.over is not None:
            said += f' / sum("{one.over}")'
    if one.times != 1.0:
        said += f" * {one.times!r}"
    return said if said == f'"{one.called}"' else f'{said} AS "{one.called}"'


def _conditions(where: Sequence[Where], time: str | None, bindings: Bindings | None) -> str:
    said = [_condition(one, bindings) for one in where] + ([time] if time else [])
    return f" WHERE {' AND '.join(said)}" if said else ""


def _condition(one: Where, bindings: Bindings | None) -> str:
    if one.operator == "=~":
        return f'"{one.column}" =~ /^{_chosen(str(one.value), bindings)}$/'
    if isinstance(one.value, str):
        escaped = one.value.replace("\\", "\\\\").replace("'", "\\'")
        return f"\"{one.column}\" {one.operator} '{escaped}'"
    return f'"{one.column}" {one.operator} {one.value!r}'


def _chosen(variable: str, bindings: Bindings | None) -> str:
    if bindings is None:
        return f"${{{variable}:regex}}"
    chosen = bindings.variables.get(variable)
    if chosen is None:
        return ".*"
    return f"({'|'.join(_quoted(value) for value in chosen)})"


def _quoted(value: str) -> str:
    """For Go's regular expressions between slashes."""
    return re.sub(r"([\\.+*?()|\[\]{}^$/])", r"\\\1", value)


def _range(bindings: Bindings | None) -> str:
    if bindings is None:
        return "$timeFilter"
    return f"time >= {_milliseconds(bindings.from_at)}ms AND time <= {_milliseconds(bindings.to_at)}ms"


def _milliseconds(at: datetime) -> int:
    return int(at.timestamp() * 1000)


def _width(every: str | None, bindings: Bindings | None) -> str:
    if every != AUTO:
        return str(every)
    return "$__interval" if bindings is None else f"{int(bindings.interval.total_seconds())}s"


# -- JSON


def as_json(query: Query | TagValues) -> dict[str, Any]:
    """What a target carries under "greenisland"; defaults are left out."""
    return {"kind": "values" if isinstance(query, TagValues) else "select", **_short(query)}


def from_json(written: Mapping[str, Any]) -> Query | TagValues:
    """Raises KeyError, TypeError, NotPortable where it was not made by `as_json`."""
    about = dict(written)
    kind = {"values": TagValues, "select": Query}[about.pop("kind")]
    about["where"] = tuple(Where(**one) for one in about.get("where", ()))
    if kind is Query:
        about["columns"] = tuple(Column(**one) for one in about["columns"])
        about["group"] = tuple(about.get("group", ()))
    return kind(**about)


def _short(one: Any) -> dict[str, Any]:
    def plain(value: Any) -> Any:
        return [plain(item) for item in value] if isinstance(value, tuple) else value

    found = {}
    for about in fields(one):
        value = getattr(one, about.name)
        if value == about.default:
            continue
        if isinstance(value, tuple) and value and not isinstance(value[0], str):
            found[about.name] = [_short(item) for item in value]
        else:
            found[about.name] = plain(value)
    return found
