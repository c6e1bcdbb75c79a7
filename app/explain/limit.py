"""Which limit a window was compared with, on what that limit rests, and why this row of limits.csv and no other."""

from collections.abc import Iterator, Mapping
from datetime import date, datetime

from contracts.civil_time import local
from contracts.factors import REMOVAL_PREFIX
from contracts.reasons import Verdict
from contracts.site import Limit
from rules.tables.judgement import judged_by, judgements, may_say

from .run import Row, Run
from .words import Step, in_unit, quotient

BASIS = {
    "standard": "an emission standard",
    "permit": "the permit",
    "ultra_low": "an ultra-low target",
    "agreement": "an agreement",
    "internal": "an internal value",
}
SAYS = {
    "exceedance": "an exceedance (超标)",
    "not_met": "an ultra-low target that is not met (未达超低排放指标)",
    "notice": "a notice (提示)",
    "early_warning": "an early warning (预警)",
    "not_judged": "nothing: it is not judged",
}
STATUS = {
    "verified": "read in the standard's own text",
    "verified_weak": "agreed between secondary sources; the standard's own text was not read",
    "unverified": "nobody has held it against its source; it may only give a notice",
}


def limit_step(run: Run, verdict: Row, judged: Mapping[object, object]) -> Step:
    """judged: the limit_ids of all verdicts of the window, with their states."""
    step = Step("Limit")
    clause = run.rule.clause
    if clause:
        step.lines.append(f"the rule rests on: {clause}")
    step.facts = {"rule_clause": clause, "limit_id": verdict["limit_id"]}
    if verdict["limit_id"] not in run.limits():  # none, or the name a rule gives to a bound of its own
        own = "the rule compares with a number of its own, not with a row of limits.csv"
        none = "no row of limits.csv holds for this outlet, factor, period and date: no judgement"
        step.lines.append(none if verdict["reason"] == "no_limit_configured" else own)
        return step
    limit = run.limits()[str(verdict["limit_id"])]
    step.lines += _limit_lines(limit)
    window_at, period = verdict["window_at"], str(verdict["period"])
    assert isinstance(window_at, datetime)
    step.lines += _word(run, limit, window_at, period)
    step.lines += _condition(run, limit, verdict)
    step.lines += _editions(run, limit, window_at, period, judged)
    step.facts |= {
        key: value.isoformat() if isinstance(value, date) else value
        for key, value in limit.model_dump(exclude={"limit_id"}).items()
    }
    return step


def _limit_lines(limit: Limit) -> Iterator[str]:
    yield f"{limit.limit_id}: must be {limit.comparator} {in_unit(format(limit.limit, '.12g'), limit.unit)}"
    where = " ".join(part for part in (limit.standard, limit.clause) if part)
    yield f"basis: {BASIS[limit.basis]}; {where}"
    if limit.library is not None:
        yield f"taken from row {limit.library} of the limit library"
    if limit.source:
        yield f"source: {limit.source}"
    yield f"status: {limit.status}, {STATUS[limit.status]}"


def _dates(limit: Limit) -> str:
    if limit.valid_from is None and limit.valid_to is None:
        return "it has no dates"
    first = f"from {limit.valid_from}" if limit.valid_from else ""
    last = f"to {limit.valid_to}" if limit.valid_to else ""
    return "valid " + " ".join(part for part in (first, last) if part)


def _word(run: Run, limit: Limit, window_at: datetime, period: str) -> Iterator[str]:
    """What a value beyond the limit may be called, and by which clause."""
    outlet = next(row for row in run.site.outlets if row.outlet == limit.outlet)
    owner = next((row.industry for row in run.site.enterprises if row.enterprise == outlet.enterprise), "")
    judgement = judged_by(
        judgements(),
        medium=outlet.medium,
        industry=owner if limit.industry is None else limit.industry,
        factor=limit.factor,
        period=period,
        limit_period=limit.period,
        basis=limit.basis,
        on=local(window_at, run.plan.zone).date(),
    )
    said = SAYS[may_say(judgement, limit.status)]
    yield f"a value beyond it may be called {said}: {judgement.clause} ({judgement.status})"


def _condition(run: Run, limit: Limit, verdict: Row) -> Iterator[str]:
    if limit.when_factor is None:
        return
    needed = f"{limit.when_factor} {limit.when_comparator} {limit.when_value:g}"
    if limit.factor.startswith(REMOVAL_PREFIX):
        yield f"it holds only where {needed} at the inlet: see what the removal is made of"
        return
    point = run.number_of(run.subject.station, limit.when_factor)
    window_at, tick = verdict["window_at"], verdict["decided_at"]
    assert isinstance(window_at, datetime)
    assert isinstance(tick, datetime)
    row = None if point is None else run.window(point, str(verdict["period"]), window_at, tick)
    if row is None or not row["valid_n"] or row["reason"] is not None:
        yield f"it holds only where {needed}; that factor has no usable mean for this window"
        return
    mean = quotient(int(str(row["sum_scaled"])), int(str(row["valid_n"])), int(str(row["decimals"])))
    yield f"it holds only where {needed}; its mean for this window is {mean} {row['unit']}"


def _editions(
    run: Run, limit: Limit, window_at: datetime, period: str, judged: Mapping[object, object]
) -> Iterator[str]:
    """Why this row and not the others of the same outlet, factor and period."""
    day = local(window_at, run.plan.zone).date()
    yield f"it holds on {day}: {_dates(limit)}"
    if limit.period != period:
        yield f"the rule takes the limit of the {limit.period} for the {period}, as an early warning"
    for other in run.site.limits:
        same = (other.outlet, other.factor, other.period) == (limit.outlet, limit.factor, limit.period)
        if not same or other.limit_id == limit.limit_id:
            continue
        said = f"{other.limit_id} ({other.comparator} {in_unit(format(other.limit, '.12g'), other.unit)})"
        starts = other.valid_from is None or other.valid_from <= day
        ends = other.valid_to is None or day <= other.valid_to
        if judged.get(other.limit_id) == Verdict.NOT_APPLICABLE:
            yield f"{said} is not applicable to this window: see there"
        elif other.limit_id in judged:
            yield f"{said} holds too and is judged as well: see there"
        elif not (starts and ends):
            yield f"{said} is not judged: it does not hold on this date ({_dates(other)})"
        else:
            yield f"{said} is not judged: its condition does not hold for this window"
