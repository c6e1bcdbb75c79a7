"""`greenisland mark` and `greenisland review`: data marks (数据标记) and their review."""

import json
from pathlib import Path
from typing import Annotated, Any

import polars as pl
import typer

from contracts.clock import SystemClock
from contracts.facts import ACCEPT, APPROVE_LATE, RETURN
from contracts.site import Site
from rules.facts.history import IN_TIME, LATE, mark_history
from rules.facts.tables import Marking, MarkType, compile_marking

from ..operators.mark_words import as_text, cap_words, will_do
from ..operators.record import (
    fact_named,
    facts_in,
    instant,
    interval,
    jsonable,
    known_factor,
    known_station,
    not_facts,
    not_facts_lines,
    one_of,
    state_directory,
    submit,
    words,
)
from ..site.files import load_site

STATE = Annotated[Path, typer.Option(help="The state directory of `greenisland run`.")]
SITE = Annotated[Path, typer.Option(help="The site's directory.")]
FACT = Annotated[str, typer.Argument(help="The mark's name, or the beginning of it.")]
BY = Annotated[str | None, typer.Option(help="Whose word it is; without it your account.")]
REASON = Annotated[str, typer.Option(help="Why; an inspector will read it.")]
WAIT = Annotated[str, typer.Option(help="How long to wait for the collector to take it; 0s: do not wait.")]
JSON = Annotated[bool, typer.Option("--json", help="Print it as JSON.")]
AS_OF = Annotated[str | None, typer.Option(help="As it was known then; ISO 8601 with offset.")]


def add_command(
    state: STATE,
    site: SITE,
    station: Annotated[str, typer.Option(help="The station that is marked.")],
    type_: Annotated[str, typer.Option("--type", help="Why by kind: a name of `greenisland mark types`.")],
    from_: Annotated[str, typer.Option("--from", help="Beginning; ISO 8601 with offset.")],
    to: Annotated[str, typer.Option("--to", help="End, not included; ISO 8601 with offset.")],
    reason: REASON,
    factor: Annotated[str | None, typer.Option(help="Only this factor; without it all of the station.")] = None,
    by: BY = None,
    wait: WAIT = "3s",
    as_json: JSON = False,
) -> None:
    """Mark data (标记): as the enterprise that answers for them. Late marks need a reviewer's approval."""
    whole = load_site(site)
    state_directory(state)
    marking = compile_marking(whole)
    known_station(whole, station)
    if factor is not None:
        known_factor(whole, station, factor)
    kind = _type_named(marking, station, type_)
    from_at, to_at = interval(from_, to)
    reason = words(reason, "--reason")
    about = will_do(whole, marking, station, kind, from_at, SystemClock().now())
    body = {"station": station, "factor": factor, "type": kind.type, "from_at": from_at, "to_at": to_at}
    submit(state, "mark", by, wait, as_json, about, **body, reason=reason)


def withdraw_command(
    fact: FACT, state: STATE, site: SITE, reason: REASON, by: BY = None, wait: WAIT = "3s", as_json: JSON = False
) -> None:
    """Take a mark back (撤回), before it was reviewed."""
    mark = _mark_named(state, load_site(site), fact)
    if mark["state"] != "submitted":
        raise typer.BadParameter(f"the mark is {mark['state']} already: it stays as it is", param_hint="FACT")
    about = [f"takes back the mark of {mark['station']}, type {mark['type']}"]
    submit(state, "withdrawal", by, wait, as_json, about, about=mark["fact"], reason=words(reason, "--reason"))


def review_mark_command(
    fact: FACT,
    state: STATE,
    site: SITE,
    reason: REASON,
    reviewer: Annotated[str, typer.Option(help="Who reviews; somebody else than who made the mark.")],
    accept: Annotated[bool, typer.Option("--accept", help="The mark stands (通过).")] = False,
    return_: Annotated[bool, typer.Option("--return", help="The mark has no effect from now on (退回).")] = False,
    approve_late: Annotated[
        bool, typer.Option("--approve-late", help="The mark, made too late, has its effect from now on (补标批准).")
    ] = False,
    wait: WAIT = "3s",
    as_json: JSON = False,
) -> None:
    """Review a mark (审核) for the centre. A later review replaces an earlier one."""
    asked = {ACCEPT: accept, RETURN: return_, APPROVE_LATE: approve_late}
    decisions = [decision for decision, is_asked in asked.items() if is_asked]
    if len(decisions) != 1:
        raise typer.BadParameter("give one of them", param_hint="--accept, --return, --approve-late")
    mark = _mark_named(state, load_site(site), fact)
    reviewer = words(reviewer, "--reviewer")
    if reviewer == mark["actor"]:
        raise typer.BadParameter(f"{reviewer} made the mark; somebody else reviews it", param_hint="--reviewer")
    if mark["state"] == "withdrawn":
        raise typer.BadParameter("the mark was withdrawn; there is nothing to review", param_hint="FACT")
    if decisions == [ACCEPT] and mark["timing"] == LATE:
        message = "all of the mark came after its deadline and would stay without effect; --approve-late or --return it"
        raise typer.BadParameter(message, param_hint="--accept")
    if decisions == [APPROVE_LATE] and mark["timing"] == IN_TIME:
        raise typer.BadParameter("the mark was in time; --accept or --return it", param_hint="--approve-late")
    about = [f"{decisions[0]}: mark of {mark['station']}, type {mark['type']}, by {mark['actor']}"]
    said = {"about": mark["fact"], "decision": decisions[0], "reason": words(reason, "--reason")}
    submit(state, "review", reviewer, wait, as_json, about, **said)


