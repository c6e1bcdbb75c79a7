"""`greenisland fact`: approved stops (停运审批), checks of analysers (质控), manual readings (手工监测); all facts."""

import json
import re
from typing import Annotated, Any

import polars as pl
import typer

from contracts.factors import units_of
from contracts.facts import CHECKS, KINDS
from rules.facts.history import withdrawn_at

from ..operators.mark_words import SHOWN_NAME
from ..operators.record import (
    civil,
    fact_named,
    facts_in,
    instant,
    interval,
    jsonable,
    known_factor,
    known_outlet,
    known_station,
    not_facts,
    not_facts_lines,
    one_of,
    state_directory,
    submit,
    words,
)
from ..site.files import load_site
from .mark import AS_OF, BY, JSON, REASON, SITE, STATE, WAIT

NUMBER = re.compile(r"[+-]?[0-9]{1,15}(\.[0-9]{1,12})?")
TAKEN_BACK = ("stop", "qc", "manual")  # marks by `mark withdraw`
MEASURED = Annotated[str, typer.Option(help="The factor, as in registry/points.csv.")]
AT = Annotated[str, typer.Option(help="When; ISO 8601 with offset.")]


def stop_command(
    state: STATE,
    site: SITE,
    from_: Annotated[str, typer.Option("--from", help="Beginning; ISO 8601 with offset.")],
    to: Annotated[str, typer.Option("--to", help="End, not included; ISO 8601 with offset.")],
    number: Annotated[str, typer.Option(help="Number of the approval.")],
    reason: REASON,
    station: Annotated[str | None, typer.Option(help="The station that stops; or ...")] = None,
    outlet: Annotated[str | None, typer.Option(help="... the outlet, with all its stations.")] = None,
    by: BY = None,
    wait: WAIT = "3s",
    as_json: JSON = False,
) -> None:
    """Enter an approved stop (停运审批): its data are excused."""
    whole = load_site(site)
    state_directory(state)
    if (station is None) == (outlet is None):
        raise typer.BadParameter("give one of them", param_hint="--station, --outlet")
    where = {"station": known_station(whole, station)} if station else {"outlet": known_outlet(whole, str(outlet))}
    from_at, to_at = interval(from_, to)
    body = where | {"from_at": from_at, "to_at": to_at, "number": words(number, "--number")}
    about = [f"{station or outlet}: excused from {civil(from_at, whole)} to {civil(to_at, whole)}"]
    submit(state, "stop", by, wait, as_json, about, **body, reason=words(reason, "--reason"))


def qc_command(
    state: STATE,
    site: SITE,
    station: Annotated[str, typer.Option(help="The station.")],
    factor: MEASURED,
    check: Annotated[str, typer.Option(help=f"What was checked: {', '.join(CHECKS)}.")],
    at: AT,
    values: Annotated[str, typer.Option(help="The values as on the sheet: read, allowed, standard.")],
    passed: Annotated[bool, typer.Option("--pass/--fail", help="Whether it was passed.")],
    by: BY = None,
    wait: WAIT = "3s",
    as_json: JSON = False,
) -> None:
    """Enter a check's result (质控): a failed one makes data invalid from the last passed to the next passed one."""
    whole = load_site(site)
    state_directory(state)
    known_station(whole, station)
    known_factor(whole, station, factor)
    one_of(check, list(CHECKS), "--check", "no check")
    body = {"station": station, "factor": factor, "check": check, "at": instant(at, "--at"), "passed": passed}
    of = f"{station} {factor}: {check}"
    about = [
        f"{of} passed" if passed else f"{of} failed: data are invalid from the last passed {check} to the next one"
    ]
    submit(state, "qc", by, wait, as_json, about, **body, values=words(values, "--values"))


