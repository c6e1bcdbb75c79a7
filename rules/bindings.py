"""Rules bound to points: one row a (rule, point, limit), with everything a comparison needs as integers."""

from datetime import date, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal

import polars as pl

from contracts.civil_time import zone
from contracts.factors import CONVERTED_PREFIX, REJECT_COUNT, STATION_PRESENCE, TREATMENT_OFF, ratio
from contracts.frames import INSTANT
from contracts.reasons import LEVELS as LEVEL_NAMES
from contracts.site import Limit, Site

from .exact import decimals_of, scaled
from .spec import FlatLineRule, LimitRule, MissingRule, RejectsRule, Rule, TreatmentOffRule

THRESHOLD_EXTRA = 4  # thresholds carry so many decimals more than the compared value: 0.9 x limit stays exact

BINDINGS = pl.Schema(
    {
        "binding": pl.UInt32,
        "rule": pl.String,
        "kind": pl.String,
        "point": pl.UInt32,
        "period": pl.String,
        "statistic": pl.String,  # mean, range, present_n
        "above": pl.Boolean,  # a level is reached above (or below) its threshold
        "inclusive": pl.Boolean,  # ... or at it
        "rounded": pl.Boolean,  # compare the rounded value (GB/T 8170), else the full value
        "decimals": pl.UInt8,  # of the reported value and limit
        "value_mul": pl.Int128,  # value in `decimals` = sum * value_mul / (n * value_div)
        "value_div": pl.Int128,
        "yellow": pl.Int128,  # thresholds in decimals + THRESHOLD_EXTRA; null: the level is not used
        "orange": pl.Int128,
        "red": pl.Int128,
        "limit_scaled": pl.Int64,
        "limit_id": pl.String,
        "is_limit_reached": pl.Int128,  # threshold that makes the verdict an exceedance, as above
        "except_zero": pl.Boolean,
        "window_s": pl.Int64,  # an instant's share of event time; null: the window's own length
        "from_at": INSTANT,  # the limit holds for windows that start in [from_at, to_at)
        "to_at": INSTANT,
        "is_fallback": pl.Boolean,  # "no limit configured", where none of the point's dated limits holds
        "pending_s": pl.Int64,
        "recovery_s": pl.Int64,
    }
)


class RuleProblem(ValueError):
    """A rule that cannot be bound; `rule` and `key` say where."""

    def __init__(self, rule: str, key: str, message: str):
        super().__init__(f"rule {rule}: {key}: {message}")
        self.rule, self.key, self.message = rule, key, message


def _matches(rule: Rule, point: dict[str, object]) -> bool:
    select = rule.select
    return (
        (not select.medium or point["medium"] in select.medium)
        and (not select.factor or point["factor"] in select.factor)
        and (not select.station or point["station"] in select.station)
        and (not select.outlet or point["outlet"] in select.outlet)
    )


def _day_start(day: date | None, zone_name: str) -> datetime | None:
    return None if day is None else datetime(day.year, day.month, day.day, tzinfo=zone(zone_name))


def _limit_row(rule: LimitRule, point: dict[str, object], limit: Limit | None, site: Site) -> dict[str, object]:
    point_decimals = int(point["decimals"])  # type: ignore[call-overload]
    if limit is None:
        return {
            "statistic": "mean",
            "above": True,
            "inclusive": False,
            "rounded": False,
            "decimals": point_decimals,
            "value_mul": 1,
            "value_div": 1,
        }
    in_unit = Decimal(str(limit.limit)) * Decimal(str(ratio(limit.unit, str(point["unit"]))))
    in_unit = in_unit.quantize(Decimal(1).scaleb(-12), ROUND_HALF_EVEN).normalize()
    rounded = limit.comparison == "rounded"
    place = limit.decimals if rounded and limit.decimals is not None else point_decimals
    decimals = max(place, decimals_of(in_unit))
    above = limit.comparator in ("<=", "<")

    def threshold(multiple: float) -> int:
        factor = Decimal(str(multiple))
        exact = in_unit * factor if above else in_unit / factor
        return int(exact.scaleb(decimals + THRESHOLD_EXTRA).to_integral_value(ROUND_HALF_EVEN))

    shift = decimals - point_decimals
    until = None if limit.valid_to is None else limit.valid_to + timedelta(days=1)
    return {
        "statistic": "mean",
        "above": above,
        "inclusive": limit.comparator in ("<", ">"),
        "rounded": rounded,
        "decimals": decimals,
        "value_mul": 10 ** max(0, shift),
        "value_div": 10 ** max(0, -shift),
        **{level: threshold(multiple) for level, multiple in rule.levels.items()},
        "limit_scaled": scaled(in_unit, decimals),
        "limit_id": limit.limit_id,
        "is_limit_reached": threshold(1.0),
        "from_at": _day_start(limit.valid_from, site.time_zone),
        "to_at": _day_start(until, site.time_zone),
    }


