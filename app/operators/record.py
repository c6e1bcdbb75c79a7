"""What commands of operators share: reading options in the user's words, and putting a record into the spool."""

import getpass
import json
import sqlite3
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import typer

from contracts.actions import ACTIONS
from contracts.civil_time import local
from contracts.clock import SystemClock
from contracts.durations import format_duration, parse_duration
from contracts.facts import KINDS, to_body
from contracts.ports import JournalFailure
from contracts.records import RECORD_VERSION, Record
from contracts.site import Site

from ..site.yaml_lines import suggestion
from . import spool as operator_spool
from .facts_read import read_facts

LONGEST = 500  # characters of a reason; contracts.facts.Text
SHORTEST_NAME = 6  # of a fact's name that is cut short


def instant(text: str, option: str) -> datetime:
    """UTC. Raises BadParameter."""
    try:
        at = datetime.fromisoformat(text)
        if at.tzinfo is not None:
            return at.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        message = f"{text!r} is not an instant; write one like 2026-03-01T08:00:00+08:00"
        raise typer.BadParameter(message, param_hint=option) from error
    raise typer.BadParameter(f"{text!r} has no offset; write it like 2026-03-01T08:00:00+08:00", param_hint=option)


def interval(from_: str, to: str) -> tuple[datetime, datetime]:
    from_at, to_at = instant(from_, "--from"), instant(to, "--to")
    if from_at >= to_at:
        raise typer.BadParameter(f"{from_} is not before {to}", param_hint="--from, --to")
    return from_at, to_at


def words(text: str, option: str) -> str:
    """Text that says something."""
    if not text.strip():
        raise typer.BadParameter("it is empty; it will be read by whoever reviews or inspects", param_hint=option)
    if len(text) > LONGEST:
        raise typer.BadParameter(f"{len(text)} characters; at most {LONGEST}", param_hint=option)
    return text.strip()


def known_station(site: Site, station: str) -> str:
    return one_of(station, [one.station for one in site.stations], "--station", "no station of this site")


def known_outlet(site: Site, outlet: str) -> str:
    return one_of(outlet, [one.outlet for one in site.outlets], "--outlet", "no outlet of this site")


def known_factor(site: Site, station: str, factor: str) -> str:
    factors = [one.factor for one in site.points if one.station == station]
    return one_of(factor, factors, "--factor", f"not measured at {station}")


def one_of(given: str, known: list[str], option: str, wrong: str) -> str:
    if given in known:
        return given
    hint = suggestion(given, known) or (f"; one of {', '.join(known)}" if len(known) <= 20 else "")
    raise typer.BadParameter(f"{given!r} is {wrong}{hint}", param_hint=option)


def seconds(text: str, option: str) -> float:
    try:
        return parse_duration(text).total_seconds()
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from error


def facts_in(state: Path, site: Site) -> tuple[pl.DataFrame, pl.DataFrame]:
    """`facts_read.read_facts`; a journal that cannot be read ends the command, in words."""
    try:
        return read_facts(state_directory(state), site)
    except (sqlite3.Error, JournalFailure, OSError) as error:
        typer.echo(f"{state}: a journal cannot be read: {error}; `greenisland status` has more", err=True)
        raise typer.Exit(1) from error


def fact_named(facts: pl.DataFrame, name: str, kinds: Iterable[str]) -> dict[str, Any]:
    """The one fact whose name begins so. Raises BadParameter."""
    if len(name) < SHORTEST_NAME:
        raise typer.BadParameter(f"{name!r}: give at least {SHORTEST_NAME} characters", param_hint="FACT")
    wanted = facts.filter(pl.col("kind").is_in(list(kinds)))
    found = wanted.filter(pl.col("fact").str.starts_with(name.lower()))
    if found.height == 1:
        return found.row(0, named=True)
    if found.is_empty():
        kind = facts.filter(pl.col("fact").str.starts_with(name.lower()))["kind"].to_list()
        here = f"it is a {kind[0]}" if kind else "a record that still waits in the spool cannot be named yet"
        message = f"no {' or '.join(kinds)} in the journal is named {name}; {here}"
    else:
        message = f"{name} begins the names of {found.height} facts; give more of it"
    raise typer.BadParameter(message, param_hint="FACT")


def state_directory(state: Path) -> Path:
    if not state.is_dir():
        message = f"{state} is not a folder; give the --state of `greenisland run`"
        raise typer.BadParameter(message, param_hint="--state")
    return state


def submit(state: Path, kind: str, by: str | None, wait: str, as_json: bool, lines: list[str], **body: Any) -> None:
    """Spools a record and tells what became of it; `lines` say what it will do."""
    wait_s = seconds(wait, "--wait")
    try:
        fact = (KINDS | ACTIONS)[kind](**body)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    actor = words(by if by is not None else getpass.getuser(), "--by")
    record = Record(
        v=RECORD_VERSION, actor=actor, origin="cli", at=SystemClock().now(), action=kind, body=to_body(fact)
    )
    try:
        name, path = operator_spool.put(state, record)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    except OSError as error:
        raise typer.BadParameter(f"{error.filename}: {error.strerror}", param_hint="--state") from error
    is_kept = operator_spool.in_journal(path, wait_s)
    if as_json:
        told = {"fact": name, "kind": kind, "actor": actor, "journalled": is_kept, "spooled": str(path), "lines": lines}
        typer.echo(json.dumps(told, ensure_ascii=False))
        return
    typer.echo(f"{kind} {name}")
    for line in lines:
        typer.echo(f"  {line}")
    if is_kept:
        typer.echo("  it is in the journal")
    else:
        typer.echo(
            f"  it waits in the spool: no collector took it within {format_duration(parse_duration(wait))}. It counts"
            " from when `greenisland run` has journalled it, not from now"
        )


def not_facts(state: Path, rejects: pl.DataFrame) -> dict[str, Any]:
    """What operators entered and no fact came of: waiting in the spool, refused by it, unreadable in the journal."""
    refused = [{"file": str(one.path), "reason": one.reason} for one in operator_spool.refused(state)]
    unreadable = rejects.select("received_at", "detail").to_dicts()
    return {"waiting": len(operator_spool.waiting(state)), "refused": refused, "unreadable": unreadable}


def not_facts_lines(found: dict[str, Any], site: Site) -> list[str]:
    lines = [f"{found['waiting']} records wait in the spool: is the collector running?"] if found["waiting"] else []
    lines += [f"refused: {one['file']}: {one['reason']}" for one in found["refused"]]
    return lines + [
        f"unreadable in the journal, received {civil(one['received_at'], site)}: {one['detail']}"
        for one in found["unreadable"]
    ]


def civil(at: datetime | None, site: Site) -> str | None:
    return None if at is None else local(at, site.time_zone).isoformat(timespec="seconds")


def jsonable(value: Any, site: Site) -> Any:
    """Instants in the site's civil time."""
    if isinstance(value, datetime):
        return civil(value, site)
    if isinstance(value, dict):
        return {key: jsonable(one, site) for key, one in value.items()}
    if isinstance(value, list):
        return [jsonable(one, site) for one in value]
    return value