def manual_command(
    state: STATE,
    site: SITE,
    station: Annotated[str, typer.Option(help="The station.")],
    factor: MEASURED,
    at: AT,
    value: Annotated[str, typer.Option(help="The number as the laboratory wrote it.")],
    unit: Annotated[str, typer.Option(help="Its unit.")],
    laboratory: Annotated[str, typer.Option(help="Who measured it.")],
    reason: Annotated[str, typer.Option(help="Number of the report, or why it was taken.")] = "",
    by: BY = None,
    wait: WAIT = "3s",
    as_json: JSON = False,
) -> None:
    """Enter a manual reading (手工监测): shown beside the automatic ones, never judged as one of them."""
    whole = load_site(site)
    state_directory(state)
    known_station(whole, station)
    known_factor(whole, station, factor)
    if not NUMBER.fullmatch(value):
        raise typer.BadParameter(f"{value!r} is not a number like 12.5", param_hint="--value")
    one_of(unit, units_of(whole.factors[factor]), "--unit", f"no unit of {factor}")
    body = {"station": station, "factor": factor, "at": instant(at, "--at"), "value": value, "unit": unit}
    about = [f"{station} {factor}: {value} {unit} by {laboratory}"]
    submit(
        state, "manual", by, wait, as_json, about, **body, laboratory=words(laboratory, "--laboratory"), reason=reason
    )


def withdraw_fact_command(
    fact: Annotated[str, typer.Argument(help="The fact's name, or the beginning of it.")],
    state: STATE,
    site: SITE,
    reason: REASON,
    by: BY = None,
    wait: WAIT = "3s",
    as_json: JSON = False,
) -> None:
    """Take back a stop, a check or a manual reading that was entered wrongly; both stay visible."""
    facts, _ = facts_in(state, load_site(site))
    row = fact_named(facts, fact, TAKEN_BACK)
    if row["fact"] in withdrawn_at(facts):
        raise typer.BadParameter("it was taken back before", param_hint="FACT")
    about = [f"takes back the {row['kind']} of {row['station'] or row['outlet']}"]
    submit(state, "withdrawal", by, wait, as_json, about, about=row["fact"], reason=words(reason, "--reason"))


def list_facts_command(
    state: STATE,
    site: SITE,
    kind: Annotated[str | None, typer.Option(help=f"Only this kind: {', '.join(KINDS)}.")] = None,
    station: Annotated[str | None, typer.Option(help="Only this station.")] = None,
    as_of: AS_OF = None,
    as_json: JSON = False,
) -> None:
    """Show everything people have entered, in the order in which it became known."""
    whole = load_site(site)
    if kind is not None:
        one_of(kind, list(KINDS), "--kind", "no kind of fact")
    if station is not None:
        known_station(whole, station)
    facts, rejects = facts_in(state, whole)
    if as_of is not None:
        facts = facts.filter(pl.col("known_at") <= instant(as_of, "--as-of"))
    gone = withdrawn_at(facts)
    rows = [
        one | {"withdrawn_at": gone.get(one["fact"]) if one["kind"] in TAKEN_BACK else None}
        for one in facts.to_dicts()
        if kind in (None, one["kind"]) and station in (None, one["station"])
    ]
    left = not_facts(state, rejects)
    if as_json:
        typer.echo(json.dumps(jsonable({"facts": rows} | left, whole), ensure_ascii=False))
        return
    lines = [_line(jsonable(one, whole)) for one in rows] or ["no facts"]
    typer.echo("\n".join([*lines, *not_facts_lines(left, whole)]))


def _line(one: dict[str, Any]) -> str:
    when = one["from_at"] if one["to_at"] is None else f"{one['from_at']} to {one['to_at']}"
    verdict = {True: "passed", False: "failed", None: None}[one["passed"]]
    about = None if one["about"] is None else f"of {one['about'][:SHOWN_NAME]}"
    value = None if one["value"] is None else f"{one['value']:g} {one['unit']}"
    back = None if one["withdrawn_at"] is None else f"(taken back {one['withdrawn_at']})"
    what = [one["station"] or one["outlet"], one["factor"], one["type"], verdict, about, when, value, one["detail"]]
    told = " ".join(str(part) for part in (*what, one["reason"], back) if part)
    return f"{one['fact'][:SHOWN_NAME]}  {one['kind']}  {told}; by {one['actor']}, known from {one['known_at']} on"