def list_command(
    state: STATE,
    site: SITE,
    station: Annotated[str | None, typer.Option(help="Only this station.")] = None,
    as_of: AS_OF = None,
    as_json: JSON = False,
) -> None:
    """Show marks with deadline, what they change since when, what was said about them, and how much of caps is used."""
    whole = load_site(site)
    if station is not None:
        known_station(whole, station)
    _, rejects, marks = _marks(state, whole, as_of)
    _show(state, whole, [one for one in marks if station in (None, one["station"])], rejects, as_json)


def review_command(state: STATE, site: SITE, as_json: JSON = False) -> None:
    """Show the marks that wait for a reviewer (待审核), the late ones included."""
    whole = load_site(site)
    _, rejects, marks = _marks(state, whole, None)
    _show(state, whole, [one for one in marks if one["state"] == "submitted"], rejects, as_json)


def types_command(
    site: SITE,
    station: Annotated[str | None, typer.Option(help="Only this station.")] = None,
    as_json: JSON = False,
) -> None:
    """Show the types of marks each station may use, their caps, and until when its data may be marked."""
    whole = load_site(site)
    marking = compile_marking(whole)
    names = [known_station(whole, station)] if station is not None else sorted(marking.types)
    if as_json:
        typer.echo(json.dumps([_types_of(marking, name) for name in names], ensure_ascii=False))
        return
    for name in names:
        deadline = marking.deadlines[name]
        typer.echo(f"{name}: {deadline.rule} ({deadline.status}: {deadline.source})")
        for kind in marking.types[name].values():
            caps = f"; {cap_words(kind)}" if cap_words(kind) else ""
            review = "; only once accepted" if kind.needs_review else ""
            only = f"; {kind.condition}" if kind.condition else ""
            typer.echo(
                f"  {kind.type} {kind.name_zh} {kind.name_en}: {kind.effect}{caps}{review}{only} [{kind.status}]"
            )


def _types_of(marking: Marking, station: str) -> dict[str, Any]:
    deadline = marking.deadlines[station]
    kinds = [
        {key: getattr(kind, key) for key in ("type", "name_zh", "name_en", "effect", "condition", "source", "status")}
        | {"needs_review": kind.needs_review, "caps": cap_words(kind)}
        for kind in marking.types[station].values()
    ]
    until = {"rule": deadline.rule, "source": deadline.source, "status": deadline.status}
    return {"station": station, "deadline": until, "types": kinds}


def _type_named(marking: Marking, station: str, given: str) -> MarkType:
    """By its name, or its name in Chinese or English."""
    kinds = marking.types[station]
    for kind in kinds.values():
        if given in (kind.type, kind.name_zh, kind.name_en):
            return kind
    one_of(given, list(kinds), "--type", f"no type of mark at {station}")
    raise AssertionError("one_of has refused it")


def _marks(state: Path, site: Site, as_of: str | None) -> tuple[pl.DataFrame, pl.DataFrame, list[dict[str, Any]]]:
    """(FACTS, records that cannot be read, the marks' histories)."""
    facts, rejects = facts_in(state, site)
    if as_of is not None:
        facts = facts.filter(pl.col("known_at") <= instant(as_of, "--as-of"))
    return facts, rejects, mark_history(facts, compile_marking(site))


def _mark_named(state: Path, site: Site, name: str) -> dict[str, Any]:
    facts, _, marks = _marks(state, site, None)
    wanted = fact_named(facts, name, ["mark"])["fact"]
    found = [one for one in marks if one["fact"] == wanted]
    if not found:
        raise typer.BadParameter("the site's clock has not begun: nothing is known yet", param_hint="FACT")
    return found[0]


def _show(state: Path, site: Site, marks: list[dict[str, Any]], rejects: pl.DataFrame, as_json: bool) -> None:
    left = not_facts(state, rejects)
    if as_json:
        typer.echo(json.dumps(jsonable({"marks": marks} | left, site), ensure_ascii=False))
        return
    shown = [as_text(one, site) for one in marks] or ["no marks"]
    typer.echo("\n\n".join([*shown, *not_facts_lines(left, site)]))
