"""`greenisland rules ...`: check a site's rules before they run."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated

import polars as pl
import typer

from contracts.clock import SystemClock
from contracts.matching import matches
from contracts.site import Site
from notify.telling.civil_duty import CALENDAR_TO, beyond_calendar
from rules.spec import Rule

from ..site.files import load_site
from ..site.rule_files import compile_rules, load_rules

AHEAD = timedelta(days=60)  # so long before the calendar ends it is said


def check_command(site: Annotated[Path, typer.Option(help="The site's directory.")]) -> None:
    """Read the whole site and its rules, bind every rule to its points, and say what was found."""
    whole = load_site(site)
    placed = load_rules(site, whole)
    plan = compile_rules(whole, placed)
    by_rule = dict(plan.bindings.group_by("rule").agg(pl.col("point").n_unique()).iter_rows())
    print(f"{whole.file.site}: {len(whole.stations)} stations, {len(whole.points)} points, {len(whole.limits)} limits")
    for one in placed:
        points = by_rule.get(one.rule.id, 0)
        print(f"  {one.rule.id} ({one.rule.kind}, {one.path.as_posix()}:{one.line}): {points} points")
    without = plan.bindings.filter((pl.col("kind") == "limit") & pl.col("limit_scaled").is_null())
    for station, factor in (
        without.join(plan.points, on="point").select("station", "factor").unique().sort("station", "factor").iter_rows()
    ):
        print(f"  {station} {factor}: no limit configured")
    for line in routing_lines(whole, [one.rule for one in placed], SystemClock().now()):
        print(line)


def routing_lines(site: Site, rules: list[Rule], now: datetime) -> Iterator[str]:
    """What there is of routes, what of them matches nothing, and where the calendar of holidays ends."""
    if (routing := site.routing) is None:
        yield f"no routes.yaml: every alert tells all {len(site.file.channels)} channels"
        return
    yield f"{len(routing.routes)} routes, {len(routing.people)} people, {len(routing.rosters)} rosters"
    known = {"rule": {rule.id for rule in rules}, "kind": {str(rule.kind) for rule in rules}}
    told_by = {f"route {one.route}": one.match for one in routing.routes}
    told_by |= {f"inhibition {one.inhibition}, source": one.source for one in routing.inhibit}
    told_by |= {f"inhibition {one.inhibition}, target": one.target for one in routing.inhibit}
    for where, match in told_by.items():
        for key, names in known.items():
            for value in match.get(key, ()):
                if not any(matches({key: (value,)}, {key: name}) for name in names):
                    yield f"  {where}: no {key} of this site is {value!r}: it matches nothing"
    hourly = [turn for roster in routing.rosters for turn in roster.turns]
    hourly += [quiet for route in routing.routes for quiet in route.quiet]
    asks = any(one.days in ("workdays", "days_off") for one in hourly)
    if asks and beyond_calendar((now + AHEAD).date()):
        yield (
            f"  the calendar of China's holidays ends with {CALENDAR_TO.year}: after it Monday to Friday count as"
            " workdays; install a newer chinesecalendar, or write the days off as dates"
        )
