"""`greenisland mass`: what outlets emitted, in kilograms, with what was substituted and what is not known."""

import csv
import json
import sqlite3
import sys
from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import typer

from contracts.ports import JournalFailure
from contracts.reasons import Substituted, Unsubstituted
from contracts.site import Site
from rules.accounts.masses import mass_series
from store.alert_reads import NotReadable
from store.archive import PartDamaged

from ..accounts.mass import MassAccount, mass_account
from ..accounts.rows import By, account_rows, gap_rows, rules_of
from ..operators.record import civil, instant, known_outlet, known_station, one_of, state_directory
from ..rejudge.archive import midnight
from ..rejudge.range import NothingArchived
from ..site.files import load_site
from .rules_text import wrapped

GAPS_MAX = 10  # so many of an outlet's factor and quarter are told as text; --json tells all
_OF_WHAT = {
    Substituted.MASS: "each hour as the greatest of {of_n} valid ones from {of_from} to {of_to}",
    Substituted.CONCENTRATION: "concentration as the mean of {of_n} valid ones from {of_from} to {of_to}",
    Substituted.FLOW: "flow as the mean of {flow_of_n} valid ones from {flow_of_from} to {flow_of_to}",
}
_WHATS = {what: (what,) for what in _OF_WHAT} | {Substituted.BOTH: (Substituted.CONCENTRATION, Substituted.FLOW)}
_UNKNOWN = {
    Unsubstituted.CAPTURE_TOO_LOW: "unknown, the quarter has too few valid hours",
    Unsubstituted.NOTHING_BEFORE: "unknown, there is nothing valid before it",
    Unsubstituted.BY_THE_DAY: "unknown, the rule counts hours and the analyser gives days",
}


def mass_command(
    site: Annotated[Path, typer.Option(help="The site's directory.")],
    state: Annotated[Path, typer.Option(help="The state directory, or a copy of it.")],
    from_: Annotated[str | None, typer.Option("--from", help="A civil date, or an instant with offset.")] = None,
    to: Annotated[str | None, typer.Option(help="End, not included. Without both: the quarter that runs.")] = None,
    outlet: Annotated[str | None, typer.Option(help="Only this outlet.")] = None,
    station: Annotated[str | None, typer.Option(help="Only this station.")] = None,
    factor: Annotated[str | None, typer.Option(help="Only this factor.")] = None,
    by: Annotated[By, typer.Option(help="One row of each.")] = "quarter",
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print the rows as CSV.")] = False,
) -> None:
    """Mass by outlet and factor, out of the archive: measured, substituted, unknown; the quarter's valid hours."""
    if as_json and as_csv:
        raise typer.BadParameter("give one of them", param_hint="--json, --csv")
    whole = load_site(site)
    state_directory(state)
    wanted = _wanted(whole, outlet, station, factor)
    from_at, to_at = _at(from_, "--from", whole), _at(to, "--to", whole)
    if from_at is not None and to_at is not None and from_at >= to_at:
        raise typer.BadParameter("ends before it begins: --to must be later than --from", param_hint="--to")
    try:
        account = mass_account(state, whole, from_at, to_at, **wanted)
    except NothingArchived as error:
        raise typer.BadParameter(str(error), param_hint="--from, --to") from error
    except (PartDamaged, NotReadable, sqlite3.Error, JournalFailure) as error:
        typer.echo(f"{state}: {error}", err=True)
        raise typer.Exit(1) from error
    rows, gaps = account_rows(account, by), gap_rows(account)
    if as_csv:
        _print_csv(rows)
    elif as_json:
        told = {"rows": rows, "gaps": gaps, "rules": rules_of(gaps)}
        typer.echo(json.dumps(_about(account, by) | told, ensure_ascii=False))
    else:
        for line in _as_text(account, by, rows, gaps):
            typer.echo(line)
    for note in account.notes if as_csv else ():
        typer.echo(note, err=True)


def _wanted(site: Site, outlet: str | None, station: str | None, factor: str | None) -> dict[str, list[str]]:
    """The names, each one there is. Raises BadParameter where nothing of them has a mass."""
    series = mass_series(site)
    wanted: dict[str, list[str]] = {}
    if outlet is not None:
        wanted["outlets"] = [known_outlet(site, outlet)]
    if station is not None:
        wanted["stations"] = [known_station(site, station)]
    if factor is not None:
        known = series["factor"].unique().sort().to_list()
        wanted["factors"] = [one_of(factor, known, "--factor", "no factor with a mass: concentration and flow")]
    for name, column in (("outlets", "outlet"), ("stations", "station"), ("factors", "factor")):
        series = series.filter(series[column].is_in(wanted.get(name, series[column].unique().to_list())))
    if series.is_empty():
        named = ", ".join(name for names in wanted.values() for name in names) or "this site"
        raise typer.BadParameter(f"{named}: no mass; it takes a concentration and the flow of one station at an outlet")
    return wanted


