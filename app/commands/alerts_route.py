"""`greenisland alerts route`: who would be told of an alert, by what, when and why."""

import json
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from contracts.civil_time import local
from contracts.durations import format_duration, parse_duration
from contracts.matching import parse_matchers
from contracts.reasons import Telling, Transition
from contracts.site import Site
from notify.telling.civil_duty import beyond_calendar

from ..operators.record import instant, one_of
from ..route_tests.trial import LOOKED_AT, Trial, Tried, try_out
from ..site.files import load_site
from .mark import JSON

SITE = Annotated[Path, typer.Option(help="The site's directory.")]


def route_command(
    site: SITE,
    test: Annotated[str, typer.Option(help="The alert: 'station=XS-COAL-1 level=red kind=limit'.")],
    at: Annotated[str, typer.Option(help="When it is raised; ISO 8601 with offset.")],
    transition: Annotated[str, typer.Option(help="What is told of it.")] = "fired",
    lasts: Annotated[str | None, typer.Option(help="It is over after so long; without it, it stays open.")] = None,
    acknowledged: Annotated[str | None, typer.Option(help="Somebody acknowledges it after so long.")] = None,
    until: Annotated[str, typer.Option(help="Look so far ahead.")] = format_duration(LOOKED_AT),
    as_json: JSON = False,
) -> None:
    """Say who would be told of an alert, by what, when (with repeats and steps) and why. Nothing is sent."""
    whole = load_site(site)
    one_of(transition, [str(one) for one in Transition], "--transition", "no transition")
    try:
        labels = {key: _single(key, values) for key, values in parse_matchers(test).items()}
        trial = Trial(
            labels,
            instant(at, "--at"),
            transition=transition,
            lasts=None if lasts is None else parse_duration(lasts),
            acknowledged=None if acknowledged is None else parse_duration(acknowledged),
            until=parse_duration(until),
        )
        tried = try_out(whole, trial)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    if as_json:
        typer.echo(json.dumps(_as_data(tried), ensure_ascii=False))
        return
    typer.echo("\n".join(_as_text(tried, trial, whole)))


def _single(key: str, values: tuple[str, ...]) -> str:
    if len(values) > 1 or "*" in values[0]:
        raise ValueError(f"{key}: an alert has one value of it, not {','.join(values)}")
    return values[0]


def _as_text(tried: Tried, trial: Trial, site: Site) -> list[str]:
    def when(at: datetime) -> str:
        there = local(at, site.time_zone)
        return f"{there:%Y-%m-%d %H:%M:%S} (+{format_duration(at - trial.at)})"

    known = [f"{key}={value}" for key, value in tried.labels.items() if value and key != "episode"]
    lines = [f"alert: {' '.join(known)}"]
    lines += [f"route {one.route} {one.why}" for one in tried.routes]
    lines.append("told:" if tried.said else "told: nobody")
    for one in tried.said:
        step = f" {one.step}" if one.step else ""
        people = [tried.plan.people[name] for name in one.people]
        to = ", ".join(f"{person.name_zh} ({person.person})" for person in people) or "whoever reads the channel"
        by = f"case {one.route}" if one.kind == Telling.CASE else f"route {one.route}"
        lines.append(f"  {when(one.at)}  {one.channel}: {one.kind}{step}, {one.transition}; {to}; {by}")
    if tried.told.held:
        lines.append("held back:")
    for held in tried.told.held:
        until = f" until {when(held.until)}" if held.until else ""
        by = f" by route {held.route}" if held.route else ""
        lines.append(f"  {when(held.tick)}  {held.transition}: {held.why}{until}{by}")
    if beyond_calendar(local(trial.at, site.time_zone).date()):
        lines.append("note: the calendar of China's holidays does not reach there: Monday to Friday are workdays")
    return lines


def _as_data(tried: Tried) -> dict[str, Any]:
    return {
        "alert": tried.labels,
        "routes": [vars(one) for one in tried.routes],
        "told": [vars(one) | {"at": one.at.isoformat(), "people": list(one.people)} for one in tried.said],
        "held_back": [
            {
                "at": one.tick.isoformat(),
                "transition": one.transition,
                "why": str(one.why),
                "until": None if one.until is None else one.until.isoformat(),
                "route": one.route,
            }
            for one in tried.told.held
        ],
    }