def _limit_rows(rule: LimitRule, points: list[dict[str, object]], site: Site) -> list[dict[str, object]]:
    assigned: dict[tuple[str, str], list[Limit]] = {}
    period = rule.limits_of or rule.period
    for limit in site.limits:
        if limit.period == period:
            assigned.setdefault((limit.outlet, limit.factor), []).append(limit)
    converted = {
        (str(point["station"]), str(point["factor"]).removeprefix(CONVERTED_PREFIX))
        for point in points
        if str(point["factor"]).startswith(CONVERTED_PREFIX)
    }
    rows = []
    for point in points:
        if str(point["factor"]).startswith("$") or not _matches(rule, point):
            continue
        mine: list[Limit | None] = [*assigned.get((str(point["outlet"]), str(point["factor"])), [])]
        if all(limit is not None and (limit.valid_from or limit.valid_to) for limit in mine):
            mine.append(None)
        for limit in mine:
            if limit is None and rule.limits_of is not None:
                continue  # an early warning has nothing to say where there is no limit
            if limit is None and (str(point["station"]), str(point["factor"])) in converted:
                continue  # judged after conversion: the measured value has no limit of its own
            rows.append(
                {
                    "point": point["point"],
                    "period": rule.period,
                    "window_s": point["interval_s"] if rule.period == "instant" else None,
                    "is_fallback": limit is None and len(mine) > 1,
                    **_limit_row(rule, point, limit, site),
                }
            )
    return rows


def _own_rows(rule: Rule, points: list[dict[str, object]]) -> list[dict[str, object]]:
    """Rows of the kinds that compare with a number of their own."""
    shortest: dict[str, int] = {}
    for point in points:
        if not str(point["factor"]).startswith("$"):
            station = str(point["station"])
            shortest[station] = min(shortest.get(station, 86400), int(point["interval_s"]))  # type: ignore[call-overload]
    rows = []
    for point in points:
        factor, station = str(point["factor"]), str(point["station"])
        own = factor.startswith("$")
        extra = 10**THRESHOLD_EXTRA
        row: dict[str, object] = {
            "point": point["point"],
            "period": "minute",
            "decimals": 0,
            "value_mul": 1,
            "value_div": 1,
        }
        row |= {"rounded": False, "inclusive": True, "above": True}
        if isinstance(rule, MissingRule) and factor == STATION_PRESENCE and station in shortest:
            pending_s = max(rule.intervals * shortest[station], int(rule.pending.total_seconds()))
            row |= {
                "statistic": "present_n",
                "above": False,
                rule.level: 0,
                "is_limit_reached": 0,
                "pending_s": pending_s,
            }
        elif isinstance(rule, RejectsRule) and factor == REJECT_COUNT:
            row |= {
                "statistic": "present_n",
                rule.level: rule.at_least * extra,
                "is_limit_reached": rule.at_least * extra,
            }
        elif isinstance(rule, TreatmentOffRule) and factor.startswith(TREATMENT_OFF):
            row |= {"statistic": "mean", rule.level: extra, "is_limit_reached": extra}
        elif isinstance(rule, FlatLineRule) and not own and point["kind"] is not None:
            row |= {"statistic": "range", "above": False, rule.level: 0, "is_limit_reached": 0, "period": rule.period}
            row |= {"except_zero": rule.except_zero, "decimals": point["decimals"]}
        else:
            continue
        plain = rule.select.model_copy(update={"factor": ()}) if own else rule.select
        if _matches(rule.model_copy(update={"select": plain}), point):
            rows.append(row)
    return rows


def bind(site: Site, rules: list[Rule], points: pl.DataFrame) -> pl.DataFrame:
    """BINDINGS, sorted by rule, point, limit. Raises RuleProblem where two rules have one id."""
    table = points.to_dicts()
    seen: set[str] = set()
    rows: list[dict[str, object]] = []
    for rule in rules:
        if rule.id in seen:
            raise RuleProblem(rule.id, "id", "two rules have this id; give each its own")
        seen.add(rule.id)
        bound = _limit_rows(rule, table, site) if isinstance(rule, LimitRule) else _own_rows(rule, table)
        for row in bound:
            rows.append(
                {
                    "rule": rule.id,
                    "kind": rule.kind,
                    "except_zero": False,
                    "is_fallback": False,
                    "pending_s": int(rule.pending.total_seconds()),
                    "recovery_s": int(rule.recovery.total_seconds()),
                    **row,
                }
            )
    schema = {name: dtype for name, dtype in BINDINGS.items() if name != "binding"}
    frame = pl.DataFrame(rows, schema=schema, strict=False)
    assert set(LEVEL_NAMES) <= set(frame.columns)
    return frame.sort("rule", "point", "limit_id").with_row_index("binding").match_to_schema(BINDINGS)