def _at(text: str | None, option: str, site: Site) -> datetime | None:
    """A civil date's midnight, or an instant."""
    if text is None:
        return None
    try:
        return midnight(date.fromisoformat(text), site.time_zone)
    except ValueError:
        return instant(text, option)


def _about(account: MassAccount, by: str) -> dict[str, Any]:
    told = {
        name: civil(at, account.site)
        for name, at in (("from", account.from_at), ("to", account.to_at), ("archived_at", account.archived_at))
    }
    return {"site": account.site.file.site, **told, "by": by, "notes": account.notes}


def _print_csv(rows: list[dict[str, Any]]) -> None:
    if rows:
        writer = csv.DictWriter(sys.stdout, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _as_text(account: MassAccount, by: str, rows: list[dict[str, Any]], gaps: list[dict[str, Any]]) -> Iterator[str]:
    """Lines of at most 80 columns."""
    about = _about(account, by)
    yield from wrapped(f"{about['from']} to {about['to']}, as archived at {about['archived_at']}", "", "  ")
    before = None
    for row in rows:
        if (series := _series(row)) != before:
            before = series
            yield ""
            yield from wrapped(f"{row['outlet']}, {row['station']}: {row['factor']} {row['factor_en']}", "", "  ")
        if by == "hour":
            yield from wrapped(f"{row['from']} {row['state']} {_of_one(row)}", "  ", "    ")
            continue
        yield from _of_period(row)
        if by == "quarter":
            its = [gap for gap in gaps if _series(gap) == series and row["from"] <= gap["from"] < row["to"]]
            for gap in its[:GAPS_MAX]:
                yield from wrapped(
                    f"{gap['from']} to {gap['to']}, {gap['hours']:g} h: {_of_one(gap)}", "    ", "      "
                )
            if len(its) > GAPS_MAX:
                yield f"    and {len(its) - GAPS_MAX} more gaps: see --json, or --by hour"
    if not rows:
        yield "no window of it has been decided yet"
    elif by in ("hour", "quarter") and gaps:
        yield ""
        for rule in rules_of(gaps):
            yield from wrapped(f"{rule['rule']} {rule['clause']}: {rule['says']} [{rule['status']}]", "", "  ")
    for note in account.notes:
        yield from wrapped(note, "", "  ")


def _of_period(row: dict[str, Any]) -> Iterator[str]:
    mass = "unknown" if row["kg"] is None else f"{'at least ' if row['is_lower_bound'] else ''}{_short(row['kg'])} kg"
    lines = [f"measured {_short(row['measured_kg'])} kg in {row['hours_valid']:g} of {row['hours_due']:g} hours due"]
    if Decimal(row["of_it_in_stops_kg"]):
        lines.append(f"of it {_short(row['of_it_in_stops_kg'])} kg while production was said to stand still")
    lines.append(
        f"substituted {_short(row['substituted_kg'])} kg in {row['hours_substituted']:g} h;"
        f" unknown {row['hours_unknown']:g} h; stopped {row['hours_stopped']:g} h"
    )
    share = row["quarter_capture_pct"]
    told = "no hour was due" if share is None else f"{share:.2f} % of its hours are valid"
    unusable = ", too few: its automatic data may not be used" if row["quarter_usable"] is False else ""
    lines.append(f"{row['quarter']} ({row['quarter_is']}): {told}{unusable}")
    yield f"  {row['from'][:10]} to {row['to'][:10]}: {mass}"
    for line in lines:
        yield from wrapped(line, "    ", "      ")


def _of_one(row: dict[str, Any]) -> str:
    """`3.725 kg, as the greatest of 720 valid hours ... (VR11)` of a gap or an hour."""
    if row["kg"] is None:
        unknown = "" if row["unknown"] is None else f": {_UNKNOWN[row['unknown']]} ({row['rule']})"
        return f"{row['reason']}{unknown}"
    of = [_OF_WHAT[what].format(**row) for what in _WHATS.get(row["substituted"], ())]
    return ", ".join([f"{_short(row['kg'])} kg", *of]) + (f" ({row['rule']})" if of else "")


def _series(row: dict[str, Any]) -> tuple[str, str, str]:
    return row["outlet"], row["station"], row["factor"]


def _short(kg: str | None) -> str:
    return "no" if kg is None else f"{Decimal(kg):.3f}"
